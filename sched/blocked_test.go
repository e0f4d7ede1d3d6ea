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
