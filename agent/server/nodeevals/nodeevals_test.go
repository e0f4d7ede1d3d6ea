package nodeevals

import (
	"fmt"
	"slices"
	"testing"

	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

type scene struct {
	*memlog.Log
	t   *testing.T
	c   *NodeEvals
	sub *state.Subscription
}

func newScene(t *testing.T) *scene {
	s := &scene{Log: memlog.New(), t: t, c: New()}
	for _, j := range []struct{ id, kind, pool string }{
		{"agent", model.JobTypeSystem, model.AllNodePool}, {"gpu", model.JobTypeSysbatch, "gpu"}, {"web", model.JobTypeService, model.DefaultNodePool},
	} {
		s.Must(&fsm.UpsertNodePool{Pool: &model.NodePool{Name: "gpu"}})
		job := model.NewJob(j.kind)
		job.ID, job.Name, job.NodePool = j.id, j.id, j.pool
		s.Must(&fsm.RegisterJob{Job: job})
	}
	s.lead()
	return s
}

func (s *scene) lead() {
	if s.sub != nil {
		s.sub.Close()
	}
	snap, sub := s.Store.Subscribe(s.c.Reads()...)
	s.sub = sub
	s.c.Reset(snap)
}

func (s *scene) node(id, pool, status, class string) {
	s.Must(&fsm.RegisterNode{Node: &model.Node{
		ID: id, NodePool: pool, Status: status, ComputedClass: class, SchedulingEligibility: model.NodeEligible,
	}})
}

// step returns the jobs that got an evaluation.
func (s *scene) step() []string {
	s.t.Helper()
	changes, err := s.sub.Poll()
	if err != nil {
		s.t.Fatal(err)
	}
	s.c.Observe(changes)
	cmds, _ := s.c.Step(s.Now(), s.Store.Snapshot())
	var jobs []string
	for _, c := range cmds {
		var u fsm.UpsertEvals
		if _, err := u.UnmarshalMsg(c.Body); err != nil {
			s.t.Fatal(err)
		}
		for _, e := range u.Evals {
			jobs = append(jobs, e.JobID)
		}
	}
	if len(cmds) > 0 {
		if _, err := s.Propose(s.t.Context(), cmds...); err != nil {
			s.t.Fatal(err)
		}
	}
	return jobs
}

func TestNodes(t *testing.T) {
	s := newScene(t)
	expect := func(what string, want ...string) {
		t.Helper()
		if got := s.step(); !slices.Equal(got, want) {
			t.Errorf("%s: evaluations for %v, want %v", what, got, want)
		}
	}
	expect("nothing happened")
	for i := range 3 {
		s.node(fmt.Sprintf("n%d", i), "default", model.NodeStatusReady, "A")
	}
	expect("three nodes joined at once", "agent")
	expect("nothing since")
	s.node("g1", "gpu", model.NodeStatusReady, "G")
	expect("a node of another pool", "agent", "gpu")
	s.node("n1", "default", model.NodeStatusReady, "A")
	expect("a node registered again unchanged")
	s.node("n1", "default", model.NodeStatusReady, "B")
	expect("its class changed", "agent")
	s.Must(&fsm.NodeEligibility{NodeID: "n2", Eligibility: model.NodeIneligible})
	expect("a node was closed")
	s.Must(&fsm.NodeEligibility{NodeID: "n2", Eligibility: model.NodeEligible})
	expect("a node was opened", "agent")
	s.Must(&fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: "n2", Status: model.NodeStatusDown}}})
	expect("a node went down")
	s.lead()
	expect("a new leader, all is evaluated")
	s.node("n2", "default", model.NodeStatusReady, "A")
	s.lead()
	expect("a node came while nobody led", "agent")
	expect("and nothing since")
}

// A plan that was on its way when its node was given up is not overlooked, whichever
// of the two was written first.
func TestLatePlans(t *testing.T) {
	for _, planFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("plan first ", planFirst), func(t *testing.T) {
			s := newScene(t)
			s.node("n1", "default", model.NodeStatusReady, "A")
			job := model.NewJob(model.JobTypeService)
			job.ID, job.Name = "late", "late"
			g := model.NewTaskGroup(job)
			g.Name = "g"
			job.TaskGroups = append(job.TaskGroups, g)
			eval := &model.Evaluation{ID: "e", Namespace: job.Namespace, JobID: job.ID, Type: job.Type, Status: model.EvalPending}
			s.Must(&fsm.RegisterJob{Job: job, Eval: eval})
			seen := s.Store.Snapshot()
			s.step()
			plan := func() {
				done := *eval
				done.Status, done.SnapshotIndex = model.EvalComplete, seen.Index()
				s.Must(&fsm.ApplyPlan{Plan: &model.Plan{
					EvalID: "e", Namespace: job.Namespace, JobID: job.ID, JobVersion: seen.Job(job.Namespace, job.ID).Version, Eval: &done,
					Groups: []*model.PlanGroup{{TaskGroup: "g", Resources: &model.AllocatedResources{}, Placements: []*model.Placement{{ID: "a", NodeID: "n1"}}}},
				}})
			}
			if planFirst {
				plan()
			}
			s.Must(&fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: "n1", Status: model.NodeStatusDown}}})
			if !planFirst {
				if got := s.step(); len(got) > 0 {
					t.Errorf("before the plan: %v", got)
				}
				plan()
			}
			if got := s.step(); !slices.Equal(got, []string{"late"}) {
				t.Errorf("evaluations for %v", got)
			}
			s.lead()
			if got := s.step(); len(got) > 0 {
				t.Errorf("while one is pending: %v", got)
			}
			for e := range s.Store.Snapshot().EvalsByStatus(model.EvalPending) {
				done := *e
				done.Status, done.SnapshotIndex = model.EvalComplete, s.Store.Snapshot().Index()
				s.Must(&fsm.UpsertEvals{Evals: []*model.Evaluation{&done}})
				break
			}
			s.lead()
			if got := s.step(); len(got) > 0 {
				t.Errorf("after it was decided: %v", got)
			}
		})
	}
}
