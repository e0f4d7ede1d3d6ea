package alloc

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/report"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// patience bounds waiting for what must come.
const patience = 20 * time.Second

// agent is the part of a client under test, with servers that only listen.
type agent struct {
	t    testing.TB
	base string
	m    *machine
	set  *Set
	stop func()
	// silent is for how long the node's lease has not been confirmed.
	silent atomic.Int64

	mu     sync.Mutex
	latest map[string]*model.AllocUpdate
	seen   map[string][]string // client statuses by allocation, in order
	index  uint64
}

func newAgent(t testing.TB) *agent {
	a := &agent{t: t, base: t.TempDir(), m: newMachine(), latest: map[string]*model.AllocUpdate{}, seen: map[string][]string{}}
	a.start()
	t.Cleanup(func() { a.stop() })
	return a
}

func (a *agent) statePath() string { return filepath.Join(a.base, "client.db") }

// start runs an agent process on the machine's data.
func (a *agent) start() {
	a.t.Helper()
	store, err := db.Open(a.statePath())
	if err != nil {
		a.t.Fatal(err)
	}
	queue := report.New()
	a.set = NewSet(Deps{
		DB: store, Drivers: a.m, Reports: queue, Region: "global", Base: filepath.Join(a.base, "alloc"),
		Node:           func() *model.Node { return &model.Node{ID: "node", Name: "n1", Datacenter: "dc1"} },
		Lease:          func() (time.Duration, time.Duration) { return time.Duration(a.silent.Load()), 0 },
		MaxKillTimeout: time.Second, ParallelStarts: 4, Logger: slog.New(slog.NewTextHandler(a.t.Output(), nil)),
	})
	if err := a.set.Restore(store.Contents()); err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	dbCtx, cancelDB := context.WithCancel(context.Background())
	var wg, dbDone sync.WaitGroup
	set := a.set
	wg.Go(func() {
		if err := set.Run(ctx); err != nil {
			a.t.Error(err)
		}
	})
	dbDone.Go(func() {
		if err := store.Run(dbCtx); err != nil {
			a.t.Error(err)
		}
	})
	wg.Go(func() { a.listen(ctx, queue, set) })
	a.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		cancelDB()
		dbDone.Wait()
	})
}

// listen takes reports as servers do.
func (a *agent) listen(ctx context.Context, queue *report.Queue, set *Set) {
	for {
		seq, updates, err := queue.Next(ctx)
		if err != nil {
			return
		}
		a.mu.Lock()
		for _, u := range updates {
			a.latest[u.ID] = u
			if s := a.seen[u.ID]; len(s) == 0 || s[len(s)-1] != u.ClientStatus {
				a.seen[u.ID] = append(s, u.ClientStatus)
			}
		}
		a.mu.Unlock()
		set.Confirmed(queue.Acked(seq))
	}
}

func (a *agent) status(id string) *model.AllocUpdate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.latest[id]; u != nil {
		return u
	}
	return &model.AllocUpdate{}
}

func (a *agent) apply(assign *msg.NodeAssign) {
	a.t.Helper()
	if err := a.set.Apply(context.Background(), assign); err != nil {
		a.t.Fatal(err)
	}
}

// assign assigns an allocation anew, changed by f.
func (a *agent) assign(as *msg.AssignedAlloc, f func(*model.Allocation)) {
	a.t.Helper()
	a.index++
	alloc := *as.Alloc
	alloc.AllocModifyIndex = a.index
	if f != nil {
		f(&alloc)
	}
	as.Alloc = &alloc
	a.apply(&msg.NodeAssign{Index: a.index, Allocs: []*msg.AssignedAlloc{{Alloc: &alloc, Job: as.Job}}})
}

func stopped(x *model.Allocation) { x.DesiredStatus = model.DesiredStop }

func (a *agent) eventually(what string, ok func() bool) {
	a.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			a.mu.Lock()
			defer a.mu.Unlock()
			for id, u := range a.latest {
				a.t.Logf("%s: %s %s", id, u.ClientStatus, words(u))
			}
			a.t.Fatalf("not in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (a *agent) await(id, status string) *model.AllocUpdate {
	a.t.Helper()
	a.eventually(id+" is "+status, func() bool { return a.status(id).ClientStatus == status })
	return a.status(id)
}

// words are all messages of an allocation's tasks.
func words(u *model.AllocUpdate) string {
	var b strings.Builder
	for name, s := range u.TaskStates {
		fmt.Fprintf(&b, "%s(%s)", name, s.State)
		for _, e := range s.Events {
			fmt.Fprintf(&b, ": %s", e.DisplayMessage)
		}
		b.WriteString("; ")
	}
	return b.String()
}

// allocation makes a job with one group of tasks, assigned to the node.
func allocation(n int, jobType string, tasks ...*model.Task) *msg.AssignedAlloc {
	group := &model.TaskGroup{Name: "g", Tasks: tasks, RestartPolicy: &model.RestartPolicy{Attempts: 1, Interval: time.Minute, Delay: 10 * time.Millisecond, Mode: "fail"}}
	job := &model.Job{ID: "job", Name: "job", Namespace: "default", Type: jobType, TaskGroups: []*model.TaskGroup{group}}
	alloc := &model.Allocation{
		ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Namespace: "default", Name: model.AllocName("job", "g", n), JobID: "job", TaskGroup: "g",
		NodeID: "node", DesiredStatus: model.DesiredRun, ClientStatus: model.ClientPending, AllocatedResources: &model.AllocatedResources{},
	}
	return &msg.AssignedAlloc{Alloc: alloc, Job: job}
}

func plainTask(name string) *model.Task {
	return &model.Task{Name: name, Driver: "fake", KillTimeout: 100 * time.Millisecond}
}

func hooked(name, hook string, sidecar bool) *model.Task {
	t := plainTask(name)
	t.Lifecycle = &model.TaskLifecycle{Hook: hook, Sidecar: sidecar}
	return t
}

func (a *agent) dir(id string) *allocdir.Dir {
	d, err := allocdir.New(filepath.Join(a.base, "alloc"), id)
	if err != nil {
		a.t.Fatal(err)
	}
	return d
}
