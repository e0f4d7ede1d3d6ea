package workload

import (
	"math/rand/v2"
	"time"

	"github.com/steppe-project/steppe/model"
)

// ordinals makes groups of services stateful: most of one job's, some of the others'. Its
// dice come after all others of the job.
func ordinals(dice *rand.Rand, j *model.Job) {
	if j.Type != model.JobTypeService {
		return
	}
	p := 0.15
	if j.ID == "s2" {
		p = 0.9
	}
	for _, g := range j.TaskGroups {
		if !chance(dice, p) || len(g.DependsOn)+len(j.DependsOn) > 0 {
			continue
		}
		g.Stateful = &model.StatefulConfig{Ordered: chance(dice, 0.75)}
		if chance(dice, 0.3) {
			g.Stateful.Partition = dice.IntN(g.Count + 2)
		}
		u := *j.Update
		if g.Update != nil {
			u = *g.Update
		}
		u.Canary, u.AutoPromote = 0, false
		if u.MaxParallel = max(1, u.MaxParallel); g.Stateful.Ordered {
			u.MaxParallel = 1
		}
		u.HealthyDeadline, u.ProgressDeadline = 8*time.Second, 60*time.Second
		g.Update = &u
	}
}
