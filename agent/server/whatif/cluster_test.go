package whatif_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/loop"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/admit"
	"github.com/steppe-project/steppe/agent/server/broker"
	"github.com/steppe-project/steppe/agent/server/dependents"
	"github.com/steppe-project/steppe/agent/server/deployments"
	"github.com/steppe-project/steppe/agent/server/drain"
	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/forecast"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/liveness"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/agent/server/nodeevals"
	"github.com/steppe-project/steppe/agent/server/ordinals"
	"github.com/steppe-project/steppe/agent/server/planner"
	"github.com/steppe-project/steppe/agent/server/whatif"
	"github.com/steppe-project/steppe/agent/server/worker"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sim/workload"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// cluster is the control plane of a leader in production's goroutines, on a log in
// memory, with nodes that do what they are told after random times. In a bubble of
// testing/synctest it lives in virtual time.
type cluster struct {
	*memlog.Log
	t      testing.TB
	dice   *rand.Rand
	call   rpc.Caller
	source *forecast.Source
	cancel func()
	wg     sync.WaitGroup

	mu   sync.Mutex
	lost map[string]bool
}

// Dead implements liveness.Members.
func (c *cluster) Dead(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost[id]
}

type clock struct{}

func (clock) Now() time.Time { return time.Now() }

func start(t testing.TB, seed uint64, workers int) *cluster {
	c := &cluster{Log: memlog.New(), t: t, dice: rand.New(rand.NewPCG(seed, 5)), lost: map[string]bool{}}
	c.Now = time.Now
	c.Must(&fsm.FeatureLevel{Level: feature.Newest})
	c.source = forecast.NewSource(c.Store)
	desk := liveness.NewDesk(liveness.New(liveness.DefaultTTL, c), c.Store, c.Log, time.Now)
	srv := rpc.NewServer(rpc.Config{Logger: quiet})
	desk.Register(srv)
	admit.New(admit.Config{Store: c.Store, Proposer: c.Log, Region: model.DefaultRegion, Now: c.Now, Seen: desk.Seen}).Register(srv)
	whatif.New(whatif.Config{Source: c.source, Proposer: c.Log, Now: c.Now, Admit: admitIn, Region: model.DefaultRegion}).Register(srv)
	c.call = srv.Caller()
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	evals := make(chan *model.Evaluation, 64)
	view := fleet.New(c.Store)
	plans := planner.New(planner.Config{View: view, Proposer: c.Log, Logger: quiet})
	work := worker.New(worker.Config{Count: workers, Evals: evals, View: view, Planner: plans, Proposer: c.Log, Now: c.Now, Logger: quiet})
	runner := loop.New(loop.Config{Source: c.Store, Proposer: c.Log, Clock: clock{}, Logger: quiet})
	for _, run := range []func(context.Context) error{
		view.Run, plans.Run, work.Run, c.renew, c.react,
		func(ctx context.Context) error {
			return runner.Run(ctx, broker.NewQueue(evals), desk, nodeevals.New(), drain.New(), dependents.New(), deployments.New(), ordinals.New())
		},
	} {
		c.wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	return c
}

func (c *cluster) stop() {
	c.cancel()
	c.wg.Wait()
	c.source.Close()
}

// admitIn are production's writes on a world.
func admitIn(w *forecast.World) rpc.Caller {
	ids := 0
	srv := rpc.NewServer(rpc.Config{Logger: quiet})
	admit.New(admit.Config{Store: w.Store, Proposer: w, Region: model.DefaultRegion, Now: w.Now, NewID: func() string {
		ids++
		return ident.From("forecast", strconv.Itoa(ids))
	}}).Register(srv)
	return srv.Caller()
}

// renew renews the leases of all that live.
func (c *cluster) renew(ctx context.Context) error {
	for {
		var ids []string
		for n := range c.Store.Snapshot().Nodes(state.Range{}) {
			if !c.Dead(n.ID) {
				ids = append(ids, n.ID)
			}
		}
		if _, err := msg.NodeRenewAt.Call(ctx, c.call, &msg.NodeRenewRequest{NodeIDs: ids}); err != nil {
			return err
		}
		select {
		case <-time.After(liveness.DefaultTTL / 3):
		case <-ctx.Done():
			return nil
		}
	}
}

// react has the nodes do what they are told.
func (c *cluster) react(ctx context.Context) error {
	_, sub := c.Store.Subscribe(state.TableAllocs)
	defer sub.Close()
	for {
		changes, err := sub.Next(ctx)
		if err != nil {
			return nil
		}
		for i := range changes {
			if a, _ := changes[i].After.(*model.Allocation); a != nil && !a.ClientTerminal() && (a.ServerTerminal() || a.ClientStatus == model.ClientPending) {
				c.mu.Lock()
				after := time.Duration(5+c.dice.IntN(300)) * time.Millisecond
				c.mu.Unlock()
				c.wg.Go(func() { c.say(ctx, a, after) })
			}
		}
	}
}

// say reports that an allocation runs, or has ended.
func (c *cluster) say(ctx context.Context, a *model.Allocation, after time.Duration) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return
	}
	now := c.Store.Snapshot().Alloc(a.ID)
	if now == nil || c.Dead(a.NodeID) || now.ServerTerminal() != a.ServerTerminal() || now.ClientTerminal() {
		return
	}
	up := &model.AllocUpdate{ID: a.ID, ClientStatus: model.ClientRunning, TaskStates: map[string]*model.TaskState{}}
	for _, g := range a.Job.TaskGroups {
		for _, t := range g.Tasks {
			s := &model.TaskState{State: model.TaskRunning, StartedAt: time.Now()}
			if a.ServerTerminal() || t.Lifecycle != nil && !t.Lifecycle.Sidecar && t.Lifecycle.Hook != model.HookPoststop {
				s.State, s.FinishedAt = model.TaskDead, time.Now()
			}
			if g.Name == a.TaskGroup {
				up.TaskStates[t.Name] = s
			}
		}
	}
	if a.ServerTerminal() {
		up.ClientStatus = model.ClientComplete
	}
	n := c.Store.Snapshot().Node(a.NodeID)
	_, err := msg.NodeUpdateAllocs.Call(ctx, c.call, &msg.NodeUpdateAllocsRequest{NodeID: n.ID, SecretID: n.SecretID, Updates: []*model.AllocUpdate{up}})
	if err != nil && ctx.Err() == nil {
		c.t.Error(err)
	}
	if u := strategy(a); u != nil && !a.ServerTerminal() && n.Attributes[deploy.AttrHealth] != "" {
		c.judge(ctx, a.ID, u.MinHealthyTime)
	}
}

