package alloc

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

func TestRunAndStop(t *testing.T) {
	a := newAgent(t)
	as := allocation(1, model.JobTypeService, plainTask("web"))
	id := as.Alloc.ID
	a.assign(as, nil)
	u := a.await(id, model.ClientRunning)
	for _, want := range []string{"Task received by client", "Building Task Directory", "Task started by client"} {
		if !strings.Contains(words(u), want) {
			t.Errorf("no event %q in %s", want, words(u))
		}
	}
	if _, err := os.Stat(a.dir(id).TaskPath("web") + "/local"); err != nil {
		t.Error(err)
	}
	a.assign(as, stopped)
	u = a.await(id, model.ClientComplete)
	if !strings.Contains(words(u), "Sent interrupt. Waiting 100ms before force killing") || !strings.Contains(words(u), "Task successfully killed") {
		t.Errorf("events %s", words(u))
	}
	a.eventually("it may be removed", func() bool { _, ended := a.set.Count(); return len(ended) == 1 })
	if err := a.set.Remove(context.Background(), id); err != nil || a.dir(id).Exists() {
		t.Errorf("remove: %v", err)
	}
}

func TestBatch(t *testing.T) {
	a := newAgent(t)
	good, bad := allocation(1, model.JobTypeBatch, plainTask("good")), allocation(2, model.JobTypeBatch, plainTask("bad"))
	a.assign(good, nil)
	a.assign(bad, nil)
	a.await(good.Alloc.ID, model.ClientRunning)
	a.await(bad.Alloc.ID, model.ClientRunning)
	a.m.end("good", plugins.ExitResult{})
	a.await(good.Alloc.ID, model.ClientComplete)
	for range 2 { // one restart is allowed
		a.eventually("bad runs", func() bool { return a.m.running("bad") != nil })
		a.m.end("bad", plugins.ExitResult{ExitCode: 7})
	}
	u := a.await(bad.Alloc.ID, model.ClientFailed)
	if s := u.TaskStates["bad"]; s.Restarts != 1 || !s.Failed || !strings.Contains(words(u), "Exit Code: 7") {
		t.Errorf("%+v %s", s, words(u))
	}
}

func TestLifecycle(t *testing.T) {
	a := newAgent(t)
	as := allocation(1, model.JobTypeBatch, plainTask("main"),
		hooked("init", model.HookPrestart, false), hooked("proxy", model.HookPrestart, true),
		hooked("after", model.HookPoststart, false), hooked("cleanup", model.HookPoststop, false))
	id := as.Alloc.ID
	a.assign(as, nil)
	a.eventually("prestart tasks run", func() bool { return a.m.count() == 2 })
	a.m.end("init", plugins.ExitResult{})
	a.eventually("main and poststart run", func() bool { return a.m.running("after") != nil })
	a.m.end("after", plugins.ExitResult{})
	a.m.end("main", plugins.ExitResult{})
	a.eventually("poststop runs, the sidecar has ended", func() bool {
		return a.m.running("cleanup") != nil && a.m.running("proxy") == nil
	})
	if got := a.status(id).ClientStatus; got != model.ClientRunning {
		t.Errorf("status %s before poststop has ended", got)
	}
	a.m.end("cleanup", plugins.ExitResult{})
	u := a.await(id, model.ClientComplete)
	if !strings.Contains(words(u), "Main tasks in the group died") {
		t.Errorf("events %s", words(u))
	}
	order := a.m.order()
	at := func(name string) int { return slices.Index(order, name) }
	if at("main") < at("init") || at("main") < at("proxy") || at("after") < at("main") || at("cleanup") < at("after") {
		t.Errorf("order %v", order)
	}
}

func TestFailureTakesSiblings(t *testing.T) {
	a := newAgent(t)
	as := allocation(1, model.JobTypeService, plainTask("one"), plainTask("two"))
	as.Job.TaskGroups[0].RestartPolicy.Attempts = 0
	a.assign(as, nil)
	a.eventually("both run", func() bool { return a.m.count() == 2 })
	a.m.end("one", plugins.ExitResult{ExitCode: 1})
	u := a.await(as.Alloc.ID, model.ClientFailed)
	if !strings.Contains(words(u), `Task's sibling "one" failed`) || u.TaskStates["two"].Failed {
		t.Errorf("events %s", words(u))
	}
}

