package sched_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/advice"
	"github.com/steppe-project/steppe/sched/reconcile"
	"github.com/steppe-project/steppe/sched/verify"
)

// gangPlan is what a plan places of a gang.
func gangPlan(p *model.Plan) int {
	n := 0
	for _, g := range p.Groups {
		if g.Together {
			n += len(g.Placements)
		}
	}
	return n
}

// checkGang: what was decided of a gang is committed whole or not at all, and made it
// whole, but for what was lost after the decision.
func (s *story) checkGang(decided, kept *model.Plan) {
	job := s.w.jobs[decided.JobID]
	if job == nil || job.TaskGroups[0].Gang == nil {
		return
	}
	if got, want := gangPlan(kept), gangPlan(decided); got != 0 && got != want || placements(kept) != got {
		s.t.Fatalf("%d of %d placements of a gang are left of %d", got, want, placements(kept))
	}
	if gangPlan(kept) == 0 {
		return
	}
	there, stopped := map[int]bool{}, map[string]bool{}
	for _, st := range kept.Stops {
		stopped[st.ID] = true
	}
	for _, a := range s.w.AllocsByJob("", job.ID) {
		done := doneFor(a, job)
		there[a.Index()] = there[a.Index()] || !a.Terminal() || done || a.ModifyIndex > decided.SnapshotIndex && !stopped[a.ID]
	}
	for i := range job.TaskGroups[0].Count {
		if !there[i] {
			s.t.Fatalf("gang %s was placed without instance %d", job.ID, i)
		}
	}
}

// disbanded tells whether a job is a gang of which nothing runs because one has failed for
// good; one that runs in part has not come to rest.
func (s *story) disbanded(j *model.Job) bool {
	if j.TaskGroups[0].Gang == nil {
		return false
	}
	live, broken, there, newest := 0, false, map[int]bool{}, (*model.Job)(nil)
	allocs := s.w.AllocsByJob("", j.ID)
	for _, a := range allocs {
		switch {
		case !a.Terminal():
			live++
			there[a.Index()] = true
			if newest == nil || a.Job.CreateIndex > newest.CreateIndex || a.Job.CreateIndex == newest.CreateIndex && a.Job.Version > newest.Version {
				newest = a.Job
			}
		case a.ServerTerminal() || a.NextAllocation != "":
		case a.ClientStatus == model.ClientComplete && j.Type == model.JobTypeBatch:
		default:
			broken = true
		}
	}
	if live > 0 {
		for _, a := range allocs {
			there[a.Index()] = there[a.Index()] || doneFor(a, newest)
		}
		for i := range min(j.TaskGroups[0].Count, newest.TaskGroups[0].Count) {
			if !there[i] {
				s.t.Fatalf("gang %s has no instance %d in the end", j.ID, i)
			}
		}
	}
	return live == 0 && broken
}

// doneFor tells whether an allocation of a batch has done what a version is to do.
func doneFor(a *model.Allocation, version *model.Job) bool {
	return version.Type == model.JobTypeBatch && a.ClientStatus == model.ClientComplete && !a.ServerTerminal() &&
		a.Job.CreateIndex == version.CreateIndex && !reconcile.Changed(a.Job, version, a.TaskGroup)
}

// TestGangsAllOrNone: on random fleets a gang is placed whole exactly when all of it fits,
// counted by the room of each node.
func TestGangsAllOrNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, room := newWorld(), 0
		mem := rapid.IntRange(50, 400).Draw(t, "mem")
		for i := range rapid.IntRange(0, 10).Draw(t, "nodes") {
			size := rapid.IntRange(1, 1500).Draw(t, "node mem")
			w.setNode(buildNode(fmt.Sprintf("n%d", i), map[string]string{"mem": fmt.Sprint(size)}, i))
			room += min(size/mem, 40)
		}
		count := rapid.IntRange(1, 30).Draw(t, "count")
		args := map[string]string{"mem": fmt.Sprint(mem), "count": fmt.Sprint(count), "gang": "30s", "type": "batch", "unlimited": "", "delay": "1s"}
		w.setJob(buildJob("j", args, ""))
		plan, _ := w.run(w.newEval("j", model.TriggerJobRegister))
		m := plan.Eval.FailedTGAllocs["g"]
		if count <= room {
			if placements(plan) != count || m != nil {
				t.Fatalf("%d of %d placed, with room for %d", placements(plan), count, room)
			}
		} else if want := fmt.Sprintf("gang of %d: %d of %d fit", count, room, count); placements(plan) != 0 || m == nil || m.Gang != want || m.CoalescedFailures != count-1 {
			t.Fatalf("%d placed, %+v; wanted none and %q", placements(plan), m, want)
		}
		if placements(plan) == 0 {
			return
		}
		// Some nodes are lost: what was there is replaced whole, or not at all.
		lost := 0
		for i, id := range w.nodeIDs() {
			if rapid.Bool().Draw(t, "lost") {
				w.setNode(buildNode(id, map[string]string{"status": "down", "mem": fmt.Sprint(w.nodes[id].NodeResources.Memory.MemoryMB)}, i))
				room -= min(int(w.nodes[id].NodeResources.Memory.MemoryMB)/mem, 40)
				lost++
			}
		}
		if lost == 0 {
			return
		}
		plan, _ = w.run(w.newEval("j", model.TriggerNodeUpdate))
		live := 0
		for _, a := range w.AllocsByJob("", "j") {
			if !a.Terminal() {
				live++
			}
		}
		if want := count <= room; (live == count) != want || !want && placements(plan) != 0 {
			t.Fatalf("%d of %d live, room for %d; %d placed", live, count, room, placements(plan))
		}
		if live == 0 || live == count {
			return
		}
		w.now = w.now.Add(31 * time.Second)
		for range 5 {
			for _, e := range w.due() {
				w.run(e)
			}
		}
		for _, a := range w.AllocsByJob("", "j") {
			if !a.Terminal() {
				t.Fatalf("%s runs on without the others", a.Name)
			}
		}
	})
}

