package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

func TestMain(m *testing.M) {
	if driverset.Main(os.Args) {
		return
	}
	if dir := os.Getenv(childEnv); dir != "" {
		childAgent(dir)
	}
	os.Exit(m.Run())
}

const patience = 30 * time.Second

// cluster is the servers as a client sees them: one handler for sessions.
type cluster struct {
	t   testing.TB
	srv *rpc.Server

	mu       sync.Mutex
	node     *model.Node
	sessions int
	cut      func() // ends the session that stands
	out      chan *msg.NodeDown
	latest   map[string]*model.AllocUpdate
	at       map[string]time.Time // of the first word of running
	assigned map[string]*msg.AssignedAlloc
	index    uint64
	wake     chan struct{}
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{
		t: t, srv: rpc.NewServer(rpc.Config{}), latest: map[string]*model.AllocUpdate{}, at: map[string]time.Time{},
		assigned: map[string]*msg.AssignedAlloc{}, wake: make(chan struct{}, 1),
	}
	rpc.HandleStream(c.srv, msg.NodeSession, c.serve)
	return c
}

// Addrs and At implement session.Servers.
func (c *cluster) Addrs() []string      { return []string{"here"} }
func (c *cluster) At(string) rpc.Caller { return c.srv.Caller() }
func (c *cluster) changed() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *cluster) serve(ctx context.Context, st *rpc.Stream[msg.NodeDown, msg.NodeUp]) error {
	first, err := st.Recv()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := make(chan *msg.NodeDown, 1000)
	c.mu.Lock()
	c.node = first.Register.Node
	c.sessions++
	c.out, c.cut = out, func() { cancel(errors.New("cut")) }
	full := &msg.NodeAssign{Full: true, Index: c.index}
	for _, a := range c.assigned {
		full.Allocs = append(full.Allocs, a)
	}
	c.mu.Unlock()
	c.changed()
	out <- &msg.NodeDown{Registered: &msg.NodeRegistered{LeaseTTL: 4 * time.Second}}
	out <- &msg.NodeDown{Assign: full}
	go func() {
		for {
			m, err := st.Recv()
			if err != nil {
				cancel(err)
				return
			}
			c.take(m, out)
		}
	}()
	for {
		select {
		case m := <-out:
			if err := st.Send(m); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *cluster) take(m *msg.NodeUp, out chan *msg.NodeDown) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.Renew != nil:
		out <- &msg.NodeDown{Renewed: &msg.NodeRenewed{Seq: m.Renew.Seq}}
	case m.Update != nil:
		c.node = m.Update
	case m.Report != nil:
		for _, u := range m.Report.Updates {
			c.latest[u.ID] = u
			if u.ClientStatus == model.ClientRunning && c.at[u.ID].IsZero() {
				c.at[u.ID] = time.Now()
			}
			if a := c.assigned[u.ID]; a != nil { // the store would hold it
				alloc := *a.Alloc
				alloc.ClientStatus, alloc.TaskStates = u.ClientStatus, u.TaskStates
				c.assigned[u.ID] = &msg.AssignedAlloc{Alloc: &alloc, Job: a.Job}
			}
		}
		out <- &msg.NodeDown{Reported: &msg.NodeReported{Seq: m.Report.Seq}}
	}
	c.changed()
}

// assign places or changes allocations.
func (c *cluster) assign(list ...*msg.AssignedAlloc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	for _, a := range list {
		alloc := *a.Alloc
		alloc.AllocModifyIndex = c.index
		a.Alloc = &alloc
		c.assigned[alloc.ID] = a
	}
	c.out <- &msg.NodeDown{Assign: &msg.NodeAssign{Index: c.index, Allocs: list}}
}

func (c *cluster) stop(id string) {
	c.mu.Lock()
	a := c.assigned[id]
	c.mu.Unlock()
	alloc := *a.Alloc
	alloc.DesiredStatus = model.DesiredStop
	c.assign(&msg.AssignedAlloc{Alloc: &alloc, Job: a.Job})
}

func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		good := ok()
		c.mu.Unlock()
		if good {
			return
		}
		select {
		case <-c.wake:
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			c.mu.Lock()
			defer c.mu.Unlock()
			for id, u := range c.latest {
				c.t.Logf("%s: %s %s", id, u.ClientStatus, words(u))
			}
			c.t.Fatalf("not in time: %s", what)
		}
	}
}

func (c *cluster) await(id, status string) *model.AllocUpdate {
	c.t.Helper()
	var u *model.AllocUpdate
	c.eventually(id+" is "+status, func() bool { u = c.latest[id]; return u != nil && u.ClientStatus == status })
	return u
}

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

// agent is a client under test on its own directories.
type agent struct {
	*Client
	cfg  Config
	rpc  *rpc.Server
	stop func() error
}

