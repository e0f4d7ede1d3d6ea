package workload

import (
	"math/rand/v2"
	"time"

	"github.com/steppe-project/steppe/model"
)

// together makes groups gangs. Its dice come after all others of the job.
func together(dice *rand.Rand, j *model.Job) {
	if j.Type != model.JobTypeService && j.Type != model.JobTypeBatch || j.Periodic != nil || j.ParameterizedJob != nil {
		return
	}
	for _, g := range j.TaskGroups {
		if !chance(dice, 0.35) || g.Stateful != nil || len(g.DependsOn)+len(j.DependsOn) > 0 {
			continue
		}
		g.Gang = &model.GangConfig{MaxPartial: []time.Duration{0, 5 * time.Second, 15 * time.Second, 40 * time.Second}[dice.IntN(4)]}
		g.Count = 2 + dice.IntN(4)
		if g.Update != nil {
			g.Update.Canary, g.Update.AutoPromote = 0, false
		}
		if chance(dice, 0.3) { // else it fails again and again
			g.ReschedulePolicy = &model.ReschedulePolicy{Attempts: 1, Interval: time.Hour, Delay: 5 * time.Second, DelayFunction: model.DelayConstant}
		}
		for _, t := range g.Tasks {
			t.Resources.CPU, t.Resources.MemoryMB = min(t.Resources.CPU, 500), min(t.Resources.MemoryMB, 400)
		}
	}
}

// bound gives work that ends a time in which it has to. Its dice come after all others
// of the job.
func bound(dice *rand.Rand, j *model.Job) {
	if j.Type != model.JobTypeBatch && j.Type != model.JobTypeSysbatch {
		return
	}
	for _, g := range j.TaskGroups {
		if chance(dice, 0.3) {
			g.MaxRunDuration = between(dice, 2*time.Second, 15*time.Second).Round(time.Millisecond)
		}
	}
}
