package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/model"
)

// A job's life: registered, scaled, updated, stopped, forgotten.
func TestJobLife(t *testing.T) {
	c := start(t, server.Config{})
	for _, name := range []string{"n1", "n2", "n3"} {
		c.connect(newNode(name))
	}
	ctx := context.Background()
	c.register(job("web", 6))
	c.until("six running", func() bool { return c.settled("web", 6) })
	if got := c.running("web"); len(got) != 3 || got["n1"] != 2 || got["n2"] != 2 {
		t.Errorf("6 instances on 3 equal nodes: %v, want 2 on each", got)
	}
	if status := c.store.Snapshot().Job(model.DefaultNamespace, "web").Status; status != model.JobStatusRunning {
		t.Errorf("job status %q", status)
	}

	nine := int64(9)
	if _, err := msg.JobScale.Call(ctx, c.call, &msg.JobScaleRequest{JobID: "web", Group: "web", Count: &nine}); err != nil {
		t.Fatal(err)
	}
	c.until("nine running", func() bool { return c.settled("web", 9) })

	next := job("web", 9)
	next.TaskGroups[0].Tasks[0].Env = map[string]string{"A": "b"}
	c.register(next)
	c.until("the new version", func() bool {
		if !c.settled("web", 9) {
			return false
		}
		for a := range c.store.Snapshot().AllocsByJob(model.DefaultNamespace, "web") {
			if !a.Terminal() && a.JobVersion != 2 {
				return false
			}
		}
		return true
	})

	if _, err := msg.JobDeregister.Call(ctx, c.call, &msg.JobDeregisterRequest{JobID: "web"}); err != nil {
		t.Fatal(err)
	}
	c.until("all stopped", func() bool {
		for a := range c.store.Snapshot().AllocsByJob(model.DefaultNamespace, "web") {
			if !a.ClientTerminal() {
				return false
			}
		}
		return c.store.Snapshot().Job(model.DefaultNamespace, "web").Status == model.JobStatusDead
	})
	if _, err := msg.JobDeregister.Call(ctx, c.call, &msg.JobDeregisterRequest{JobID: "web", Purge: true}); err != nil {
		t.Fatal(err)
	}
	if c.store.Snapshot().Job(model.DefaultNamespace, "web") != nil {
		t.Error("the purged job is still there")
	}
	c.until("the last evaluation", func() bool { return c.settled("web", 0) })
	if _, err := msg.SystemGC.Call(ctx, c.call, &msg.SystemGCRequest{}); err != nil {
		t.Fatal(err)
	}
	snap := c.store.Snapshot()
	for a := range snap.AllocsByJob(model.DefaultNamespace, "web") {
		t.Errorf("allocation %s survived collection", a.ID)
	}
}

// What does not fit waits, says why, and runs when there is room.
func TestBlockedThenRoom(t *testing.T) {
	c := start(t, server.Config{})
	c.connect(newNode("n1"))
	big := job("big", 2)
	big.TaskGroups[0].Tasks[0].Resources.MemoryMB = 5000
	resp := c.register(big)
	c.until("one of two running", func() bool { return c.settled("big", 1) })
	eval := c.store.Snapshot().Eval(resp.EvalID)
	if m := eval.FailedTGAllocs["web"]; eval.BlockedEval == "" || m == nil || m.DimensionExhausted["memory"] != 1 {
		t.Fatalf("evaluation does not say what is missing: %+v", eval)
	}
	if b := c.store.Snapshot().Eval(eval.BlockedEval); b.Status != model.EvalBlocked {
		t.Fatalf("evaluation %s is %s, want blocked", b.ID, b.Status)
	}
	c.connect(newNode("n2"))
	c.until("both running", func() bool { return c.settled("big", 2) })
	c.until("nothing blocked", func() bool {
		for range c.store.Snapshot().EvalsByStatus(model.EvalBlocked) {
			return false
		}
		return true
	})
}

// The same when another job gives room back.
func TestBlockedThenFreed(t *testing.T) {
	c := start(t, server.Config{})
	c.connect(newNode("n1"))
	first := job("first", 1)
	first.TaskGroups[0].Tasks[0].Resources.MemoryMB = 6000
	c.register(first)
	c.until("the first", func() bool { return c.settled("first", 1) })
	second := job("second", 1)
	second.TaskGroups[0].Tasks[0].Resources.MemoryMB = 6000
	c.register(second)
	c.until("a blocked evaluation", func() bool {
		for range c.store.Snapshot().EvalsByStatus(model.EvalBlocked) {
			return true
		}
		return false
	})
	if _, err := msg.JobDeregister.Call(context.Background(), c.call, &msg.JobDeregisterRequest{JobID: "first"}); err != nil {
		t.Fatal(err)
	}
	c.until("the second", func() bool { return c.settled("second", 1) })
}

