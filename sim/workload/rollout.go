package workload

import (
	"math/rand/v2"
	"time"

	"github.com/steppe-project/steppe/model"
)

// rollout has updates of a service go all the ways that there are; some versions crash.
// Its dice come after all others of the job.
func rollout(dice *rand.Rand, j *model.Job) {
	if j.Type != model.JobTypeService {
		return
	}
	broken := chance(dice, 0.15)
	for _, g := range j.TaskGroups {
		u := *j.Update
		u.HealthyDeadline, u.ProgressDeadline = 8*time.Second, 20*time.Second
		g.Update = &u
		if u.MaxParallel == 0 {
			continue
		}
		u.MaxParallel = 1 + dice.IntN(2)
		u.AutoRevert = chance(dice, 0.5)
		if g.Count > 0 && chance(dice, 0.4) {
			u.Canary, u.AutoPromote = 1+dice.IntN(g.Count), chance(dice, 0.5)
		}
		if broken {
			crash(g)
		}
	}
}

// crash has the instances of a group fail soon, and be tried once more.
func crash(g *model.TaskGroup) {
	g.Tasks[0].Env["RUN"], g.Tasks[0].Env["EXIT"] = "300ms", "1"
	g.ReschedulePolicy = &model.ReschedulePolicy{Attempts: 1, Interval: time.Hour, Delay: 5 * time.Second, DelayFunction: model.DelayConstant}
}
