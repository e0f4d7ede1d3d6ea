package alloc

import (
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deadline"
	"github.com/steppe-project/steppe/plugins"
)

// boundedAlloc is an allocation whose work has a time limit.
func boundedAlloc(n int, bound time.Duration, tasks ...*model.Task) *msg.AssignedAlloc {
	as := allocation(n, model.JobTypeBatch, tasks...)
	as.Job.TaskGroups[0].MaxRunDuration = bound
	return as
}

// TestDeadlineOfCore: the decisions of an allocation alone, of a main task and a hook.
func TestDeadlineOfCore(t *testing.T) {
	now, ran := time.Unix(10_000, 0), func(d time.Duration) time.Time { return time.Unix(10_000, 0).Add(-d) }
	for name, c := range map[string]struct {
		main, hook task.Status
		stop       bool // the servers want it, too
		over       bool // the main task is ended for want of time
		fails      bool // at once: it has no process
		wake       time.Duration
	}{
		"in time":              {main: task.Status{Phase: task.Running, Started: true, FirstStart: ran(59 * time.Second)}, wake: time.Second},
		"time is over":         {main: task.Status{Phase: task.Running, Started: true, FirstStart: ran(time.Minute)}, over: true},
		"restarts count":       {main: task.Status{Phase: task.Running, Started: true, FirstStart: ran(time.Hour), StartedAt: ran(time.Second)}, over: true},
		"of an older record":   {main: task.Status{Phase: task.Running, Started: true, StartedAt: ran(time.Minute)}, over: true},
		"between restarts":     {main: task.Status{Phase: task.Delaying, Started: true, FirstStart: ran(time.Minute), WakeAt: now.Add(time.Hour)}, over: true, fails: true},
		"killed for a restart": {main: task.Status{Phase: task.Killing, Restarting: true, Started: true, FirstStart: ran(time.Minute)}, over: true},
		"not started":          {main: task.Status{Phase: task.Starting}, hook: task.Status{Phase: task.Dead, Started: true, FirstStart: ran(time.Hour)}},
		"done":                 {main: task.Status{Phase: task.Dead, Started: true, FirstStart: ran(time.Hour)}},
		"a clock set back":     {main: task.Status{Phase: task.Running, Started: true, FirstStart: now.Add(time.Hour)}, wake: time.Minute},
		"the servers first":    {main: task.Status{Phase: task.Killing, StopSeen: true, Started: true, FirstStart: ran(time.Hour)}, stop: true},
	} {
		t.Run(name, func(t *testing.T) {
			as := boundedAlloc(1, time.Minute, plainTask("main"), hooked("hook", model.HookPrestart, false))
			if c.stop {
				as.Alloc.DesiredStatus = model.DesiredStop
			}
			core, err := NewCore(as, 0)
			if err != nil {
				t.Fatal(err)
			}
			if c.hook.Phase == task.Waiting {
				c.hook = task.Status{Phase: task.Dead, Started: true}
			}
			core.tasks[0].status, core.tasks[1].status = c.main, c.hook
			var events []string
			order := Order{Assigned: as}
			core.Settle(order, now, func(e Effect) {
				for _, ev := range e.Action.Events {
					events = append(events, ev.Type+" "+ev.DisplayMessage)
				}
			})
			_, s := core.Task(0)
			if s.Overran != c.over || s.Failed != c.fails || strings.Contains(strings.Join(events, "|"), deadline.EventOverran+" ran longer than max_run_duration (1m)") != c.over {
				t.Errorf("%+v, events %v", s, events)
			}
			if wake := core.WakeAt(order, now); c.wake != 0 && wake.Sub(now) != c.wake || c.wake == 0 && !wake.IsZero() {
				t.Errorf("wakes at %v, wanted in %v", wake, c.wake)
			}
		})
	}
}

// TestResumedWaitsForNews: what had ended in time while the agent was away is told within
// a moment, and is not late.
func TestResumedWaitsForNews(t *testing.T) {
	now := time.Unix(10_000, 0)
	as := boundedAlloc(1, time.Minute, plainTask("main"))
	late, err := NewCore(as, 0)
	if err != nil {
		t.Fatal(err)
	}
	none := func(Effect) {}
	late.Resume(0, task.Status{Phase: task.Running, Started: true, FirstStart: now.Add(-time.Hour)})
	late.Settle(Order{Assigned: as}, now, none)
	if _, s := late.Task(0); s.Phase != task.Running {
		t.Fatalf("it was not waited for: %+v", s)
	}
	if wake := late.WakeAt(Order{Assigned: as}, now); !wake.Equal(now.Add(tellTime)) {
		t.Errorf("wakes at %v", wake)
	}
	late.See(Order{Assigned: as}, 0, task.Observed{Kind: task.Exited, Exit: &plugins.ExitResult{}}, now.Add(tellTime/2), none)
	if status, _ := late.ClientStatus(); status != model.ClientComplete {
		t.Errorf("it is %s", status)
	}
}

// TestDeadline: work ends when its time is over, its poststop task runs, it is not started
// again, and has failed.
func TestDeadline(t *testing.T) {
	a := newAgent(t)
	as := boundedAlloc(1, 400*time.Millisecond, plainTask("work"), hooked("proxy", model.HookPrestart, true), hooked("tidy", model.HookPoststop, false))
	other := boundedAlloc(2, time.Hour, plainTask("other"))
	a.assign(as, nil)
	a.assign(other, nil)
	a.eventually("it tidies up", func() bool { return a.m.running("tidy") != nil })
	if a.m.running("work") != nil || a.m.running("proxy") != nil {
		t.Error("the poststop task runs beside the others")
	}
	a.m.end("tidy", plugins.ExitResult{})
	u := a.await(as.Alloc.ID, model.ClientFailed)
	if !strings.Contains(words(u), "ran longer than max_run_duration (400ms)") || u.ClientDescription != "ran longer than max_run_duration (400ms)" {
		t.Errorf("%s: %s", u.ClientDescription, words(u))
	}
	if s := u.TaskStates["work"]; !s.Overran || !s.Failed || s.Restarts != 0 {
		t.Errorf("%+v", s)
	}
	if s := u.TaskStates["tidy"]; s.Overran || s.Failed {
		t.Errorf("%+v", s)
	}
	if a.status(other.Alloc.ID).ClientStatus != model.ClientRunning {
		t.Error("the other one ended, too")
	}
	a.m.end("other", plugins.ExitResult{})
	a.await(other.Alloc.ID, model.ClientComplete)
}

// TestDeadlineOverRestart: an agent that comes back when the time is over ends the work.
func TestDeadlineOverRestart(t *testing.T) {
	a := newAgent(t)
	as := boundedAlloc(1, 2*time.Second, plainTask("work"))
	a.assign(as, nil)
	a.await(as.Alloc.ID, model.ClientRunning)
	began := time.Now()
	a.stop()
	time.Sleep(700 * time.Millisecond)
	a.start()
	u := a.await(as.Alloc.ID, model.ClientFailed)
	if took := time.Since(began); took < 1900*time.Millisecond || !u.TaskStates["work"].Overran {
		t.Errorf("after %s: %+v", took, u.TaskStates["work"])
	}
	a.stop()
	a.mu.Lock()
	delete(a.latest, as.Alloc.ID)
	a.mu.Unlock()
	a.start()
	if u := a.await(as.Alloc.ID, model.ClientFailed); !u.TaskStates["work"].Overran {
		t.Error("why it ended is forgotten")
	}
}
