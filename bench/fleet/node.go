package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/client/report"
	"github.com/steppe-project/steppe/agent/client/session"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// attributes of a node beside those that matter: a real node has as many.
const attributes = 60

// fleet is all simulated nodes.
type fleet struct {
	nodes  []*node
	ended  reasons
	cancel context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup
}

// node is one simulated machine: a session with a connection of its own, and
// tasks that run as soon as they are assigned.
type node struct {
	desc     *model.Node
	pool     *rpc.Pool
	session  *session.Session
	reports  *report.Queue
	renewed  atomic.Int64 // when the newest confirmed renewal was sent, Unix nanoseconds
	assigned atomic.Int64
	begun    atomic.Int64 // sessions that stood
}

// machines bounds the nodes that connect at the same moment. Every real node has
// a processor of its own for its half of the handshake; here all share one, and
// without the bound they would time out on each other.
const machines = 32

// reach is how a node finds servers.
type reach struct {
	addrs []string
	pool  *rpc.Pool
	gate  chan struct{}
}

// paced connects in its turn.
type paced struct {
	rpc.Caller
	gate chan struct{}
}

// Open implements rpc.Caller.
func (p paced) Open(ctx context.Context, spec rpc.Spec) (rpc.Wire, error) {
	select {
	case p.gate <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	connecting, cancel := context.WithTimeout(ctx, session.RegisterPatience)
	_, err := rpc.Ping.Call(connecting, p.Caller, &rpc.Nothing{}) // connects
	cancel()
	<-p.gate
	if err != nil {
		return nil, err
	}
	return p.Caller.Open(ctx, spec)
}

// Addrs implements session.Servers.
func (r reach) Addrs() []string { return r.addrs }

// At implements session.Servers.
func (r reach) At(addr string) rpc.Caller { return paced{r.pool.At(addr), r.gate} }

func newFleet(c *cluster, count int) (*fleet, error) {
	f := &fleet{ended: reasons{counts: map[string]int{}}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	var addrs []string
	for _, s := range c.servers {
		addrs = append(addrs, s.addr+":4647")
	}
	log := slog.New(&f.ended)
	// One certificate for all: a real node makes its own once, not per connection.
	security, err := port.FromKey(c.key, uuid.NewString(), model.DefaultRegion)
	if err != nil {
		return nil, err
	}
	gate := make(chan struct{}, machines)
	for i := range count {
		reports := report.New()
		n := &node{desc: describe(i), pool: rpc.NewPool(security, log), reports: reports}
		n.desc.ReportsFrom = reports.From()
		n.session = session.New(session.Config{
			Servers: reach{addrs, n.pool, gate}, Node: func() (*model.Node, <-chan struct{}) { return n.desc, nil },
			Reports: n.reports, Apply: n.apply, Confirmed: func([]*model.AllocUpdate) {},
			Handlers:   rpc.NewServer(rpc.Config{Logger: log}),
			Lease:      session.NewLease(time.Time{}, 0, time.Now, func(from time.Time, _ time.Duration) { n.renewed.Store(from.UnixNano()) }),
			Registered: func() { n.begun.Add(1) }, Logger: log,
		})
		f.nodes = append(f.nodes, n)
	}
	return f, nil
}

func describe(i int) *model.Node {
	attrs := map[string]string{"kernel.name": "linux", "driver.raw_exec": "1"}
	for k := range attributes {
		attrs[fmt.Sprintf("platform.simulated.attribute%d", k)] = fmt.Sprintf("value-%d", k)
	}
	return &model.Node{
		ID: uuid.NewString(), SecretID: uuid.NewString(), Name: fmt.Sprintf("node-%d", i), Datacenter: "dc1", NodePool: model.DefaultNodePool,
		Attributes: attrs,
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 4000, TotalCpuCores: 4}, Memory: model.NodeMemoryResources{MemoryMB: 8192},
			Disk: model.NodeDiskResources{DiskMB: 100_000},
		},
		Drivers: map[string]*model.DriverInfo{"raw_exec": {Detected: true, Healthy: true}},
	}
}

// start opens all sessions at once.
func (f *fleet) start() {
	for _, n := range f.nodes {
		f.wg.Go(func() { _ = n.session.Run(f.ctx) }) // it ends with ctx only
	}
}

func (f *fleet) stop() {
	f.cancel()
	f.wg.Wait()
	for _, n := range f.nodes {
		n.pool.Close()
	}
}

// apply runs what is assigned.
func (n *node) apply(_ context.Context, a *msg.NodeAssign) error {
	if a.Full {
		n.assigned.Store(0)
	}
	for _, x := range a.Allocs {
		n.assigned.Add(1)
		if x.Alloc.ClientStatus == model.ClientRunning || x.Alloc.ServerTerminal() {
			continue
		}
		states := map[string]*model.TaskState{}
		for _, group := range x.Job.TaskGroups {
			for _, t := range group.Tasks {
				states[t.Name] = &model.TaskState{State: model.TaskRunning, StartedAt: time.Now()}
			}
		}
		n.reports.Put(&model.AllocUpdate{ID: x.Alloc.ID, ClientStatus: model.ClientRunning, TaskStates: states}, false)
	}
	return nil
}

// fresh counts nodes whose lease was renewed after at.
func (f *fleet) fresh(at time.Time) int {
	n := 0
	for _, x := range f.nodes {
		if x.renewed.Load() > at.UnixNano() {
			n++
		}
	}
	return n
}

// on counts nodes by the server of their session.
func (f *fleet) on() map[string]int {
	out := map[string]int{}
	for _, x := range f.nodes {
		out[x.session.Server()]++
	}
	return out
}
