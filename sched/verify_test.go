package sched_test

import (
	"fmt"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/verify"
)

// planned is a world with two nodes, and a plan for three instances that was
// made before the world changed.
func planned(args map[string]string, constraints string) (*world, *model.Plan) {
	w := newWorld()
	w.setNode(buildNode("n1", map[string]string{"mem": "300"}, 0))
	w.setNode(buildNode("n2", map[string]string{"mem": "300"}, 1))
	w.setJob(buildJob("j", args, constraints))
	return w, w.process(w.newEval("j", model.TriggerJobRegister))
}

func placements(p *model.Plan) int {
	n := 0
	for _, g := range p.Groups {
		n += len(g.Placements)
	}
	return n
}

func TestVerify(t *testing.T) {
	args := map[string]string{"count": "2", "mem": "200", "ports": "http:80"}
	for name, tc := range map[string]struct {
		change  func(w *world)
		left    int
		refused string // the reason on n1 or on both
	}{
		"nothing changed": {func(w *world) {}, 2, ""},
		"node gone":       {func(w *world) { w.deleteNode("n1") }, 1, "node no longer exists"},
		"node down": {func(w *world) {
			n := *w.nodes["n1"]
			n.Status = model.NodeStatusDown
			w.setNode(&n)
		}, 1, "node is down"},
		"node ineligible": {func(w *world) {
			n := *w.nodes["n1"]
			n.SchedulingEligibility = model.NodeIneligible
			w.setNode(&n)
		}, 1, "node is not eligible"},
		"driver gone": {func(w *world) {
			n := *w.nodes["n1"]
			n.Attributes = map[string]string{}
			w.setNode(&n)
		}, 1, place.ReasonDrivers},
		"memory taken": {func(w *world) { w.occupy("n1", 200, 0) }, 1, "not enough memory"},
		"port taken":   {func(w *world) { w.occupy("n1", 1, 80) }, 1, "not enough ports 80"},
		"address changed": {func(w *world) {
			n := buildNode("n1", map[string]string{"mem": "300"}, 9)
			w.setNode(n)
		}, 1, "not enough ports 80"},
		"job purged":  {func(w *world) { delete(w.jobs, "j") }, 0, "the job no longer exists"},
		"job stopped": {func(w *world) { w.jobs["j"].Stop = true }, 0, "the job was stopped"},
		"new version": {func(w *world) { w.setJob(buildJob("j", args, "")) }, 0, "the job has version 1 now, the plan is for version 0"},
		"purged and registered again": {func(w *world) {
			delete(w.jobs, "j")
			w.setJob(buildJob("j", args, ""))
		}, 0, "the job has version 0 now, the plan is for version 0"},
		"decided by another": {func(w *world) {
			e := *w.evals["eval-1"]
			e.Attempts++
			w.evals["eval-1"] = &e
		}, 0, "the evaluation was decided by another worker"},
	} {
		w, plan := planned(args, "")
		if placements(plan) != 2 {
			t.Fatalf("%s: %d placements planned", name, placements(plan))
		}
		tc.change(w)
		before := fingerprint(plan)
		kept, result := verify.Check(w, plan)
		if fingerprint(plan) != before {
			t.Errorf("%s: the plan was changed", name)
		}
		if placements(kept) != tc.left || result.RefusedNodes["n1"] != tc.refused {
			t.Errorf("%s: %d left, refused %v", name, placements(kept), result.RefusedNodes)
		}
		want := model.EvalPending
		if tc.refused == "" {
			want = model.EvalComplete
		}
		if kept.Eval.Status != want {
			t.Errorf("%s: the evaluation is %s", name, kept.Eval.Status)
		}
		if q := kept.Eval.QueuedAllocations["g"]; q != 2-tc.left {
			t.Errorf("%s: %d queued", name, q)
		}
		if grew := kept.Eval.Attempts > plan.Eval.Attempts; grew != (tc.left == 0) {
			t.Errorf("%s: attempts %d", name, kept.Eval.Attempts)
		}
	}
}

// occupy has another allocation run on a node.
func (w *world) occupy(node string, mem int64, port int) {
	r := &model.AllocatedTaskResources{}
	r.Memory.MemoryMB = mem
	grant := &model.AllocatedResources{Tasks: map[string]*model.AllocatedTaskResources{"t": r}}
	if port != 0 {
		grant.Shared.Ports = []model.PortMapping{{Value: port, HostIP: "10.0.0.1"}}
	}
	w.tick()
	w.setAlloc(&model.Allocation{
		ID: fmt.Sprintf("other-%d", w.index), NodeID: node, JobID: "other", DesiredStatus: model.DesiredRun,
		ClientStatus: model.ClientRunning, AllocatedResources: grant, CreateIndex: w.index, Job: &model.Job{},
	})
}