func TestLeader(t *testing.T) {
	a := newAgent(t)
	leader := plainTask("leader")
	leader.Leader = true
	as := allocation(1, model.JobTypeBatch, leader, plainTask("follower"))
	a.assign(as, nil)
	a.eventually("both run", func() bool { return a.m.count() == 2 })
	a.m.end("leader", plugins.ExitResult{})
	if u := a.await(as.Alloc.ID, model.ClientComplete); !strings.Contains(words(u), "Leader Task in Group dead") {
		t.Errorf("events %s", words(u))
	}
}

func TestStartErrors(t *testing.T) {
	a := newAgent(t)
	a.m.startErr["wrong"] = errors.New("command not found: nonsense")
	a.m.startErr["busy"] = plugins.Recoverable(errors.New("try later"))
	unknown := plainTask("unknown")
	unknown.Driver = "docker"
	odd := plainTask("odd")
	odd.Config = map[string]any{"comand": "x"}
	for i, tc := range []struct {
		task *model.Task
		want string
	}{
		{plainTask("wrong"), "command not found: nonsense"}, {plainTask("busy"), "Exceeded allowed attempts 1"},
		{unknown, "not available on this node"}, {odd, "comand"},
	} {
		as := allocation(i, model.JobTypeService, tc.task)
		a.assign(as, nil)
		if u := a.await(as.Alloc.ID, model.ClientFailed); !strings.Contains(words(u), tc.want) {
			t.Errorf("%s: events %s", tc.task.Name, words(u))
		}
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := newAgent(t)
	as := allocation(1, model.JobTypeService, plainTask("web"))
	as.Alloc.AllocatedResources.Shared.Ports = []model.PortMapping{{Label: "http", HostIP: "127.0.0.1", Value: l.Addr().(*net.TCPAddr).Port}}
	a.assign(as, nil)
	if u := a.await(as.Alloc.ID, model.ClientFailed); !strings.Contains(words(u), "is taken by another process") {
		t.Errorf("events %s", words(u))
	}
}

// TestDriverCrash: the driver's process dies, its tasks do not.
func TestDriverCrash(t *testing.T) {
	a := newAgent(t)
	as := allocation(1, model.JobTypeBatch, plainTask("one"), plainTask("two"))
	as.Job.TaskGroups[0].RestartPolicy.Attempts = 0
	a.assign(as, nil)
	a.eventually("both run", func() bool { return a.m.count() == 2 })
	a.m.crash()
	a.m.end("one", plugins.ExitResult{}) // unseen
	a.m.boot()
	a.eventually("the end is seen", func() bool {
		s := a.status(as.Alloc.ID).TaskStates["one"]
		return s != nil && s.State == model.TaskDead
	})
	a.assign(as, stopped)
	u := a.await(as.Alloc.ID, model.ClientComplete)
	if len(a.m.order()) != 2 || u.TaskStates["two"].Restarts != 0 {
		t.Errorf("restarted: %v", a.m.order())
	}
}

// TestAgentRestart: tasks go on without the agent, and what ended meanwhile
// reports its true exit code.
func TestAgentRestart(t *testing.T) {
	for _, lose := range []bool{false, true} {
		a := newAgent(t)
		as := allocation(1, model.JobTypeBatch, plainTask("stays"), plainTask("ends"))
		as.Job.TaskGroups[0].RestartPolicy.Attempts = 0
		a.assign(as, nil)
		a.eventually("both run", func() bool { return a.m.count() == 2 })
		a.await(as.Alloc.ID, model.ClientRunning)
		stays := a.m.running("stays")
		a.stop()
		a.m.end("ends", plugins.ExitResult{ExitCode: 7})
		a.m.crash()
		a.m.boot()
		if lose {
			if err := os.Remove(a.statePath()); err != nil {
				t.Fatal(err)
			}
		}
		a.start()
		if lose {
			as.Alloc.ClientStatus = model.ClientRunning
			as.Alloc.TaskStates = a.status(as.Alloc.ID).TaskStates
			a.apply(&msg.NodeAssign{Full: true, Allocs: []*msg.AssignedAlloc{as}})
		}
		u := a.await(as.Alloc.ID, model.ClientFailed)
		if !strings.Contains(words(u), "Exit Code: 7") || len(a.m.order()) != 2 {
			t.Errorf("lost %v: started %v, events %s", lose, a.m.order(), words(u))
		}
		if stays.exit == nil || stays.exit.Signal != 15 {
			t.Errorf("lost %v: the sibling was not stopped in order: %+v", lose, stays.exit)
		}
		a.stop()
	}
}

// TestUnknownTasksEnd: without a state file, what the servers do not want ends.
func TestUnknownTasksEnd(t *testing.T) {
	a := newAgent(t)
	as := allocation(1, model.JobTypeService, plainTask("web"))
	a.assign(as, nil)
	a.await(as.Alloc.ID, model.ClientRunning)
	a.stop()
	if err := os.Remove(a.statePath()); err != nil {
		t.Fatal(err)
	}
	a.start()
	if a.m.count() != 1 {
		t.Fatal("ended before the servers said so")
	}
	a.apply(&msg.NodeAssign{Full: true})
	a.eventually("it ended and is gone", func() bool { return a.m.count() == 0 && !a.dir(as.Alloc.ID).Exists() })
}

// TestUnwantedIsKept: that the servers do not want an allocation any more outlives
// the agent, also when nothing runs that would tell.
func TestUnwantedIsKept(t *testing.T) {
	a := newAgent(t)
	as := allocation(1, model.JobTypeService, plainTask("web"))
	a.assign(as, nil)
	a.await(as.Alloc.ID, model.ClientRunning)
	a.apply(&msg.NodeAssign{Full: true})
	a.stop()
	a.m = newMachine() // rebooted
	a.start()
	time.Sleep(100 * time.Millisecond)
	if n := a.m.count(); n != 0 {
		t.Errorf("%d tasks run that nobody wants", n)
	}
}

// TestRebooted: no task is there any more; services start anew, uncounted.
func TestRebooted(t *testing.T) {
	a := newAgent(t)
	as := allocation(1, model.JobTypeService, plainTask("web"))
	a.assign(as, nil)
	a.await(as.Alloc.ID, model.ClientRunning)
	a.stop()
	a.m = newMachine()
	a.start()
	a.eventually("it runs again", func() bool { return a.m.count() == 1 })
	a.eventually("it is reported", func() bool { return strings.Contains(words(a.status(as.Alloc.ID)), "could not be found again") })
	if got := a.seen[as.Alloc.ID]; slices.Contains(got, model.ClientFailed) {
		t.Errorf("statuses %v", got)
	}
}

// TestReplacementWaits: what needs the ports of an ending allocation waits for
// its end; and is given up at once when it is stopped meanwhile.
func TestReplacementWaits(t *testing.T) {
	a := newAgent(t)
	old := allocation(1, model.JobTypeService, plainTask("old"))
	old.Job.TaskGroups[0].ShutdownDelay = 300 * time.Millisecond
	ports := []model.PortMapping{{Label: "http", HostIP: "127.0.0.1", Value: 28123}}
	old.Alloc.AllocatedResources.Shared.Ports = ports
	a.assign(old, nil)
	a.await(old.Alloc.ID, model.ClientRunning)
	a.assign(old, stopped)
	next, never := allocation(2, model.JobTypeService, plainTask("next")), allocation(3, model.JobTypeService, plainTask("never"))
	next.Alloc.AllocatedResources.Shared.Ports = ports
	never.Alloc.PreviousAllocation = old.Alloc.ID
	a.assign(next, nil)
	a.assign(never, nil)
	a.assign(never, stopped)
	a.await(never.Alloc.ID, model.ClientComplete)
	if a.m.running("old") == nil {
		t.Error("the shutdown delay was not kept")
	}
	a.await(next.Alloc.ID, model.ClientRunning)
	if got := a.m.order(); !slices.Equal(got, []string{"old", "next"}) || a.status(old.Alloc.ID).ClientStatus != model.ClientComplete {
		t.Errorf("order %v", got)
	}
}

// TestPreemptorWaits: what takes the room of another allocation starts when that has
// ended.
func TestPreemptorWaits(t *testing.T) {
	a := newAgent(t)
	victim := allocation(1, model.JobTypeService, plainTask("victim"))
	victim.Job.TaskGroups[0].ShutdownDelay = 300 * time.Millisecond
	a.assign(victim, nil)
	a.await(victim.Alloc.ID, model.ClientRunning)
	next := allocation(2, model.JobTypeService, plainTask("next"))
	next.Alloc.PreemptedAllocations = []string{victim.Alloc.ID}
	a.assign(victim, func(x *model.Allocation) { x.DesiredStatus = model.DesiredEvict })
	a.assign(next, nil)
	a.await(next.Alloc.ID, model.ClientRunning)
	if got := a.m.order(); !slices.Equal(got, []string{"victim", "next"}) || a.status(victim.Alloc.ID).ClientStatus != model.ClientComplete {
		t.Errorf("order %v, the victim is %s", got, a.status(victim.Alloc.ID).ClientStatus)
	}
}

// TestRestoredWaits: what waited before the agent was restarted waits after it.
func TestRestoredWaits(t *testing.T) {
	a := newAgent(t)
	old := allocation(1, model.JobTypeService, plainTask("old"))
	old.Job.TaskGroups[0].ShutdownDelay = time.Hour
	ports := []model.PortMapping{{Label: "http", HostIP: "127.0.0.1", Value: 28125}}
	old.Alloc.AllocatedResources.Shared.Ports = ports
	a.assign(old, nil)
	a.await(old.Alloc.ID, model.ClientRunning)
	next := allocation(2, model.JobTypeService, plainTask("next"))
	next.Alloc.AllocatedResources.Shared.Ports = ports
	a.assign(old, stopped)
	a.assign(next, nil)
	a.stop()
	a.start()
	a.eventually("next waits again", func() bool {
		return strings.Contains(words(a.status(next.Alloc.ID)), "Waiting for an earlier allocation")
	})
	if a.m.running("old") == nil || a.m.running("next") != nil {
		t.Errorf("next does not wait for old: %v", a.m.order())
	}
	a.assign(old, func(x *model.Allocation) {
		stopped(x)
		x.DesiredTransition.NoShutdownDelay = new(true)
	})
	a.await(next.Alloc.ID, model.ClientRunning)
	if a.m.running("old") != nil || a.status(old.Alloc.ID).ClientStatus != model.ClientComplete {
		t.Errorf("the port was used twice: %v", a.m.order())
	}
}

func TestControl(t *testing.T) {
	a, ctx := newAgent(t), context.Background()
	as := allocation(1, model.JobTypeService, plainTask("web"), hooked("init", model.HookPrestart, false))
	a.assign(as, nil)
	a.eventually("init runs", func() bool { return a.m.running("init") != nil })
	a.m.end("init", plugins.ExitResult{})
	a.eventually("web runs", func() bool { return a.m.running("web") != nil })
	r, err := a.set.Get(as.Alloc.ID)
	if err != nil {
		t.Fatal(err)
	}
	a.eventually("web is known to run", func() bool {
		s := a.status(as.Alloc.ID).TaskStates["web"]
		return s != nil && s.State == model.TaskRunning
	})
	first := a.m.running("web")
	if err := r.Signal(ctx, "web", "SIGHUP"); err != nil || first.signal != "SIGHUP" {
		t.Errorf("signal %q: %v", first.signal, err)
	}
	if err := r.Restart(ctx, "init", false); err == nil {
		t.Error("a task that does not run was restarted")
	}
	if err := r.Restart(ctx, "nobody", false); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("%v", err)
	}
	if err := r.Restart(ctx, "", false); err != nil {
		t.Fatal(err)
	}
	a.eventually("it runs anew", func() bool { n := a.m.running("web"); return n != nil && n != first })
	a.eventually("the history says so", func() bool {
		w := words(a.status(as.Alloc.ID))
		return strings.Contains(w, "Task signaled to restart") && strings.Contains(w, "Task being sent signal SIGHUP")
	})
	if got := a.m.order(); !slices.Equal(got, []string{"init", "web", "web"}) {
		t.Errorf("order %v", got)
	}
	if err := a.set.StopAll(ctx); err != nil || a.m.count() != 0 {
		t.Errorf("stop all: %v", err)
	}
	// The servers' replacement comes before the node is gone.
	late := allocation(2, model.JobTypeService, plainTask("late"))
	a.assign(late, nil)
	if _, err := a.set.Get(late.Alloc.ID); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("a client that leaves took in a replacement: %v", err)
	}
}

