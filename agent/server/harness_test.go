package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// patience is how long anything may take before a test fails.
const patience = 30 * time.Second

// cluster is one server on a real, durable log, with simulated nodes. A region
// of several has one for each server.
type cluster struct {
	t      testing.TB
	id     string
	addr   string
	store  *state.Store
	host   *consensus.Host
	rpc    *rpc.Server
	call   rpc.Caller
	region *region
	dir    string
	stop   func() // ends it as a crash does: nobody is told
}

// region is what all servers share: what gossip would know.
type region struct {
	mu      sync.Mutex
	members map[string]gossip.Member
}

func (r *region) set(m gossip.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[m.ID] = m
}

func (r *region) list() []gossip.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.members))
}

// fail has gossip be sure that a member is gone, or back.
func (r *region) fail(id string, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[id]
	m.ID, m.Status = id, gossip.StatusAlive
	if gone {
		m.Status = gossip.StatusFailed
	}
	r.members[id] = m
}

// leave has a member count as left: what autopilot asks for.
func (r *region) leave(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[id]
	m.Status = gossip.StatusLeft
	r.members[id] = m
}

// tell has gossip know more of a server.
func (c *cluster) tell(change func(*gossip.Meta)) {
	c.region.mu.Lock()
	defer c.region.mu.Unlock()
	m := c.region.members[c.id]
	change(&m.Meta)
	c.region.members[c.id] = m
}

// router sends calls where they belong.
type router struct{ c *cluster }

func (r router) Leader() (string, bool, <-chan struct{}) {
	l := r.c.host.Leadership()
	return l.Addr, l.Self, l.Changed
}

func (r router) Servers() []string {
	var out []string
	for _, m := range r.c.region.list() {
		if m.Meta.Server && m.ID != r.c.id && m.Status == gossip.StatusAlive {
			out = append(out, m.Meta.RPCAddr)
		}
	}
	return out
}

// start runs one server and waits until it leads.
func start(t testing.TB, cfg server.Config) *cluster { return startMany(t, 1, cfg)[0] }

// startMany runs a region of n servers and waits until one leads.
func startMany(t testing.TB, n int, cfg server.Config) []*cluster {
	t.Helper()
	if cfg.Region == "" {
		cfg.Region = model.DefaultRegion
	}
	r := &region{members: map[string]gossip.Member{}}
	var all []*cluster
	var peers []consensus.Peer
	for range n {
		c := launch(t, r, cfg)
		all = append(all, c)
		peers = append(peers, consensus.Peer{ID: c.id, Addr: c.addr, Expect: n})
	}
	for _, c := range all {
		if _, err := c.host.Bootstrap(peers); err != nil {
			t.Fatal(err)
		}
	}
	all[0].until("a leader", func() bool { return leader(all) != nil })
	return all
}

// leader is the server that leads, nil for none.
func leader(all []*cluster) *cluster {
	for _, c := range all {
		if c.host.Leadership().Self {
			return c
		}
	}
	return nil
}

// launch runs one server of a region.
func launch(t testing.TB, r *region, cfg server.Config) *cluster {
	t.Helper()
	return launchIn(t, r, cfg, t.TempDir())
}

// launchIn is launch on a directory; with cfg.ID it is the server's that was there.
func launchIn(t testing.TB, r *region, cfg server.Config, dir string) *cluster {
	t.Helper()
	if cfg.ID == "" {
		cfg.ID = ident.New()
	}
	if cfg.Understands == 0 {
		cfg.Understands = feature.Newest
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, id: cfg.ID, addr: ln.Addr().String(), store: state.New(), region: r, dir: dir}
	listener := port.NewListener(port.ListenerConfig{Listener: ln, Security: port.Plaintext(), Logger: log})
	c.host, err = consensus.Open(consensus.Config{
		ID: c.id, Addr: c.addr, Dir: dir, Streams: listener.Raft(), Machine: fsm.NewAt(c.store, cfg.Understands), Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	pool := rpc.NewPool(port.Plaintext(), log)
	tunnels := rpc.NewTunnels(rpc.TunnelsConfig{Authorize: server.AuthorizeTunnel(c.store), Logger: log})
	c.rpc = rpc.NewServer(rpc.Config{Router: router{c}, Pool: pool, Tunnels: tunnels, Logger: log})
	c.call = c.rpc.Caller()
	cfg.Addr = c.addr
	srv, err := server.New(cfg, server.Deps{
		Store: c.store, Host: c.host, RPC: c.rpc, Tunnels: tunnels, Pool: pool, Members: r.list, Forget: r.leave, Logger: log,
		Metrics: prometheus.NewPedanticRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.set(gossip.Member{ID: c.id, Status: gossip.StatusAlive, Meta: gossip.Meta{
		Name: "s" + c.id[:4], Region: cfg.Region, Server: true, RPCAddr: c.addr,
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for name, run := range map[string]func(context.Context) error{
		"listener": listener.Run, "raft": c.host.Run, "server": srv.Run,
		"rpc": func(ctx context.Context) error { return c.rpc.Run(ctx, listener.RPC()) },
	} {
		wg.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	c.stop = sync.OnceFunc(func() { cancel(); wg.Wait(); pool.Close() })
	t.Cleanup(c.stop)
	return c
}

// until polls for a condition.
func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			c.dump()
			c.t.Fatalf("no %s after %s", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// dump tells where things stand, for a test that failed.
func (c *cluster) dump() {
	snap := c.store.Snapshot()
	c.t.Logf("index %d, leading %v", snap.Index(), c.host.Leadership().Self)
	for n := range snap.Nodes(state.Range{}) {
		c.t.Logf("node %s %s %s: %s", n.Name, n.Status, n.SchedulingEligibility, n.StatusDescription)
	}
	for j := range snap.Jobs(state.Range{}) {
		c.t.Logf("job %s version %d %s", j.ID, j.Version, j.Status)
	}
	for e := range snap.Evals(state.Range{}) {
		c.t.Logf("eval %s of %s by %s: %s (%s), attempts %d, index %d to %d, seen %d",
			e.ID, e.JobID, e.TriggeredBy, e.Status, e.StatusDescription, e.Attempts, e.CreateIndex, e.ModifyIndex, e.SnapshotIndex)
	}
	for a := range snap.Allocs(state.Range{}) {
		c.t.Logf("alloc %s on %s: %s, %s", a.Name, a.NodeName, a.DesiredStatus, a.ClientStatus)
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
