package fsm_test

import (
	"testing"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// gangMachine has two nodes, and a gang of two with an old instance of each.
func gangMachine(t *testing.T) *machine {
	m := newMachine(t)
	m.must(&fsm.FeatureLevel{Level: feature.Gangs})
	m.must(&fsm.RegisterNode{Node: testNode(1)}, &fsm.RegisterNode{Node: testNode(2)})
	job := testJob("train", 2)
	job.TaskGroups[0].Gang = &model.GangConfig{MaxPartial: 1}
	m.must(&fsm.RegisterJob{Job: job, Eval: testEval("e", "train")})
	m.must(gangPlan("old1", "old2", testNode(2).ID))
	return m
}

// gangPlan places a gang, the second instance on a node.
func gangPlan(first, second, node string) *fsm.ApplyPlan {
	done := testEval("e", "train")
	done.Status = model.EvalComplete
	p := &model.Plan{EvalID: "e", Namespace: "default", JobID: "train", Eval: done, Groups: []*model.PlanGroup{{
		TaskGroup: "web", Resources: &model.AllocatedResources{}, Together: true, Placements: []*model.Placement{
			{ID: first, NodeID: testNode(1).ID}, {ID: second, Index: 1, NodeID: node},
		},
	}}}
	return &fsm.ApplyPlan{Plan: p}
}

// TestGangPlans: when one placement of a gang cannot be made, none is, what they were to
// replace goes on, and the evaluation is decided again.
func TestGangPlans(t *testing.T) {
	m := gangMachine(t)
	if m.snap().Alloc("old1") == nil || m.snap().Alloc("old2") == nil {
		t.Fatal("the gang was not placed")
	}
	m.must(&fsm.UpsertEvals{Evals: []*model.Evaluation{testEval("e2", "train")}})
	plan := gangPlan("new1", "new2", "no-such-node")
	plan.Plan.EvalID, plan.Plan.Eval.ID = "e2", "e2"
	plan.Plan.Groups[0].Placements[0].PreviousAllocation = "old1"
	plan.Plan.Groups[0].Placements[1].PreviousAllocation = "old2"
	plan.Plan.Stops = []*model.PlanStop{{ID: "old1", NextAllocation: "new1"}, {ID: "old2", NextAllocation: "new2"}}
	out := m.must(plan).(*model.PlanResult)
	if len(out.RefusedNodes) != 2 {
		t.Errorf("refused %v", out.RefusedNodes)
	}
	snap := m.snap()
	if snap.Alloc("new1") != nil || snap.Alloc("new2") != nil {
		t.Error("a part of a gang was placed")
	}
	for _, id := range []string{"old1", "old2"} {
		if snap.Alloc(id).ServerTerminal() {
			t.Errorf("%s was stopped for what was not placed", id)
		}
	}
	if e := snap.Eval("e2"); e.Status != model.EvalPending {
		t.Errorf("the evaluation is %s", e.Status)
	}
	if r := m.restored(); r.snap().Hash() != snap.Hash() || r.snap().Job("default", "train").TaskGroups[0].Gang.MaxPartial != 1 {
		t.Error("a snapshot loses the gang")
	}
}

// TestGangsNeedTheirLevel: jobs that older servers would place in part, or run for ever,
// and plans of gangs, are refused until all servers know better.
func TestGangsNeedTheirLevel(t *testing.T) {
	gang, bounded := testJob("a", 2), testJob("b", 1)
	gang.TaskGroups[0].Gang = &model.GangConfig{}
	bounded.TaskGroups[0].MaxRunDuration = 1
	for _, b := range []fsm.Body{&fsm.RegisterJob{Job: gang}, &fsm.RegisterJob{Job: bounded}, gangPlan("a", "b", "n")} {
		if got := fsm.Needs(b); got != feature.Gangs {
			t.Errorf("%T needs level %d", b, got)
		}
	}
	m := newMachine(t)
	m.must(&fsm.FeatureLevel{Level: feature.Gangs - 1})
	for _, out := range m.apply(&fsm.RegisterJob{Job: gang, Eval: testEval("e", "a")}) {
		if model.CodeOf(out.Err) != model.CodeConflict {
			t.Errorf("taken before its level: %v", out.Err)
		}
	}
}