func config(t testing.TB, c *cluster, dir string) Config {
	cfg := DefaultConfig()
	cfg.StateDir, cfg.AllocDir = filepath.Join(dir, "client"), filepath.Join(dir, "alloc")
	cfg.Name, cfg.HTTPAddr, cfg.NetworkInterface = "n1", "127.0.0.1:4646", "lo"
	cfg.Servers, cfg.Options = c, map[string]string{"driver.raw_exec.enable": "1", "driver.denylist": "exec"}
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	return cfg
}

func start(t testing.TB, cfg Config) *agent {
	t.Helper()
	cfg.Handlers = rpc.NewServer(rpc.Config{})
	cl, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cl.Run(ctx) }()
	a := &agent{Client: cl, cfg: cfg, rpc: cfg.Handlers}
	a.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-cl.Started():
	case <-time.After(patience):
		t.Fatal("not registered")
	}
	return a
}

// shell is an allocation of one raw_exec task.
func shell(n int, jobType, script string) *msg.AssignedAlloc {
	task := &model.Task{
		Name: "sh", Driver: "raw_exec", Config: map[string]any{"command": "/bin/sh", "args": []any{"-c", script}},
		KillTimeout: time.Second, LogConfig: model.NewLogConfig(), Resources: &model.Resources{CPU: 100, MemoryMB: 32},
		Env: map[string]string{"GREETING": "hello ${NOMAD_TASK_NAME} on ${node.unique.name}"},
	}
	group := &model.TaskGroup{Name: "g", Tasks: []*model.Task{task}, RestartPolicy: &model.RestartPolicy{Mode: "fail", Interval: time.Minute}}
	job := &model.Job{ID: "job", Name: "job", Namespace: "default", Type: jobType, TaskGroups: []*model.TaskGroup{group}}
	return &msg.AssignedAlloc{Job: job, Alloc: &model.Allocation{
		ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", time.Now().UnixNano()&0xffffffff, n), Namespace: "default", Name: model.AllocName("job", "g", n), JobID: "job", TaskGroup: "g",
		DesiredStatus: model.DesiredRun, ClientStatus: model.ClientPending, AllocatedResources: &model.AllocatedResources{
			Tasks: map[string]*model.AllocatedTaskResources{"sh": {Cpu: model.AllocatedCpuResources{CpuShares: 100}, Memory: model.AllocatedMemoryResources{MemoryMB: 32}}}},
	}}
}

// read gathers a log through the client's handlers.
func (a *agent) read(t *testing.T, id string) string {
	t.Helper()
	st, err := msg.ClientLogs.Open(t.Context(), a.rpc.Caller())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Send(&msg.AllocLogsRequest{AllocID: id, Task: "sh", Type: "stdout"}); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for {
		f, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		out.Write(f.Data)
	}
}

