package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// stage is a hub with a leader that tests script.
type stage struct {
	*memlog.Log
	t    *testing.T
	hub  *Hub
	call rpc.Caller

	mu       sync.Mutex
	unknown  []string // what the leader answers to the next renewal
	renewals int
	reports  [][]*model.AllocUpdate
	gate     chan struct{} // when set, reports wait for it
	register int
	old      bool     // the leader is of a version that takes no gathered reports
	refused  string   // the node whose reports the leader does not take
	calls    []string // that reported, with how many nodes
}

func newStage(t *testing.T) *stage {
	s := &stage{Log: memlog.New(), t: t}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	srv := rpc.NewServer(rpc.Config{Logger: log})
	rpc.Handle(srv, msg.NodeRegisterAt, func(_ context.Context, r *msg.NodeRegisterRequest) (*msg.NodeWriteResponse, error) {
		s.mu.Lock()
		s.register++
		s.mu.Unlock()
		n := *r.Node
		n.Status = model.NodeStatusReady
		out := s.Must(&fsm.RegisterNode{Node: &n})
		return &msg.NodeWriteResponse{WriteMeta: msg.WriteMeta{Index: out.Index}}, nil
	})
	rpc.Handle(srv, msg.NodeRenewAt, func(context.Context, *msg.NodeRenewRequest) (*msg.NodeRenewResponse, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.renewals++
		resp := &msg.NodeRenewResponse{Unknown: s.unknown}
		s.unknown = nil
		return resp, nil
	})
	rpc.Handle(srv, msg.NodeReportAt, func(_ context.Context, r *msg.NodeReportRequest) (*msg.NodeReportResponse, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, fmt.Sprint("many ", len(r.Nodes)))
		if s.old {
			return nil, model.Errorf(model.CodeNotFound, "unknown call")
		}
		resp := &msg.NodeReportResponse{}
		for i, one := range r.Nodes {
			if one.NodeID == s.refused {
				resp.Refused = append(resp.Refused, &msg.NodeReportRefused{Place: i, Code: string(model.CodeDenied), Message: "not yours"})
				continue
			}
			s.Must(&fsm.UpdateAllocs{NodeID: one.NodeID, Updates: one.Updates})
		}
		return resp, nil
	})
	rpc.Handle(srv, msg.NodeUpdateAllocs, func(ctx context.Context, r *msg.NodeUpdateAllocsRequest) (*msg.WriteMeta, error) {
		s.mu.Lock()
		gate := s.gate
		s.mu.Unlock()
		if gate != nil {
			select {
			case <-gate:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		s.mu.Lock()
		s.reports = append(s.reports, r.Updates)
		s.calls = append(s.calls, "one")
		refused := s.refused == r.NodeID
		s.mu.Unlock()
		if refused {
			return nil, model.Errorf(model.CodeDenied, "not yours")
		}
		s.Must(&fsm.UpdateAllocs{NodeID: r.NodeID, Updates: r.Updates})
		return &msg.WriteMeta{}, nil
	})
	s.hub = New(Config{
		ServerID: "s1", Store: s.Store, Caller: srv.Caller(), Servers: func() []string { return []string{"a:1"} },
		LeaseTTL: 4 * time.Second, Logger: log,
	})
	s.hub.Register(srv)
	s.call = srv.Caller()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name = "web", "web"
	g := model.NewTaskGroup(j)
	g.Name = "g"
	j.TaskGroups = append(j.TaskGroups, g)
	s.Must(&fsm.RegisterJob{Job: j})
	return s
}

func (s *stage) place(node string, ids ...string) {
	g := &model.PlanGroup{TaskGroup: "g", Resources: &model.AllocatedResources{}}
	for i, id := range ids {
		g.Placements = append(g.Placements, &model.Placement{ID: id, Index: i, NodeID: node})
	}
	s.Must(&fsm.ApplyPlan{Plan: &model.Plan{EvalID: "e", Namespace: model.DefaultNamespace, JobID: "web", Groups: []*model.PlanGroup{g}}})
}

func (s *stage) stop(ids ...string) {
	p := &model.Plan{EvalID: "e", Namespace: model.DefaultNamespace, JobID: "web"}
	for _, id := range ids {
		p.Stops = append(p.Stops, &model.PlanStop{ID: id})
	}
	s.Must(&fsm.ApplyPlan{Plan: p})
}

// peer is the node's end.
type peer struct {
	t  *testing.T
	st *rpc.Stream[msg.NodeUp, msg.NodeDown]
}

func (s *stage) open(node string) *peer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s.t.Cleanup(cancel)
	st, err := msg.NodeSession.Open(ctx, s.call)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(st.Close)
	p := &peer{s.t, st}
	p.send(&msg.NodeUp{Register: &msg.NodeRegister{Node: &model.Node{ID: node, Name: node}}})
	if d := p.recv(); d.Registered == nil || d.Registered.LeaseTTL != 4*time.Second || len(d.Registered.Servers) != 1 {
		s.t.Fatalf("first message: %+v", d)
	}
	return p
}

