package alloc

import (
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

const stopAfter = time.Minute

// fencedAlloc is an allocation whose group is stopped by its node after a minute.
func fencedAlloc(n int, tasks ...*model.Task) *msg.AssignedAlloc {
	as := allocation(n, model.JobTypeService, tasks...)
	d := model.NewDisconnectStrategy()
	d.StopOnClientAfter = stopAfter
	as.Job.TaskGroups[0].Disconnect = d
	return as
}

// TestFence: the decisions of an allocation alone.
func TestFence(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		plain  bool // no policy
		silent time.Duration
		lasts  time.Duration // the lease
		phase  task.Phase
		stop   bool // the servers want it, too
		verb   task.Verb
		event  string
		wake   time.Duration // 0: never
	}{
		"lease held":               {silent: 59 * time.Second, phase: task.Running, wake: time.Second},
		"starts":                   {silent: 59 * time.Second, phase: task.Waiting, verb: task.VerbStart, wake: time.Second},
		"a longer lease is held":   {silent: 89 * time.Second, lasts: 90 * time.Second, phase: task.Running, wake: time.Second},
		"a longer lease is over":   {silent: 90 * time.Second, lasts: 90 * time.Second, phase: task.Running, verb: task.VerbKill, event: model.EventDisconnected},
		"must not start":           {silent: time.Minute, phase: task.Waiting, wake: holdPause},
		"stops":                    {silent: time.Minute, phase: task.Running, verb: task.VerbKill, event: model.EventDisconnected},
		"gives up its start":       {silent: time.Minute, phase: task.Starting, verb: task.VerbCancel, event: model.EventDisconnected},
		"no policy":                {plain: true, silent: lease.Never, phase: task.Running},
		"the servers are obeyed":   {silent: time.Hour, phase: task.Running, stop: true, verb: task.VerbKill, wake: 0},
		"what is dead stays so":    {silent: time.Hour, phase: task.Dead},
		"a restart becomes an end": {silent: time.Hour, phase: task.Killing, event: model.EventDisconnected},
		"a restart is not awaited": {silent: time.Hour, phase: task.Delaying, event: model.EventDisconnected},
	} {
		t.Run(name, func(t *testing.T) {
			as := fencedAlloc(1, plainTask("web"))
			if c.plain {
				as.Job.TaskGroups[0].Disconnect = nil
			}
			if c.stop {
				as.Alloc.DesiredStatus = model.DesiredStop
			}
			core, err := NewCore(as, 0)
			if err != nil {
				t.Fatal(err)
			}
			core.Resume(0, task.Status{Phase: c.phase, Started: c.phase != task.Waiting, WakeAt: time.Time{}})
			if c.phase == task.Delaying {
				core.Resume(0, task.Status{Phase: c.phase, Started: true, WakeAt: now.Add(time.Hour)})
			}
			var verb task.Verb
			var events []string
			order := Order{Assigned: as, Silent: c.silent, Lasts: c.lasts}
			core.Settle(order, now, func(e Effect) {
				verb = e.Action.Verb
				for _, ev := range e.Action.Events {
					events = append(events, ev.Type)
				}
			})
			disconnected := strings.Contains(strings.Join(events, " "), model.EventDisconnected)
			if verb != c.verb || disconnected != (c.event != "") {
				t.Errorf("verb %d, events %v; wanted %d, %q", verb, events, c.verb, c.event)
			}
			wake := core.WakeAt(order, now)
			if c.wake == 0 && !wake.IsZero() || c.wake != 0 && wake.Sub(now) != c.wake {
				t.Errorf("wakes at %v, wanted in %v", wake, c.wake)
			}
		})
	}
}

// TestFenceFalls: the tasks of a group end without a lease, and once they do, go on
// to when the lease is back; the servers are told that it was lost, not done, also
// by the next run of the agent.
func TestFenceFalls(t *testing.T) {
	a := newAgent(t)
	as, other := fencedAlloc(1, plainTask("web"), hooked("proxy", model.HookPrestart, true)), allocation(2, model.JobTypeService, plainTask("plain"))
	a.assign(as, nil)
	a.assign(other, nil)
	a.await(as.Alloc.ID, model.ClientRunning)
	a.await(other.Alloc.ID, model.ClientRunning)
	if !a.set.Fenced() {
		t.Error("nothing depends on the lease")
	}
	a.eventually("all run", func() bool { return a.m.count() == 3 })
	// The agent is not there when the time comes, and acts when it is.
	a.stop()
	a.silent.Store(int64(time.Hour))
	a.start()
	u := a.await(as.Alloc.ID, model.ClientLost)
	if text := words(u); !strings.Contains(text, "No contact with the servers for 1m0s") {
		t.Errorf("events: %s", text)
	}
	a.eventually("only the other runs", func() bool { return a.m.count() == 1 && a.m.running("plain") != nil })
	a.stop()
	a.silent.Store(0)
	a.mu.Lock()
	delete(a.latest, as.Alloc.ID)
	a.mu.Unlock()
	a.start()
	a.await(as.Alloc.ID, model.ClientLost)
	a.eventually("its end is known", func() bool { _, ended := a.set.Count(); return len(ended) == 1 })
	if a.set.Fenced() {
		t.Error("an ended allocation needs no lease")
	}
}

// TestFenceHolds: what was assigned to a node without a lease starts when it has
// one.
func TestFenceHolds(t *testing.T) {
	a := newAgent(t)
	a.silent.Store(int64(time.Hour))
	as, other := fencedAlloc(1, plainTask("web")), allocation(2, model.JobTypeService, plainTask("plain"))
	a.assign(as, nil)
	a.assign(other, nil)
	a.await(other.Alloc.ID, model.ClientRunning)
	if a.m.running("web") != nil {
		t.Error("it runs without a lease")
	}
	a.silent.Store(0)
	a.await(as.Alloc.ID, model.ClientRunning)
}