// A machine is lost: what it ran is elsewhere soon; when it comes back, what was
// given up stays given up.
func TestNodeLost(t *testing.T) {
	c := start(t, server.Config{LeaseTTL: time.Second})
	lost := c.connect(newNode("n1"))
	c.connect(newNode("n2"))
	c.register(job("web", 4))
	c.until("four running", func() bool { return c.settled("web", 4) })
	c.region.fail(lost.ID, true)
	lost.stop()
	began := time.Now()
	c.until("four on the other node", func() bool { return c.settled("web", 4) && c.running("web")["n2"] == 4 })
	t.Logf("moved after %s", time.Since(began))
	if n := c.store.Snapshot().Node(lost.ID); n.Status != model.NodeStatusDown {
		t.Errorf("the node is %s", n.Status)
	}
	c.region.fail(lost.ID, false)
	back := c.connect(lost.Node)
	c.until("the node ready", func() bool { return c.store.Snapshot().Node(lost.ID).Status == model.NodeStatusReady })
	back.mu.Lock()
	defer back.mu.Unlock()
	if len(back.allocs) != 0 {
		t.Errorf("the node that came back is told of %d allocations, want none", len(back.allocs))
	}
}

// Gossip is silent (or wrong): the lease alone decides, after twice its time.
func TestNodeLostWithoutGossip(t *testing.T) {
	c := start(t, server.Config{LeaseTTL: 500 * time.Millisecond})
	n := c.connect(newNode("n1"))
	n.stop()
	c.until("the node down", func() bool { return c.store.Snapshot().Node(n.ID).Status == model.NodeStatusDown })
}

// A node that renews stays; its renewals are acknowledged.
func TestLeaseHolds(t *testing.T) {
	c := start(t, server.Config{LeaseTTL: 600 * time.Millisecond})
	n := c.connect(newNode("n1"))
	c.until("four renewals", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.renewed >= 4 })
	if s := c.store.Snapshot().Node(n.ID).Status; s != model.NodeStatusReady {
		t.Errorf("the node is %s", s)
	}
}

// A failed instance is replaced as its reschedule block says.
func TestFailedIsReplaced(t *testing.T) {
	c := start(t, server.Config{})
	n := c.connect(newNode("n1"))
	j := job("web", 1)
	j.TaskGroups[0].ReschedulePolicy = &model.ReschedulePolicy{
		Delay: 5 * time.Second, DelayFunction: model.DelayConstant, MaxDelay: time.Minute, Unlimited: true,
	}
	c.register(j)
	c.until("it running", func() bool { return c.settled("web", 1) })
	var failed string
	for a := range c.store.Snapshot().AllocsByJob(model.DefaultNamespace, "web") {
		failed = a.ID
	}
	c.report(n.Node, failed, model.ClientFailed)
	c.until("a follow-up", func() bool { return c.store.Snapshot().Alloc(failed).FollowupEvalID != "" })
	c.until("its replacement", func() bool {
		return c.settled("web", 1) && c.store.Snapshot().Alloc(failed).NextAllocation != ""
	})
}

// A system job runs on every node, also on one that comes later.
func TestSystemJobFollowsNodes(t *testing.T) {
	c := start(t, server.Config{})
	c.connect(newNode("n1"))
	j := job("agent", 1)
	j.Type = model.JobTypeSystem
	j.TaskGroups[0].ReschedulePolicy = nil
	j.TaskGroups[0].Migrate = nil
	c.register(j)
	c.until("one running", func() bool { return c.settled("agent", 1) })
	c.connect(newNode("n2"))
	c.until("two running", func() bool { return c.settled("agent", 2) })
}

// A node cannot speak for another one.
func TestNodeIdentity(t *testing.T) {
	c := start(t, server.Config{})
	n := c.connect(newNode("n1"))
	ctx := context.Background()
	thief := *n.Node
	thief.SecretID = newNode("x").SecretID
	_, err := msg.NodeRegisterAt.Call(ctx, c.call, &msg.NodeRegisterRequest{Node: &thief})
	if model.CodeOf(err) != model.CodeDenied {
		t.Errorf("registered with another secret: %v", err)
	}
	_, err = msg.NodeUpdateAllocs.Call(ctx, c.call, &msg.NodeUpdateAllocsRequest{NodeID: n.ID, SecretID: thief.SecretID})
	if model.CodeOf(err) != model.CodeDenied {
		t.Errorf("reported with another secret: %v", err)
	}
	before := c.store.Snapshot().Index()
	if _, err := msg.NodeRegisterAt.Call(ctx, c.call, &msg.NodeRegisterRequest{Node: n.Node}); err != nil {
		t.Fatal(err)
	}
	if after := c.store.Snapshot().TableIndex("nodes"); after > before {
		t.Error("registering the same again wrote a log entry")
	}
}