func (p *peer) send(up *msg.NodeUp) {
	p.t.Helper()
	if err := p.st.Send(up); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) recv() *msg.NodeDown {
	p.t.Helper()
	d, err := p.st.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// assign waits for an assignment.
func (p *peer) assign() *msg.NodeAssign {
	p.t.Helper()
	for {
		if d := p.recv(); d.Assign != nil {
			return d.Assign
		}
	}
}

func shape(a *msg.NodeAssign) string {
	return fmt.Sprintf("full=%v allocs=%d removed=%d", a.Full, len(a.Allocs), len(a.Removed))
}

func TestFullThenDeltas(t *testing.T) {
	s := newStage(t)
	s.Must(&fsm.RegisterNode{Node: &model.Node{ID: "n1", Status: model.NodeStatusReady}})
	s.place("n1", "a", "b")
	p := s.open("n1")
	if a := p.assign(); shape(a) != "full=true allocs=2 removed=0" || a.Allocs[0].Job == nil {
		t.Fatalf("first: %s", shape(a))
	}
	s.place("n1", "c")
	if a := p.assign(); shape(a) != "full=false allocs=1 removed=0" || a.Allocs[0].Alloc.ID != "c" {
		t.Fatalf("placed: %s", shape(a))
	}
	// The node's own report is no news to it; the stop is.
	p.send(&msg.NodeUp{Report: &msg.NodeReport{Seq: 1, Updates: []*model.AllocUpdate{{ID: "c", ClientStatus: model.ClientRunning}}}})
	for {
		if d := p.recv(); d.Reported != nil && d.Reported.Seq == 1 {
			break
		}
	}
	s.stop("c")
	if a := p.assign(); shape(a) != "full=false allocs=1 removed=0" || a.Allocs[0].Alloc.DesiredStatus != model.DesiredStop {
		t.Fatalf("stopped: %s", shape(a))
	}
	p.send(&msg.NodeUp{Report: &msg.NodeReport{Seq: 2, Updates: []*model.AllocUpdate{{ID: "c", ClientStatus: model.ClientComplete}}}})
	if a := p.assign(); shape(a) != "full=false allocs=0 removed=1" || a.Removed[0] != "c" {
		t.Fatalf("ended: %s", shape(a))
	}
}

// A node that does not read gets one full set in the end, not everything it missed.
func TestSlowNode(t *testing.T) {
	s := newStage(t)
	p := s.open("n1")
	if a := p.assign(); shape(a) != "full=true allocs=0 removed=0" {
		t.Fatalf("first: %s", shape(a))
	}
	const changes = 4 * maxOutbox
	for i := range changes {
		s.place("n1", fmt.Sprintf("a%05d", i))
	}
	seen, full := map[string]bool{}, false
	messages := 0
	for len(seen) < changes {
		a := p.assign()
		messages++
		if a.Full {
			full = true
			clear(seen)
		}
		for _, as := range a.Allocs {
			seen[as.Alloc.ID] = true
		}
	}
	t.Logf("%d changes in %d messages, full set: %v", changes, messages, full)
	if messages > changes/4 {
		t.Errorf("%d messages for %d changes", messages, changes)
	}
}

// Reports made while one is being committed are merged to the newest.
func TestReportsMerge(t *testing.T) {
	s := newStage(t)
	p := s.open("n1")
	s.place("n1", "a")
	gate := make(chan struct{})
	s.mu.Lock()
	s.gate = gate
	s.mu.Unlock()
	for seq := uint64(1); seq <= 50; seq++ {
		status := model.ClientRunning
		if seq == 50 {
			status = model.ClientComplete
		}
		p.send(&msg.NodeUp{Report: &msg.NodeReport{Seq: seq, Updates: []*model.AllocUpdate{{ID: "a", ClientStatus: status}}}})
	}
	// A renewal is handled after the reports before it.
	p.send(&msg.NodeUp{Renew: &msg.NodeRenew{Seq: 7}})
	for {
		if d := p.recv(); d.Renewed != nil && d.Renewed.Seq == 7 {
			break
		}
	}
	close(gate)
	for {
		if d := p.recv(); d.Reported != nil && d.Reported.Seq == 50 {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reports) > 2 {
		t.Errorf("%d calls to the leader for 50 reports, want at most 2", len(s.reports))
	}
	if got := s.Store.Snapshot().Alloc("a").ClientStatus; got != model.ClientComplete {
		t.Errorf("status %s", got)
	}
}

// TestReportsGather: what many nodes report while the leader is busy goes to it in
// one call; the one that it refuses loses its session, no other does. A leader of an
// earlier version is told one by one.
func TestReportsGather(t *testing.T) {
	const nodes = 40
	for _, old := range []bool{false, true} {
		s := newStage(t)
		s.old, s.refused = old, "n7"
		gate := make(chan struct{})
		s.gate = gate
		var peers []*peer
		for i := range nodes {
			name := fmt.Sprintf("n%d", i)
			peers = append(peers, s.open(name))
			s.place(name, "a"+name)
		}
		for i, p := range peers { // the first calls wait at the gate
			name := fmt.Sprintf("n%d", i)
			p.send(&msg.NodeUp{Report: &msg.NodeReport{Seq: 1, Updates: []*model.AllocUpdate{{ID: "a" + name, ClientStatus: model.ClientRunning}}}})
			p.send(&msg.NodeUp{Renew: &msg.NodeRenew{Seq: 1}})
		}
		var told [nodes]bool
		for i, p := range peers { // a renewal is handled after the report before it
			for i != 7 {
				d := p.recv()
				told[i] = told[i] || d.Reported != nil
				if d.Renewed != nil && d.Renewed.Seq == 1 {
					break
				}
			}
		}
		close(gate)
		for i, p := range peers {
			for i != 7 && !told[i] {
				told[i] = p.recv().Reported != nil
			}
		}
		for {
			if _, err := peers[7].st.Recv(); err != nil {
				if model.CodeOf(err) != model.CodeDenied {
					t.Errorf("old=%v: the refused node's session ended with %v", old, err)
				}
				break
			}
		}
		s.mu.Lock()
		if !old && len(s.calls) > 8 || old && len(s.calls) < nodes {
			t.Errorf("old=%v: %d nodes reported in %d calls: %v", old, nodes, len(s.calls), s.calls)
		}
		s.mu.Unlock()
		for i := range nodes {
			want := model.ClientRunning
			if i == 7 {
				want = model.ClientPending
			}
			if got := s.Store.Snapshot().Alloc(fmt.Sprintf("an%d", i)).ClientStatus; got != want {
				t.Errorf("old=%v: node %d: %s, want %s", old, i, got, want)
			}
		}
		if got := s.hub.Len(); got != nodes-1 {
			t.Errorf("old=%v: %d sessions, want %d", old, got, nodes-1)
		}
	}
}

// A node the leader does not think alive is registered again by its server, and
// gets a full set.
func TestUnknownToLeader(t *testing.T) {
	s := newStage(t)
	p := s.open("n1")
	p.assign()
	s.mu.Lock()
	s.unknown = []string{"n1"}
	before := s.register
	s.mu.Unlock()
	p.send(&msg.NodeUp{Renew: &msg.NodeRenew{Seq: 1}})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		again := s.register - before
		s.mu.Unlock()
		if again == 1 {
			break
		}
		if again > 1 || time.Now().After(deadline) {
			t.Fatalf("registered %d times again, want once", again)
		}
	}
	index := s.Store.Snapshot().Index() // of the registration
	for {
		if a := p.assign(); a.Full && a.Index >= index {
			return
		}
	}
}

// A new description is registered; a changed id ends the session.
func TestUpdate(t *testing.T) {
	s := newStage(t)
	p := s.open("n1")
	p.send(&msg.NodeUp{Update: &model.Node{ID: "n1", Name: "n1", NodeClass: "big"}})
	for deadline := time.Now().Add(30 * time.Second); s.Store.Snapshot().Node("n1").NodeClass != "big"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new description did not arrive")
		}
	}
	p.send(&msg.NodeUp{Update: &model.Node{ID: "n2"}})
	for {
		if _, err := p.st.Recv(); err != nil {
			if model.CodeOf(err) != model.CodeInvalid {
				t.Errorf("ended with %v", err)
			}
			return
		}
	}
}

// One session a node; the newest stays.
func TestSecondSession(t *testing.T) {
	s := newStage(t)
	old := s.open("n1")
	young := s.open("n1")
	for {
		if _, err := old.st.Recv(); err != nil {
			if model.CodeOf(err) != model.CodeConflict {
				t.Errorf("the old session ended with %v", err)
			}
			break
		}
	}
	young.assign()
	s.place("n1", "a")
	if a := young.assign(); len(a.Allocs) != 1 {
		t.Errorf("the new session got %s", shape(a))
	}
	if s.hub.Len() != 1 {
		t.Errorf("%d sessions", s.hub.Len())
	}
}

func TestProtocol(t *testing.T) {
	s := newStage(t)
	st, err := msg.NodeSession.Open(t.Context(), s.call)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Send(&msg.NodeUp{Renew: &msg.NodeRenew{Seq: 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("a session without registration: %v", err)
	}
}