func TestRawExec(t *testing.T) {
	c := newCluster(t)
	a := start(t, config(t, c, t.TempDir()))
	if c.node.Attributes["driver.raw_exec"] != "1" || !c.node.Drivers["raw_exec"].Healthy || c.node.SecretID == "" {
		t.Fatalf("node %+v", c.node)
	}
	good, bad := shell(1, model.JobTypeBatch, "echo $GREETING; echo $NOMAD_TASK_DIR"), shell(2, model.JobTypeBatch, "exit 7")
	c.assign(good, bad)
	c.await(good.Alloc.ID, model.ClientComplete)
	if u := c.await(bad.Alloc.ID, model.ClientFailed); !strings.Contains(words(u), "Exit Code: 7") {
		t.Error(words(u))
	}
	want := "hello sh on n1\n" + filepath.Join(a.cfg.AllocDir, good.Alloc.ID, "sh/local") + "\n"
	if got := a.read(t, good.Alloc.ID); got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

// TestServersGone: losing every server stops nothing; reports catch up.
func TestServersGone(t *testing.T) {
	c := newCluster(t)
	a := start(t, config(t, c, t.TempDir()))
	as := shell(1, model.JobTypeService, stays)
	c.assign(as)
	c.await(as.Alloc.ID, model.ClientRunning)
	taskPID := pid(t, a, as.Alloc.ID)
	c.mu.Lock()
	c.cut()
	sessions := c.sessions
	c.mu.Unlock()
	c.eventually("a new session", func() bool { return c.sessions > sessions })
	if !alive(taskPID) {
		t.Fatal("the task ended")
	}
	c.stop(as.Alloc.ID)
	if u := c.await(as.Alloc.ID, model.ClientComplete); u.TaskStates["sh"].Restarts != 0 {
		t.Error(words(u))
	}
}

// TestDev: a dev agent leaves nothing behind.
func TestDev(t *testing.T) {
	c := newCluster(t)
	cfg := config(t, c, t.TempDir())
	cfg.Dev = true
	a := start(t, cfg)
	as := shell(1, model.JobTypeService, stays)
	c.assign(as)
	c.await(as.Alloc.ID, model.ClientRunning)
	taskPID := pid(t, a, as.Alloc.ID)
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	if alive(taskPID) || driverPID(t) != 0 {
		t.Error("processes are left")
	}
	if left, err := os.ReadDir(cfg.AllocDir); err != nil || len(left) != 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
}

func TestRefusals(t *testing.T) {
	c, dir := newCluster(t), t.TempDir()
	cfg := config(t, c, dir)
	cfg.Handlers = rpc.NewServer(rpc.Config{})
	start(t, cfg)
	second := cfg
	second.Handlers = rpc.NewServer(rpc.Config{})
	if _, err := New(t.Context(), second); err == nil || !strings.Contains(err.Error(), "in use by another agent") {
		t.Errorf("two agents on one directory: %v", err)
	}
	wrong := config(t, c, "relative")
	wrong.Handlers = second.Handlers
	if _, err := New(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("%v", err)
	}
}

// TestHandlers asks what servers ask through the tunnel.
func TestHandlers(t *testing.T) {
	c, ctx := newCluster(t), t.Context()
	a := start(t, config(t, c, t.TempDir()))
	as := shell(1, model.JobTypeService, `trap 'echo got hup' HUP; echo ready; while :; do sleep 0.05; done`)
	c.assign(as)
	c.await(as.Alloc.ID, model.ClientRunning)
	id, caller := as.Alloc.ID, a.rpc.Caller()
	logs, err := msg.ClientLogs.Open(ctx, caller)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	if err := logs.Send(&msg.AllocLogsRequest{AllocID: id, Task: "sh", Type: "stdout", Follow: true}); err != nil {
		t.Fatal(err)
	}
	hear := func(want string) {
		t.Helper()
		for text := ""; !strings.Contains(text, want); {
			f, err := logs.Recv()
			if err != nil {
				t.Fatal(err)
			}
			text += string(f.Data)
		}
	}
	hear("ready")
	if _, err := msg.ClientAllocSignal.Call(ctx, caller, &msg.AllocSignalRequest{AllocID: id, Signal: "SIGHUP"}); err != nil {
		t.Fatal(err)
	}
	hear("got hup")
	list, err := msg.ClientFSList.Call(ctx, caller, &msg.AllocFileRequest{AllocID: id, Path: "/alloc/logs"})
	if err != nil || len(list.Files) == 0 {
		t.Errorf("list %v %v", list, err)
	}
	if _, err := msg.ClientFSStat.Call(ctx, caller, &msg.AllocFileRequest{AllocID: id, Path: "sh/secrets"}); model.CodeOf(err) != model.CodeDenied {
		t.Errorf("secrets: %v", err)
	}
	usage, err := msg.ClientAllocStats.Call(ctx, caller, &msg.AllocFileRequest{AllocID: id})
	if err != nil || usage.Stats.Tasks["sh"] == nil || usage.Stats.ResourceUsage.MemoryStats.Usage+usage.Stats.ResourceUsage.MemoryStats.RSS == 0 {
		t.Errorf("usage %+v %v", usage, err)
	}
	if host, err := msg.ClientStats.Call(ctx, caller, &msg.NodeStatsRequest{}); err != nil || host.Stats.Memory.Total == 0 {
		t.Errorf("host %+v %v", host, err)
	}
	if _, err := msg.ClientAllocRestart.Call(ctx, caller, &msg.AllocRestartRequest{AllocID: id, TaskName: "sh"}); err != nil {
		t.Error(err)
	}
	hear("ready")
	c.stop(id)
	c.await(id, model.ClientComplete)
	for { // the stream ends with the task
		if _, err := logs.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	c.eventually("it may be collected", func() bool {
		_, err := msg.ClientGC.Call(ctx, caller, &msg.ClientGCRequest{AllocID: id})
		return err == nil
	})
	if _, err := msg.ClientFSList.Call(ctx, caller, &msg.AllocFileRequest{AllocID: id}); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("after collection: %v", err)
	}
}

// BenchmarkStart is the time from an assignment to the servers' word of running.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCluster(b)
			cfg := config(b, c, b.TempDir())
			cfg.Dev, cfg.Logger = true, slog.New(slog.DiscardHandler)
			start(b, cfg)
			b.ResetTimer()
			for range b.N {
				list := make([]*msg.AssignedAlloc, n)
				for i := range list {
					list[i] = shell(i, model.JobTypeService, "exec sleep 1000")
				}
				c.assign(list...)
				for _, as := range list {
					c.await(as.Alloc.ID, model.ClientRunning)
				}
				b.StopTimer()
				for _, as := range list {
					c.stop(as.Alloc.ID)
				}
				for _, as := range list {
					c.await(as.Alloc.ID, model.ClientComplete)
				}
				b.StartTimer()
			}
		})
	}
}
