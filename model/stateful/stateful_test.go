package stateful_test

import (
	"slices"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/stateful"
)

func job(version uint64, partition int) *model.Job {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Version, j.CreateIndex = "db", version, 7
	g := model.NewTaskGroup(j)
	g.Name, g.Count, g.Stateful = "g", 3, &model.StatefulConfig{Ordered: true, Partition: partition}
	task := model.NewTask(g)
	task.Name, task.ShutdownDelay = "t", 3*time.Second
	g.ShutdownDelay = time.Second
	g.Tasks, j.TaskGroups = []*model.Task{task}, []*model.TaskGroup{g}
	return j
}

func instance(j *model.Job, i int) *model.Allocation {
	return &model.Allocation{
		ID: string(rune('a' + i)), JobID: j.ID, Job: j, JobVersion: j.Version, TaskGroup: "g", Name: model.AllocName(j.ID, "g", i),
		DesiredStatus: model.DesiredRun, ClientStatus: model.ClientRunning,
	}
}

// A deployment counts and waits for what it brings.
func TestPartition(t *testing.T) {
	old, next := job(0, 0), job(1, 2)
	all := []*model.Allocation{instance(old, 0), instance(old, 1), instance(old, 2)}
	d := stateful.Narrow(deploy.New("d", next, time.Unix(0, 0), func(*model.TaskGroup) bool { return false }), next, slices.Values(all))
	if n := d.TaskGroups["g"].DesiredTotal; n != 1 {
		t.Errorf("%d are deployed", n)
	}
	if stateful.Complete(d, next, slices.Values(all)) {
		t.Error("complete with old instances")
	}
	yes := true
	all[2] = instance(next, 2)
	all[2].DeploymentID, all[2].DeploymentStatus = "d", &model.AllocDeploymentStatus{Healthy: &yes}
	if !stateful.Complete(d, next, slices.Values(all)) {
		t.Error("not complete")
	}
	none := job(2, 3)
	if d := stateful.Narrow(deploy.New("d", none, time.Unix(0, 0), nil), none, slices.Values(all)); d != nil {
		t.Errorf("%v deploys nothing", d.TaskGroups["g"])
	}
}

// A name is held until its node has said that it is free, or the plan gives it up.
func TestHolder(t *testing.T) {
	j := job(0, 0)
	a := instance(j, 1)
	held := func(stops ...*model.PlanStop) bool {
		return stateful.Holder([]*model.Job{j}, "g", 1, slices.Values([]*model.Allocation{a}), stops) != ""
	}
	a.DesiredStatus = model.DesiredStop
	switch {
	case !held(), !held(&model.PlanStop{ID: a.ID}), held(&model.PlanStop{ID: a.ID, ClientStatus: model.ClientLost}):
		t.Error("told to stop is not ended, lost is")
	}
	plain := job(0, 0)
	plain.TaskGroups[0].Stateful = nil
	for _, c := range []struct {
		versions []*model.Job
		held     bool
	}{{[]*model.Job{plain}, false}, {[]*model.Job{plain, j}, true}, {[]*model.Job{j, plain}, true}, {[]*model.Job{j, nil}, true}, {[]*model.Job{plain, nil}, false}} {
		if why := stateful.Holder(c.versions, "g", 1, slices.Values([]*model.Allocation{a}), nil); (why != "") != c.held {
			t.Errorf("by %d versions it is held: %q", len(c.versions), why)
		}
	}
	if a.ClientStatus = model.ClientComplete; held() {
		t.Error("it has ended")
	}
	if d := stateful.EndWithin(j.TaskGroups[0]); d != 20*time.Second { // 1 + 3 + 5 + 1 + 10
		t.Errorf("it ends within %s", d)
	}
}
