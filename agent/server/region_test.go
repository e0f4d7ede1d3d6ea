package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/model"
)

// followers are the servers that do not lead.
func followers(all []*cluster) []*cluster {
	return slices.DeleteFunc(slices.Clone(all), func(c *cluster) bool { return c.host.Leadership().Self })
}

// Three servers, nodes connected to followers: jobs registered anywhere run, and
// go on when the leader is lost; the nodes do not register again for that.
func TestLeaderLost(t *testing.T) {
	all := startMany(t, 3, server.Config{LeaseTTL: 2 * time.Second})
	first := leader(all)
	others := followers(all)
	n1, n2 := others[0].connect(newNode("n1")), others[1].connect(newNode("n2"))
	others[0].register(job("web", 4))
	others[1].until("four running", func() bool { return others[1].settled("web", 4) })
	others[0].until("four running", func() bool { return others[0].settled("web", 4) })
	before := others[0].store.Snapshot().Node(n1.ID).ModifyIndex

	first.stop()
	first.region.fail(first.id, true)
	others[0].until("a new leader", func() bool { return leader(others) != nil })
	began := time.Now()
	others[0].register(job("db", 2))
	for _, c := range others {
		c.until("the second job", func() bool { return c.settled("db", 2) })
	}
	t.Logf("a job ran %s after the election", time.Since(began))

	// Long enough for leases to end if nobody renewed them.
	renewed := func(n *node) uint64 { n.mu.Lock(); defer n.mu.Unlock(); return n.renewed }
	for _, n := range []*node{n1, n2} {
		from := renewed(n)
		n.c.until("renewals at the new leader", func() bool { return renewed(n) >= from+5 })
	}
	if now := others[0].store.Snapshot().Node(n1.ID); now.ModifyIndex != before || now.Status != model.NodeStatusReady {
		t.Errorf("the node was touched: %s, index %d, was %d", now.Status, now.ModifyIndex, before)
	}
	if got := others[0].running("web"); total(got) != 4 {
		t.Errorf("running: %v", got)
	}
}