// TestExplainGang: a gang that does not fit says so, and what is named to help lets all of
// it be placed.
func TestExplainGang(t *testing.T) {
	w := newWorld()
	for i := range 3 {
		w.setNode(buildNode(fmt.Sprintf("n%d", i), map[string]string{"mem": "300"}, i))
	}
	w.setJob(buildJob("j", map[string]string{"count": "4", "mem": "200", "gang": "30s"}, ""))
	e := advice.Explain(w, "default", "j", sched.Env{Now: w.now, Seed: w.seed})
	if g := e.Groups[0]; g.Missing != 4 || !slices.Contains(e.Notes, "group g runs whole or not at all: gang of 4: 3 of 4 fit") || len(g.Remedies) == 0 {
		t.Fatalf("%+v, notes %q", g, e.Notes)
	}
	for _, r := range e.Groups[0].Remedies {
		if !helped(w, e, "g", r) {
			t.Errorf("it does not help to %s", r.Text)
		}
	}
}

func (w *world) nodeIDs() []string { return (&story{w: w}).nodeIDs() }

// TestVerifyGang: of a gang of which something does not fit any more nothing is placed,
// and nothing is stopped for it.
func TestVerifyGang(t *testing.T) {
	args := map[string]string{"count": "3", "mem": "200", "gang": "30s"}
	w := newWorld()
	for i := range 3 {
		w.setNode(buildNode(fmt.Sprintf("n%d", i), map[string]string{"mem": "300"}, i))
	}
	w.setJob(buildJob("j", args, ""))
	plan := w.process(w.newEval("j", model.TriggerJobRegister))
	if placements(plan) != 3 || gangPlan(plan) != 3 {
		t.Fatalf("planned %s", fingerprint(plan))
	}
	w.occupy("n1", 200, 0)
	kept, result := verify.Check(w, plan)
	if placements(kept) != 0 || kept.Eval.Status != model.EvalPending || result.RefusedNodes["n1"] != "not enough memory" ||
		result.RefusedNodes["n0"] != "another instance of its gang does not fit" {
		t.Errorf("kept %s, refused %v", fingerprint(kept), result.RefusedNodes)
	}
	// An update: what runs goes on.
	w = newWorld()
	for i := range 3 {
		w.setNode(buildNode(fmt.Sprintf("n%d", i), map[string]string{"mem": "300"}, i))
	}
	w.setJob(buildJob("j", args, ""))
	w.run(w.newEval("j", model.TriggerJobRegister))
	args["mem"] = "250"
	w.setJob(buildJob("j", args, ""))
	plan = w.process(w.newEval("j", model.TriggerJobRegister))
	if placements(plan) != 3 || len(plan.Stops) != 3 {
		t.Fatalf("planned %s", fingerprint(plan))
	}
	w.occupy("n2", 60, 0)
	if kept, _ = verify.Check(w, plan); placements(kept) != 0 || len(kept.Stops) != 0 {
		t.Errorf("kept %s", fingerprint(kept))
	}
}

// TestClockSparesTheBlocked: that a gang is whole again ends the evaluation that counted
// its time, and not the one that waits for room for another group.
func TestClockSparesTheBlocked(t *testing.T) {
	w := newWorld()
	for i, id := range []string{"n1", "n2"} {
		w.setNode(buildNode(id, map[string]string{"mem": "100"}, i))
	}
	j := buildJob("x", map[string]string{"mem": "100", "count": "2", "gang": "60s"}, "")
	large := *j.TaskGroups[0]
	large.Name, large.Count, large.Gang = "large", 1, nil
	task := *large.Tasks[0]
	task.Resources = &model.Resources{CPU: 1, MemoryMB: 5000}
	large.Tasks = []*model.Task{&task}
	j.TaskGroups = append(j.TaskGroups, &large)
	w.setJob(j)
	w.run(w.newEval("x", model.TriggerJobRegister))
	for _, id := range w.names {
		w.report(id, model.ClientRunning)
	}
	clock := w.newEval("x", model.TriggerMaxPartial)
	clock.Gang, clock.WaitUntil = "g", w.now.Add(time.Minute)
	plan, _ := w.run(w.newEval("x", model.TriggerNodeUpdate))
	blocked, clocks := "", 0
	for _, e := range plan.NewEvals {
		if e.Status == model.EvalBlocked {
			blocked = e.ID
		}
	}
	for _, e := range plan.NewEvals {
		if e.Gang == "g" && e.Status == model.EvalComplete {
			if clocks++; blocked == "" || e.BlockedEval != blocked {
				t.Errorf("the evaluation that counted the gang's time leaves %q blocked, not %q", e.BlockedEval, blocked)
			}
		}
	}
	if clocks != 1 {
		t.Errorf("%d evaluations that counted end: %s", clocks, fingerprint(plan))
	}
}
