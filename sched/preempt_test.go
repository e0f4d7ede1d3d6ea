package sched_test

import (
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/verify"
)

// yielding is a world with a full node, and the plan of a job for which an instance
// has to give way.
func yielding(t *testing.T) (*world, *model.Plan) {
	w := newWorld()
	w.config = &model.SchedulerConfiguration{PreemptionConfig: everyonePreempts}
	w.setNode(buildNode("n1", map[string]string{"mem": "200"}, 0))
	w.setJob(buildJob("low", map[string]string{"mem": "200", "priority": "20"}, ""))
	w.run(w.newEval("low", model.TriggerJobRegister))
	w.report(w.names[0], model.ClientRunning)
	w.setJob(buildJob("high", map[string]string{"mem": "150", "priority": "60"}, ""))
	plan := w.process(w.newEval("high", model.TriggerJobRegister))
	if placements(plan) != 1 || len(plan.Stops) != 1 || plan.Stops[0].ID != w.names[0] {
		t.Fatalf("planned %s", fingerprint(plan))
	}
	return w, plan
}

// TestYieldingIsVerified: nothing is made to give way that should not any more, and
// then nothing takes its place.
func TestYieldingIsVerified(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"it matters more now": func(w *world) {
			w.setJob(buildJob("low", map[string]string{"mem": "200", "priority": "51"}, ""))
		},
		"it has ended": func(w *world) { w.report(w.names[0], model.ClientComplete) },
		"it gave way": func(w *world) {
			w.changeAlloc(w.names[0], func(a *model.Allocation) { a.DesiredStatus = model.DesiredEvict })
		},
		"the node has gone": func(w *world) { w.deleteNode("n1") },
	} {
		t.Run(name, func(t *testing.T) {
			w, plan := yielding(t)
			change(w)
			kept, result := verify.Check(w, plan)
			if len(kept.Stops) != 0 || placements(kept) != 0 || result.RefusedNodes["n1"] == "" || kept.Eval.Status != model.EvalPending {
				t.Errorf("kept %s, refused %v", fingerprint(kept), result.RefusedNodes)
			}
		})
	}
	w, plan := yielding(t)
	if kept, result := verify.Check(w, plan); len(kept.Stops) != 1 || placements(kept) != 1 || len(result.RefusedNodes) != 0 {
		t.Errorf("kept %s, refused %v", fingerprint(kept), result.RefusedNodes)
	}
}

// TestWhoMayPreempt: each type of job has its switch, and the cluster its level.
func TestWhoMayPreempt(t *testing.T) {
	for _, c := range []struct {
		jobType string
		on      model.PreemptionConfig
	}{
		{model.JobTypeService, model.PreemptionConfig{ServiceSchedulerEnabled: true}},
		{model.JobTypeBatch, model.PreemptionConfig{BatchSchedulerEnabled: true}},
		{model.JobTypeSystem, model.PreemptionConfig{SystemSchedulerEnabled: true}},
		{model.JobTypeSysbatch, model.PreemptionConfig{SysBatchSchedulerEnabled: true}},
	} {
		w, _ := yielding(t)
		w.setJob(buildJob("next", map[string]string{"mem": "150", "priority": "60", "type": c.jobType}, ""))
		e := w.newEval("next", model.TriggerJobRegister)
		off := everyonePreempts
		for from, to := range map[*bool]*bool{
			&c.on.ServiceSchedulerEnabled: &off.ServiceSchedulerEnabled, &c.on.BatchSchedulerEnabled: &off.BatchSchedulerEnabled,
			&c.on.SystemSchedulerEnabled: &off.SystemSchedulerEnabled, &c.on.SysBatchSchedulerEnabled: &off.SysBatchSchedulerEnabled,
		} {
			*to = *to && !*from
		}
		w.config = &model.SchedulerConfiguration{PreemptionConfig: c.on}
		if plan := w.process(e); placements(plan) != 1 || len(plan.Stops) != 1 {
			t.Errorf("%s, on: %s", c.jobType, fingerprint(plan))
		}
		w.config = &model.SchedulerConfiguration{PreemptionConfig: off}
		if plan := w.process(e); placements(plan) != 0 || len(plan.Stops) != 0 {
			t.Errorf("%s, off: %s", c.jobType, fingerprint(plan))
		}
	}
}
