package sched_test

import (
	"testing"

	"github.com/steppe-project/steppe/model"
)

// TestBlockedEvaluationKnowsWhy: whoever looks at a job sees the evaluation that
// waits, not the finished one that could not place.
func TestBlockedEvaluationKnowsWhy(t *testing.T) {
	w := newWorld()
	w.setJob(&model.Job{
		ID: "x", Namespace: "default", Type: model.JobTypeService, Datacenters: []string{"*"}, NodePool: "default",
		TaskGroups: []*model.TaskGroup{{Name: "g", Count: 2, Tasks: []*model.Task{{Name: "t", Driver: "exec", Resources: &model.Resources{CPU: 1, MemoryMB: 1}}}}},
	})
	plan := w.process(w.newEval("x", model.TriggerJobRegister))
	if len(plan.NewEvals) != 1 || plan.NewEvals[0].Status != model.EvalBlocked {
		t.Fatalf("evaluations %+v", plan.NewEvals)
	}
	b := plan.NewEvals[0]
	if m := b.FailedTGAllocs["g"]; m == nil || m.CoalescedFailures != 1 || b.QueuedAllocations["g"] != 2 {
		t.Errorf("the blocked evaluation has %+v, queued %v", b.FailedTGAllocs, b.QueuedAllocations)
	}
}

// TestBlockedEvaluationFollowsTheJob: what may have to give way to a job, and so what
// wakes the evaluation that waits for it, goes by the job's priority as it is now.
func TestBlockedEvaluationFollowsTheJob(t *testing.T) {
	w := newWorld()
	job := map[string]string{"mem": "200", "priority": "20"}
	w.setJob(buildJob("x", job, ""))
	w.run(w.newEval("x", model.TriggerJobRegister))
	job["priority"] = "80"
	w.setJob(buildJob("x", job, ""))
	w.run(w.newEval("x", model.TriggerJobRegister))
	for _, e := range w.EvalsByJob("default", "x") {
		if e.Status == model.EvalBlocked {
			if e.Priority != 80 || e.JobModifyIndex != w.jobs["x"].JobModifyIndex {
				t.Errorf("the blocked evaluation is of priority %d, for the job as of %d", e.Priority, e.JobModifyIndex)
			}
			return
		}
	}
	t.Fatal("nothing is blocked")
}