// A request about a node's things finds the node through whichever server holds
// its tunnel; streams too.
func TestRouteToNode(t *testing.T) {
	all := startMany(t, 3, server.Config{})
	holder := followers(all)[0]
	n := holder.connect(newNode("n1"))
	holder.register(job("web", 1))
	var alloc string
	for _, c := range all {
		c.until("it running", func() bool { return c.settled("web", 1) })
		for a := range c.store.Snapshot().AllocsByJob(model.DefaultNamespace, "web") {
			alloc = a.ID
		}
	}
	client := rpc.NewServer(rpc.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	rpc.Handle(client, msg.ClientFSStat, func(_ context.Context, r *msg.AllocFileRequest) (*msg.FileInfosResponse, error) {
		return &msg.FileInfosResponse{Files: []*msg.FileInfo{{Name: r.Path}}}, nil
	})
	rpc.HandleStream(client, msg.ClientLogs, func(_ context.Context, st *rpc.Stream[msg.FileFrame, msg.AllocLogsRequest]) error {
		req, err := st.Recv()
		if err != nil {
			return err
		}
		for range 3 {
			if err := st.Send(&msg.FileFrame{Data: []byte(req.Task)}); err != nil {
				return err
			}
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	pool := rpc.NewPool(port.Plaintext(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	defer pool.Close()
	go func() {
		ended <- rpc.ServeTunnel(ctx, pool.At(holder.addr), rpc.NodeHello{NodeID: n.ID, Secret: n.SecretID}, client)
	}()
	defer func() { cancel(); <-ended }()
	holder.until("a tunnel", func() bool {
		r, err := msg.HasNode.Call(ctx, holder.call, &msg.HasNodeRequest{NodeID: n.ID})
		return err == nil && r.Value
	})
	for _, c := range all {
		r, err := msg.ClientFSStat.Call(ctx, c.call, &msg.AllocFileRequest{AllocID: alloc, Path: "/x"})
		if err != nil || len(r.Files) != 1 || r.Files[0].Name != "/x" {
			t.Errorf("stat: %+v, %v", r, err)
		}
		if got := logs(t, c, alloc); got != "mainmainmain" {
			t.Errorf("logs: %q", got)
		}
	}
	_, err := msg.ClientFSStat.Call(ctx, all[0].call, &msg.AllocFileRequest{AllocID: "none"})
	if model.CodeOf(err) != model.CodeNotFound || err.Error() != `Unknown allocation "none"` {
		t.Errorf("unknown allocation: %v", err)
	}
}

func logs(t *testing.T, c *cluster, alloc string) string {
	t.Helper()
	st, err := msg.ClientLogs.Open(t.Context(), c.call)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Send(&msg.AllocLogsRequest{AllocID: alloc, Task: "main"}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
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

// A snapshot saved on one server brings a job back; a cut one changes nothing.
func TestSnapshot(t *testing.T) {
	c := start(t, server.Config{})
	c.register(job("web", 1))
	c.until("its evaluation", func() bool { return c.settled("web", 0) })
	save := func() []byte {
		st, err := msg.SnapshotSave.Open(t.Context(), c.call)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if err := st.Send(&msg.StatusRequest{}); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		for {
			chunk, err := st.Recv()
			if err != nil {
				t.Fatal(err)
			}
			out.Write(chunk.Data)
			if chunk.Done {
				return out.Bytes()
			}
		}
	}
	restore := func(archive []byte) error {
		st, err := msg.SnapshotRestore.Open(t.Context(), c.call)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		for _, m := range []*msg.Chunk{{Data: archive}, {Done: true}} {
			if err := st.Send(m); err != nil {
				break // Recv tells why
			}
		}
		_, err = st.Recv()
		return err
	}
	archive := save()
	if _, err := msg.JobDeregister.Call(t.Context(), c.call, &msg.JobDeregisterRequest{JobID: "web", Purge: true}); err != nil {
		t.Fatal(err)
	}
	c.until("the last evaluation", func() bool { return c.settled("web", 0) })
	if err := restore(archive[:len(archive)/2]); err == nil {
		t.Fatal("half an archive was restored")
	}
	if c.store.Snapshot().Job(model.DefaultNamespace, "web") != nil {
		t.Fatal("half an archive changed the state")
	}
	if err := restore(archive); err != nil {
		t.Fatal(err)
	}
	if c.store.Snapshot().Job(model.DefaultNamespace, "web") == nil {
		t.Fatal("the job is not back")
	}
	// And the server goes on from there.
	c.connect(newNode("n1"))
	c.until("the job running", func() bool { return c.settled("web", 1) })
}

// What operators read and set.
func TestOperator(t *testing.T) {
	all := startMany(t, 3, server.Config{})
	ctx := t.Context()
	for _, c := range all {
		c.until("the leader's address", func() bool {
			r, err := msg.StatusLeader.Call(ctx, c.call, &msg.StatusRequest{})
			return err == nil && r.Value == leader(all).addr
		})
		c.until("all peers", func() bool {
			r, err := msg.StatusPeers.Call(ctx, c.call, &msg.StatusRequest{})
			return err == nil && len(r.Values) == 3
		})
	}
	r, err := msg.RaftConfiguration.Call(ctx, all[0].call, &msg.StatusRequest{})
	if err != nil || len(r.Servers) != 3 || r.Servers[0].Node == "(unknown)" {
		t.Errorf("configuration: %+v, %v", r, err)
	}
	all[0].until("health", func() bool {
		h, err := msg.AutopilotHealth.Call(ctx, all[0].call, &msg.StatusRequest{})
		return err == nil && h.Healthy && h.FailureTolerance == 1 && len(h.Servers) == 3
	})
	get, err := msg.SchedulerGet.Call(ctx, all[0].call, &msg.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	set := &msg.SchedulerConfigRequest{CAS: true, Config: *get.Config}
	set.Config.SchedulerAlgorithm = model.AlgorithmSpread
	for i, want := range []bool{true, false} {
		resp, err := msg.SchedulerSet.Call(ctx, all[1].call, set)
		if err != nil || resp.Updated != want {
			t.Errorf("check-and-set %d: %+v, %v", i, resp, err)
		}
	}
	set.Config.SchedulerAlgorithm = "luck"
	if _, err := msg.SchedulerSet.Call(ctx, all[1].call, set); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("an unknown algorithm: %v", err)
	}
	old := leader(all)
	if _, err := msg.RaftTransfer.Call(ctx, old.call, &msg.RaftPeerRequest{}); err != nil {
		t.Fatal(err)
	}
	old.until("another leader", func() bool { l := leader(all); return l != nil && l != old })
	stale := &msg.JobListRequest{QueryOptions: msg.QueryOptions{Stale: true}}
	old.until("a stale read that knows the leader", func() bool {
		resp, err := msg.JobList.Call(ctx, old.call, stale)
		return err == nil && resp.KnownLeader
	})
	linear := &msg.JobListRequest{QueryOptions: msg.QueryOptions{Consistent: true}}
	if _, err := msg.JobList.Call(ctx, old.call, linear); err != nil {
		t.Errorf("a linearizable read through a follower: %v", err)
	}
}
