// Package workload makes the jobs of simulations: random ones of all types, with
// what can go wrong between versions, groups and tasks.
//
// Contract: equal dice give equal jobs. A task's environment says how its process
// behaves (see Behaviour), since simulated drivers run no programs.
//
// Example:
//
//	job := workload.Job(dice, "s1", map[string]string{"mark": "1"})
package workload

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
)

// Job is a random specification. Its type follows from the first letter of its id
// (s service, b batch, y system, z sysbatch, p periodic, d parameterized), so that
// versions differ in what users change.
func Job(dice *rand.Rand, id string, meta map[string]string) *model.Job {
	kind := id[:1]
	j := model.NewJob(map[string]string{"s": model.JobTypeService, "b": model.JobTypeBatch, "y": model.JobTypeSystem, "z": model.JobTypeSysbatch, "p": model.JobTypeBatch, "d": model.JobTypeBatch}[kind])
	j.ID, j.Name, j.Datacenters = id, id, []string{"*"}
	j.Priority = []int{20, 50, 50, 80}[dice.IntN(4)]
	j.Meta = meta
	if j.Update != nil && chance(dice, 0.5) {
		j.Update.MaxParallel = 0
	}
	if j.Update != nil {
		j.Update.MinHealthyTime = 2 * time.Second
	}
	for i := range 1 + dice.IntN(2) {
		j.TaskGroups = append(j.TaskGroups, group(dice, j, "g"+strconv.Itoa(i)))
	}
	if chance(dice, 0.3) {
		j.Constraints = []*model.Constraint{{LTarget: "${meta.color}", RTarget: "red", Operand: []string{"=", "!="}[dice.IntN(2)]}}
	}
	switch kind {
	case "p":
		periodic(dice, j)
	case "d":
		j.ParameterizedJob = &model.ParameterizedJobConfig{Payload: "optional", MetaOptional: []string{"input"}}
		small(j)
	}
	prefer(dice, j)
	rollout(dice, j)
	precede(dice, j)
	ordinals(dice, j)
	bound(dice, j)
	together(dice, j)
	return j
}

// periodic gives a job a schedule of several launches a minute. Those whose id ends in an
// even digit prohibit overlap, whatever the version.
func periodic(dice *rand.Rand, j *model.Job) {
	spec := []string{"*/7 * * * * * *", "*/10 * * * * * *", "3,21,40 * * * * * *"}[dice.IntN(3)]
	j.Periodic = &model.PeriodicConfig{
		Enabled: !chance(dice, 0.1), Spec: spec, SpecType: "cron", TimeZone: "UTC",
		CatchUp: []string{"last", "skip"}[dice.IntN(2)], ProhibitOverlap: (j.ID[len(j.ID)-1]-'0')%2 == 0,
	}
	small(j)
}

// small keeps the many children of a job from filling the nodes.
func small(j *model.Job) {
	j.TaskGroups = j.TaskGroups[:1]
	j.TaskGroups[0].Count = min(j.TaskGroups[0].Count, 1)
	for _, t := range j.TaskGroups[0].Tasks {
		t.Resources.CPU, t.Resources.MemoryMB = 50, 16
	}
}

// prefer has a job like some nodes, and spread its groups. Its dice come after all
// others of the job.
func prefer(dice *rand.Rand, j *model.Job) {
	if j.Type != model.JobTypeService && j.Type != model.JobTypeBatch {
		return
	}
	if chance(dice, 0.3) {
		j.Affinities = []*model.Affinity{{LTarget: "${meta.color}", RTarget: "red", Operand: "=", Weight: []int8{-100, -10, 30, 100}[dice.IntN(4)]}}
	}
	if chance(dice, 0.2) {
		j.Spreads = []*model.Spread{{Attribute: "${meta.color}", Weight: int8(1 + dice.IntN(100))}}
	}
	for _, g := range j.TaskGroups {
		if chance(dice, 0.2) {
			s := &model.Spread{Attribute: []string{"${meta.color}", "${node.unique.name}"}[dice.IntN(2)], Weight: model.DefaultWeight}
			if chance(dice, 0.5) {
				s.SpreadTarget = []*model.SpreadTarget{{Value: "red", Percent: uint8(dice.IntN(101))}}
			}
			g.Spreads = []*model.Spread{s}
		}
	}
}

func group(dice *rand.Rand, j *model.Job, name string) *model.TaskGroup {
	g := model.NewTaskGroup(j)
	g.Name = name
	if j.Type == model.JobTypeService || j.Type == model.JobTypeBatch {
		g.Count = dice.IntN(5)
	}
	if chance(dice, 0.2) {
		g.Constraints = []*model.Constraint{{Operand: relation.DistinctHosts, RTarget: "true"}}
	}
	if chance(dice, 0.3) {
		g.Networks = []*model.NetworkResource{{ReservedPorts: []model.Port{{Label: "p", Value: 8000 + dice.IntN(3)}}, DynamicPorts: []model.Port{{Label: "d"}}}}
	}
	if chance(dice, 0.3) {
		g.Disconnect = model.NewDisconnectStrategy()
		g.Disconnect.StopOnClientAfter = between(dice, time.Second, 20*time.Second)
	}
	if p := g.ReschedulePolicy; p != nil {
		p.Unlimited, p.Attempts, p.Delay, p.DelayFunction, p.MaxDelay = true, 0, 5*time.Second, model.DelayConstant, 0
		p.Interval = 0
	}
	g.RestartPolicy = &model.RestartPolicy{Attempts: 2, Interval: time.Minute, Delay: time.Second, Mode: model.RestartModeFail}
	for i := range 1 + dice.IntN(2) {
		t := model.NewTask(g)
		t.Name, t.Driver = "t"+strconv.Itoa(i), "raw_exec"
		t.Config = map[string]any{"command": "/bin/sleep"}
		t.KillTimeout = between(dice, 0, 3*time.Second)
		t.Resources.CPU, t.Resources.MemoryMB = 100+100*dice.IntN(10), 64+64*dice.IntN(12)
		t.Env = map[string]string{"V": strconv.Itoa(dice.IntN(3))}
		if j.Type == model.JobTypeBatch || j.Type == model.JobTypeSysbatch {
			t.Env["RUN"] = between(dice, 100*time.Millisecond, 20*time.Second).Round(time.Millisecond).String()
		}
		if i > 0 && chance(dice, 0.4) {
			t.Lifecycle = &model.TaskLifecycle{Hook: []string{model.HookPrestart, model.HookPoststart, model.HookPoststop}[dice.IntN(3)]}
			t.Lifecycle.Sidecar = t.Lifecycle.Hook != model.HookPoststop && chance(dice, 0.5)
			if delete(t.Env, "RUN"); !t.Lifecycle.Sidecar { // one that ends by itself has failed
				t.Env["RUN"] = "500ms"
			}
		}
		t.RestartPolicy = nil
		g.Tasks = append(g.Tasks, t)
	}
	return g
}

func chance(dice *rand.Rand, p float64) bool { return dice.Float64() < p }

func between(dice *rand.Rand, a, b time.Duration) time.Duration {
	return a + time.Duration(dice.Int64N(int64(b-a)+1))
}

// Behaviour is how a task's process ends by itself: after a time, with an exit
// code; ends is false for one that runs for ever.
func Behaviour(t *model.Task) (after time.Duration, code int, ends bool) {
	after, err := time.ParseDuration(t.Env["RUN"])
	if err != nil {
		return 0, 0, false
	}
	if t.Env["EXIT"] != "" {
		code = 1
	}
	return after, code, true
}
