package workload

import (
	"math/rand/v2"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
)

// written are the jobs that users write, in the order in which one may depend on those
// before it: nothing is refused for a cycle.
var written = []string{"b1", "s1", "y1", "b2", "s2", "z1", "s3"}

// precede has some groups depend on others, of their own job and of others. Its dice come
// after all others of the job.
func precede(dice *rand.Rand, j *model.Job) {
	if len(j.TaskGroups) > 1 && chance(dice, 0.4) {
		d := &depends.Dependency{Name: j.TaskGroups[0].Name, Condition: condition(dice, j.ID)}
		j.TaskGroups[1].DependsOn = append(j.TaskGroups[1].DependsOn, d)
	}
	place := 0
	for i, id := range written {
		if id == j.ID {
			place = i
		}
	}
	if place == 0 || !chance(dice, 0.25) {
		return
	}
	on := written[dice.IntN(place)]
	d := &depends.Dependency{Name: "other", Job: on, Group: []string{"", "g0"}[dice.IntN(2)], Condition: condition(dice, on)}
	if chance(dice, 0.3) {
		j.DependsOn = append(j.DependsOn, d)
	} else {
		j.TaskGroups[0].DependsOn = append(j.TaskGroups[0].DependsOn, d)
	}
}

// condition is one that a job of that name can meet.
func condition(dice *rand.Rand, id string) string {
	second := depends.Healthy
	if id[0] == 'b' || id[0] == 'z' {
		second = depends.Completed
	}
	return []string{depends.Started, second}[dice.IntN(2)]
}
