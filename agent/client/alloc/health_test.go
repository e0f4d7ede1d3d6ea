package alloc

import (
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// patient is a core of a group of two tasks in a deployment, with their statuses.
func patient(t *testing.T, change func(u *model.UpdateStrategy)) (*Core, Order) {
	t.Helper()
	u := &model.UpdateStrategy{MaxParallel: 1, HealthCheck: "checks", MinHealthyTime: 10 * time.Second, HealthyDeadline: time.Minute}
	if change != nil {
		change(u)
	}
	g := &model.TaskGroup{Name: "g", Count: 1, Update: u, Tasks: []*model.Task{
		{Name: "init", Lifecycle: &model.TaskLifecycle{Hook: model.HookPrestart}}, {Name: "main"},
	}}
	a := &msg.AssignedAlloc{
		Alloc: &model.Allocation{ID: "a", TaskGroup: "g", DesiredStatus: model.DesiredRun, ClientStatus: model.ClientPending, DeploymentID: "d", AllocModifyIndex: 7},
		Job:   &model.Job{ID: "web", Type: model.JobTypeService, TaskGroups: []*model.TaskGroup{g}},
	}
	c, err := NewCore(a, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c, Order{Assigned: a}
}

func TestHealth(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	up := func(s int) task.Status { return task.Status{Phase: task.Running, Started: true, StartedAt: at(s)} }
	done := task.Status{Phase: task.Dead, Started: true}
	for _, c := range []struct {
		name   string
		change func(u *model.UpdateStrategy)
		tasks  [2]task.Status
		look   int // seconds
		want   string
		wake   int // 0: never
	}{
		{"nothing runs yet", nil, [2]task.Status{}, 5, "", 60},
		{"it has just started", nil, [2]task.Status{done, up(5)}, 14, "", 15},
		{"it has run for long enough", nil, [2]task.Status{done, up(5)}, 15, "healthy", 0},
		{"it restarts", nil, [2]task.Status{done, {Phase: task.Delaying, Started: true, Restarts: 1}}, 15, "", 60},
		{"it restarted lately", nil, [2]task.Status{done, up(58)}, 59, "", 60},
		{"its time is over", nil, [2]task.Status{done, up(58)}, 60, "unhealthy", 0},
		{"a task failed", nil, [2]task.Status{{Phase: task.Dead, Failed: true}, {}}, 1, "unhealthy", 0},
		{"somebody has to say it", func(u *model.UpdateStrategy) { u.HealthCheck = "manual" }, [2]task.Status{done, up(5)}, 100, "", 0},
		{"a task failed, and somebody has to say it", func(u *model.UpdateStrategy) { u.HealthCheck = "manual" },
			[2]task.Status{{Phase: task.Dead, Failed: true}, {}}, 1, "unhealthy", 0},
		{"all at once", func(u *model.UpdateStrategy) { u.MaxParallel = 0 }, [2]task.Status{done, up(5)}, 100, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			core, o := patient(t, c.change)
			if core.Judge(o, begin) {
				t.Fatal("judged before anything was seen")
			}
			core.Resume(0, c.tasks[0])
			core.Resume(1, c.tasks[1])
			said := core.Judge(o, at(c.look))
			got := ""
			if h := core.Health(); h != nil {
				if got = "unhealthy"; *h.Healthy {
					got = "healthy"
				}
				if h.ModifyIndex != 7 || !h.Timestamp.Equal(at(c.look)) {
					t.Errorf("said %+v", h)
				}
			}
			if got != c.want || said != (c.want != "") {
				t.Errorf("%q (said now: %v), want %q", got, said, c.want)
			}
			wake := core.judgeAt(o)
			if wake.IsZero() != (c.wake == 0) || !wake.IsZero() && !wake.Equal(at(c.wake)) {
				t.Errorf("looks again at %v", wake)
			}
			if core.Judge(o, at(c.look)) {
				t.Error("said it twice")
			}
		})
	}
}

// In another deployment an instance is judged anew.
func TestHealthInAnotherDeployment(t *testing.T) {
	core, o := patient(t, nil)
	now := time.Unix(1000, 0)
	core.Resume(0, task.Status{Phase: task.Dead, Started: true})
	core.Resume(1, task.Status{Phase: task.Running, Started: true, StartedAt: now})
	if !core.Judge(o, now.Add(time.Minute)) {
		t.Fatal("not healthy")
	}
	next := *o.Assigned.Alloc
	next.DeploymentID, next.AllocModifyIndex = "e", 9
	o.Assigned = &msg.AssignedAlloc{Alloc: &next, Job: o.Assigned.Job}
	if !core.Judge(o, now.Add(time.Hour)) || core.Health().ModifyIndex != 9 {
		t.Errorf("in the next deployment: %+v", core.Health())
	}
}
