package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// patience is how long anything may take before a test fails.
const patience = 30 * time.Second

// cluster is one server on a real, durable log, with simulated nodes.
type cluster struct {
	t     testing.TB
	store *state.Store
	host  *consensus.Host
	rpc   *rpc.Server
	call  rpc.Caller

	mu   sync.Mutex
	dead map[string]bool // nodes that gossip is sure of
}

// router sends calls to the one server.
type router struct{ host *consensus.Host }

func (r router) Leader() (string, bool, <-chan struct{}) {
	l := r.host.Leadership()
	return l.Addr, l.Self, l.Changed
}

func (r router) Servers() []string { return nil }

func start(t testing.TB, cfg server.Config) *cluster {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	c := &cluster{t: t, store: state.New(), dead: map[string]bool{}}
	id := ident.New()
	var err error
	c.host, err = consensus.Open(consensus.Config{
		ID: id, Addr: "127.0.0.1:4647", Dir: t.TempDir(), Machine: fsm.New(c.store), Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	tunnels := rpc.NewTunnels(rpc.TunnelsConfig{Logger: log})
	c.rpc = rpc.NewServer(rpc.Config{
		Router: router{c.host}, Pool: rpc.NewPool(nil, log), Tunnels: tunnels, Logger: log,
	})
	c.call = c.rpc.Caller()
	cfg.ID, cfg.Addr = id, "127.0.0.1:4647"
	if cfg.Region == "" {
		cfg.Region = model.DefaultRegion
	}
	srv, err := server.New(cfg, server.Deps{
		Store: c.store, Host: c.host, RPC: c.rpc, Tunnels: tunnels, Members: c.members, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{c.host.Run, srv.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	if _, err := c.host.Bootstrap([]consensus.Peer{{ID: id, Addr: "127.0.0.1:4647", Expect: 1}}); err != nil {
		t.Fatal(err)
	}
	c.until("a leader", func() bool { return c.host.Leadership().Self })
	return c
}

func (c *cluster) members() []gossip.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []gossip.Member
	for id := range c.dead {
		out = append(out, gossip.Member{ID: id, Status: gossip.StatusFailed, Meta: gossip.Meta{Client: true}})
	}
	return out
}

// until polls for a condition.
func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			c.t.Fatalf("no %s after %s", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// node is a simulated client agent: it runs what it is told to.
type node struct {
	*model.Node
	c      *cluster
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	allocs  map[string]*model.Allocation
	status  map[string]string // reported
	seq     uint64
	hold    bool // does not report
	acked   uint64
	renewed uint64
}

func newNode(name string) *model.Node {
	return &model.Node{
		ID: ident.New(), SecretID: ident.New(), Name: name, Datacenter: "dc1", NodePool: model.DefaultNodePool,
		Attributes: map[string]string{"kernel.name": "linux", "driver.raw_exec": "1"},
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 4000, TotalCpuCores: 4}, Memory: model.NodeMemoryResources{MemoryMB: 8192},
			Disk: model.NodeDiskResources{DiskMB: 100_000},
		},
		Drivers: map[string]*model.DriverInfo{"raw_exec": {Detected: true, Healthy: true}},
	}
}

// connect runs a node's session until stop.
func (c *cluster) connect(n *model.Node) *node {
	c.t.Helper()
	s := &node{Node: n, c: c, allocs: map[string]*model.Allocation{}, status: map[string]string{}, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	ready := make(chan struct{})
	go func() {
		defer close(s.done)
		if err := s.run(ctx, ready); err != nil && ctx.Err() == nil {
			c.t.Errorf("node %s: %v", n.Name, err)
		}
	}()
	c.t.Cleanup(s.stop)
	select {
	case <-ready:
	case <-s.done:
		c.t.Fatalf("node %s could not connect", n.Name)
	case <-time.After(patience):
		c.t.Fatalf("node %s: no registration", n.Name)
	}
	return s
}

// stop ends the session without a word, as a lost machine does.
func (s *node) stop() {
	s.cancel()
	<-s.done
}

func (s *node) run(ctx context.Context, ready chan struct{}) error {
	st, err := msg.NodeSession.Open(ctx, s.c.call)
	if err != nil {
		return err
	}
	defer st.Close()
	var sendMu sync.Mutex
	send := func(up *msg.NodeUp) error {
		sendMu.Lock()
		defer sendMu.Unlock()
		return st.Send(up)
	}
	if err := send(&msg.NodeUp{Register: &msg.NodeRegister{Node: s.Node}}); err != nil {
		return err
	}
	var ticker sync.WaitGroup
	defer ticker.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		down, err := st.Recv()
		if err != nil {
			return err
		}
		switch {
		case down.Registered != nil:
			every := down.Registered.LeaseTTL / 3
			ticker.Go(func() {
				for seq := uint64(1); ; seq++ {
					select {
					case <-time.After(every):
					case <-ctx.Done():
						return
					}
					if send(&msg.NodeUp{Renew: &msg.NodeRenew{Seq: seq}}) != nil {
						return
					}
				}
			})
		case down.Assign != nil:
			if err := s.assign(down.Assign, send); err != nil {
				return err
			}
			if down.Assign.Full {
				select {
				case <-ready:
				default:
					close(ready)
				}
			}
		case down.Reported != nil:
			s.mu.Lock()
			s.acked = down.Reported.Seq
			s.mu.Unlock()
		case down.Renewed != nil:
			s.mu.Lock()
			s.renewed = down.Renewed.Seq
			s.mu.Unlock()
		}
	}
}

// assign takes in an assignment and reports on it at once.
func (s *node) assign(a *msg.NodeAssign, send func(*msg.NodeUp) error) error {
	s.mu.Lock()
	if a.Full {
		clear(s.allocs)
	}
	for _, id := range a.Removed {
		delete(s.allocs, id)
	}
	var updates []*model.AllocUpdate
	for _, as := range a.Allocs {
		if as.Job == nil {
			s.mu.Unlock()
			return fmt.Errorf("allocation %s came without its job", as.Alloc.ID)
		}
		s.allocs[as.Alloc.ID] = as.Alloc
		want := model.ClientRunning
		if as.Alloc.ServerTerminal() {
			want = model.ClientComplete
		}
		if s.status[as.Alloc.ID] != want && !as.Alloc.ClientTerminal() && !s.hold {
			s.status[as.Alloc.ID] = want
			updates = append(updates, &model.AllocUpdate{ID: as.Alloc.ID, ClientStatus: want})
		}
	}
	s.seq++
	report := &msg.NodeUp{Report: &msg.NodeReport{Seq: s.seq, Updates: updates}}
	s.mu.Unlock()
	if len(updates) == 0 {
		return nil
	}
	return send(report)
}

// report has a node say something of an allocation.
func (c *cluster) report(n *model.Node, id, status string) {
	c.t.Helper()
	_, err := msg.NodeUpdateAllocs.Call(context.Background(), c.call, &msg.NodeUpdateAllocsRequest{
		NodeID: n.ID, SecretID: n.SecretID, Updates: []*model.AllocUpdate{{ID: id, ClientStatus: status}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func job(id string, count int) *model.Job {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name, j.Datacenters = id, id, []string{"dc1"}
	j.Update.MaxParallel = 0 // all at once: no test wants to wait for a roll
	g := model.NewTaskGroup(j)
	g.Name, g.Count = "web", count
	task := model.NewTask(g)
	task.Name, task.Driver = "main", "raw_exec"
	task.Config = map[string]any{"command": "/bin/sleep", "args": []any{"600"}}
	g.Tasks = append(g.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, g)
	return j
}

func (c *cluster) register(j *model.Job) *msg.JobRegisterResponse {
	c.t.Helper()
	resp, err := msg.JobRegister.Call(context.Background(), c.call, &msg.JobRegisterRequest{Job: j})
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

// running counts a job's running allocations by node name.
func (c *cluster) running(jobID string) map[string]int {
	out := map[string]int{}
	for a := range c.store.Snapshot().AllocsByJob(model.DefaultNamespace, jobID) {
		if a.ClientStatus == model.ClientRunning && a.DesiredStatus == model.DesiredRun {
			out[a.NodeName]++
		}
	}
	return out
}

func total(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

// settled tells whether the job runs so many and nothing of it is under way.
func (c *cluster) settled(jobID string, count int) bool {
	for e := range c.store.Snapshot().EvalsByJob(model.DefaultNamespace, jobID) {
		if e.Status == model.EvalPending && !e.WaitUntil.After(time.Now()) {
			return false
		}
	}
	return total(c.running(jobID)) == count
}