// TestStopWhileStarting: a start that hangs in its driver is ended when it
// comes through.
func TestStopWhileStarting(t *testing.T) {
	a := newAgent(t)
	a.m.block = make(chan struct{})
	as := allocation(1, model.JobTypeService, plainTask("slow"))
	a.assign(as, nil)
	a.eventually("it is pending", func() bool { return a.status(as.Alloc.ID).ClientStatus == model.ClientPending })
	a.assign(as, stopped)
	close(a.m.block)
	a.await(as.Alloc.ID, model.ClientComplete)
	if a.m.count() != 0 {
		t.Error("it still runs")
	}
}

// TestRemovedKeepsDirectory: an allocation that left the assignment keeps its
// logs until garbage collection.
func TestRemovedKeepsDirectory(t *testing.T) {
	a := newAgent(t)
	as := allocation(1, model.JobTypeBatch, plainTask("job"))
	a.assign(as, nil)
	a.await(as.Alloc.ID, model.ClientRunning)
	a.apply(&msg.NodeAssign{Removed: []string{as.Alloc.ID}})
	a.eventually("it ended", func() bool { _, ended := a.set.Count(); return len(ended) == 1 })
	if !a.dir(as.Alloc.ID).Exists() || a.m.count() != 0 {
		t.Error("directory or task is wrong")
	}
}