func TestVerifyDistinctHosts(t *testing.T) {
	w, plan := planned(map[string]string{"count": "1"}, "distinct_hosts")
	node := plan.Groups[0].Placements[0].NodeID
	// An instance of the same job appeared there meanwhile.
	w.setAlloc(&model.Allocation{
		ID: "x", NodeID: node, JobID: "j", TaskGroup: "g", DesiredStatus: model.DesiredRun, ClientStatus: model.ClientRunning,
		AllocatedResources: &model.AllocatedResources{}, Job: w.jobs["j"],
	})
	if kept, result := verify.Check(w, plan); placements(kept) != 0 || result.RefusedNodes[node] != place.ReasonDistinctHosts {
		t.Errorf("refused %v", result.RefusedNodes)
	}
}

// TestVerifyTwice: a plan that was committed already changes nothing.
func TestVerifyTwice(t *testing.T) {
	w, plan := planned(map[string]string{"count": "2", "mem": "200"}, "")
	kept, _ := verify.Check(w, plan)
	w.apply(kept)
	again, result := verify.Check(w, plan)
	if len(result.RefusedNodes) != 0 && again.Eval.Status != model.EvalPending {
		t.Errorf("refused %v, evaluation %s", result.RefusedNodes, again.Eval.Status)
	}
	for _, g := range again.Groups {
		for _, p := range g.Placements {
			if w.allocs[p.ID] == nil {
				t.Errorf("%s is new", p.ID)
			}
		}
	}
}

// TestRefusedReplacementKeepsTheOld: the old instance is stopped only with its
// replacement; what relied on its room is refused too.
func TestRefusedReplacementKeepsTheOld(t *testing.T) {
	w := newWorld()
	w.setNode(buildNode("n1", map[string]string{"mem": "200"}, 0))
	w.setJob(buildJob("j", map[string]string{"mem": "200"}, ""))
	w.run(w.newEval("j", model.TriggerJobRegister))
	w.report(w.names[0], model.ClientRunning)
	w.setNode(buildNode("n2", map[string]string{"mem": "300"}, 1))
	w.setJob(buildJob("j", map[string]string{"mem": "300"}, ""))
	plan := w.process(w.newEval("j", model.TriggerJobRegister))
	if placements(plan) != 1 || len(plan.Stops) != 1 || plan.Groups[0].Placements[0].NodeID != "n2" {
		t.Fatalf("planned %s", fingerprint(plan))
	}
	w.deleteNode("n2")
	kept, result := verify.Check(w, plan)
	if len(kept.Stops) != 0 || placements(kept) != 0 || result.RefusedNodes["n2"] == "" {
		t.Errorf("kept %s", fingerprint(kept))
	}
}

// TestNodeCameBack: what was given up as lost is not, and is not replaced.
func TestNodeCameBack(t *testing.T) {
	w := newWorld()
	w.setNode(buildNode("n1", nil, 0))
	w.setJob(buildJob("j", nil, ""))
	w.run(w.newEval("j", model.TriggerJobRegister))
	w.setNode(buildNode("n2", nil, 1))
	w.setNode(buildNode("n1", map[string]string{"status": "down"}, 0))
	plan := w.process(w.newEval("j", model.TriggerNodeUpdate))
	if placements(plan) != 1 || len(plan.Stops) != 1 {
		t.Fatalf("planned %s", fingerprint(plan))
	}
	w.setNode(buildNode("n1", nil, 0))
	kept, result := verify.Check(w, plan)
	if len(kept.Stops) != 0 || placements(kept) != 0 || len(result.RefusedNodes) != 1 {
		t.Errorf("kept %s", fingerprint(kept))
	}
}

// TestBook: a fleet with a plan booked on it equals the one after its commit.
func TestBook(t *testing.T) {
	w, plan := planned(map[string]string{"count": "2", "mem": "200", "ports": "http,admin"}, "")
	kept, _ := verify.Check(w, plan)
	fleet := w.fleet.Fork()
	verify.Book(fleet, w, kept)
	w.apply(kept)
	if d := place.Diff(fleet, w.fleet); d != "" {
		t.Error(d)
	}
	w.setJob(buildJob("j", map[string]string{"count": "1", "mem": "100"}, ""))
	kept, _ = verify.Check(w, w.process(w.newEval("j", model.TriggerJobRegister)))
	fleet = w.fleet.Fork()
	verify.Book(fleet, w, kept)
	w.apply(kept)
	if d := place.Diff(fleet, w.fleet); d != "" {
		t.Error(d)
	}
}