// strategy is how the deployment that an allocation is of goes; nil for none.
func strategy(a *model.Allocation) *model.UpdateStrategy {
	for _, g := range a.Job.TaskGroups {
		if g.Name == a.TaskGroup && a.DeploymentID != "" {
			return deploy.Strategy(a.Job, g)
		}
	}
	return nil
}

// judge says after a while that an allocation is healthy.
func (c *cluster) judge(ctx context.Context, id string, after time.Duration) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return
	}
	a := c.Store.Snapshot().Alloc(id)
	if a == nil || c.Dead(a.NodeID) || a.Terminal() {
		return
	}
	yes, n := true, c.Store.Snapshot().Node(a.NodeID)
	up := &model.AllocUpdate{ID: id, ClientStatus: a.ClientStatus, TaskStates: a.TaskStates, DeploymentStatus: &model.AllocDeploymentStatus{
		Healthy: &yes, Timestamp: time.Now(), ModifyIndex: a.AllocModifyIndex,
	}}
	_, err := msg.NodeUpdateAllocs.Call(ctx, c.call, &msg.NodeUpdateAllocsRequest{NodeID: n.ID, SecretID: n.SecretID, Updates: []*model.AllocUpdate{up}})
	if err != nil && ctx.Err() == nil {
		c.t.Error(err)
	}
}

// uid is an id that the seed gives.
func (c *cluster) uid() string {
	return uuid.NewSHA1(uuid.Nil, []byte(strconv.FormatUint(c.dice.Uint64(), 16))).String()
}

// node registers the i-th machine.
func (c *cluster) node(i int) *model.Node {
	n := workload.Node(c.dice, i, c.uid(), c.uid())
	n.Datacenter = []string{"dc1", "dc1", "dc2"}[c.dice.IntN(3)]
	n.Meta["rack"] = fmt.Sprint("r", c.dice.IntN(3))
	n.NodeClass = []string{"c4", "c5"}[c.dice.IntN(2)]
	c.register(n)
	return n
}

func (c *cluster) register(n *model.Node) {
	if _, err := msg.NodeRegisterAt.Call(context.Background(), c.call, &msg.NodeRegisterRequest{Node: n}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) run(j *model.Job) {
	if _, err := msg.JobRegister.Call(context.Background(), c.call, &msg.JobRegisterRequest{Job: j.Copy()}); err != nil {
		c.t.Fatal(err)
	}
}

// ask asks what would happen.
func (c *cluster) ask(q *insight.Question) (*insight.Answer, error) {
	out, err := msg.WhatIf.Call(context.Background(), c.call, &msg.WhatIfRequest{Question: q})
	if err != nil {
		return nil, err
	}
	return out.Answer, nil
}

// do has happen what was asked about.
func (c *cluster) do(q *insight.Question, a *insight.Answer) {
	ctx := context.Background()
	for i, n := range a.Added {
		like := *c.find(q.Add[0].Like.Node)
		like.ID, like.SecretID, like.Name = n.ID, c.uid(), n.Name
		like.SchedulingEligibility, like.DrainStrategy, like.LastDrain, like.Events = "", nil, nil, nil
		_ = i
		c.register(&like)
	}
	for _, j := range q.Jobs {
		c.run(j)
	}
	for _, s := range q.Scale {
		count := int64(s.Count)
		if _, err := msg.JobScale.Call(ctx, c.call, &msg.JobScaleRequest{JobID: s.JobID, Group: s.Group, Count: &count}); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, s := range q.Stop {
		if _, err := msg.JobDeregister.Call(ctx, c.call, &msg.JobDeregisterRequest{JobID: s.ID}); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, n := range a.Drained {
		_, err := msg.NodeDrain.Call(ctx, c.call, &msg.NodeDrainRequest{NodeID: n.ID, Spec: &model.DrainSpec{Deadline: q.Drain[0].Deadline}})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	c.mu.Lock()
	for _, n := range a.Lost {
		c.lost[n.ID] = true
	}
	c.mu.Unlock()
}

func (c *cluster) find(id string) *model.Node {
	for n := range c.Store.Snapshot().Nodes(state.Range{}) {
		if n.ID == id {
			return n
		}
	}
	c.t.Fatalf("no node %s", id)
	return nil
}