// TestForeignDriver: a driver that writes into pipes has its output kept, also
// over a restart of the agent.
func TestForeignDriver(t *testing.T) {
	a := newAgent(t)
	a.m.crash()
	a.m.foreign = true
	a.m.boot()
	as := allocation(1, model.JobTypeBatch, plainTask("talks"))
	a.assign(as, nil)
	a.await(as.Alloc.ID, model.ClientRunning)
	a.stop()
	a.start()
	config := a.m.running("talks").config
	if config.Logs != nil || !strings.HasSuffix(config.StdoutPath, ".talks.stdout.fifo") {
		t.Errorf("%+v", config)
	}
	a.eventually("the pipe is read again", func() bool {
		f, err := os.OpenFile(config.StdoutPath, os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails while nobody reads
		if err != nil {
			return false
		}
		_, err = f.WriteString("and again\n")
		return errors.Join(err, f.Close()) == nil
	})
	a.m.end("talks", plugins.ExitResult{})
	a.await(as.Alloc.ID, model.ClientComplete)
	log, err := os.ReadFile(a.dir(as.Alloc.ID).LogPath() + "/talks.stdout.0")
	if err != nil || string(log) != "hello from talks\nand again\n" {
		t.Errorf("%q %v", log, err)
	}
}

// BenchmarkHundredStarts is the agent's own share of starting a hundred
// allocations at once: directories, environment, records; no processes.
func BenchmarkHundredStarts(b *testing.B) {
	for range b.N {
		b.StopTimer()
		a := newAgent(b)
		assign := &msg.NodeAssign{}
		for i := range 100 {
			assign.Allocs = append(assign.Allocs, allocation(i, model.JobTypeService, plainTask("web")))
		}
		b.StartTimer()
		a.apply(assign)
		a.eventually("all run", func() bool { return len(a.m.order()) == 100 })
		for _, as := range assign.Allocs {
			a.await(as.Alloc.ID, model.ClientRunning)
		}
		b.StopTimer()
		a.stop()
	}
}
