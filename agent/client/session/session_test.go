package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-project/steppe/agent/client/report"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// server is one server that nodes may talk to.
type server struct {
	name string
	rpc  *rpc.Server

	mu      sync.Mutex
	refuse  error         // registrations are refused with it
	deaf    bool          // leases and reports are not confirmed
	stopped bool          // its process is: registrations are not answered either
	every   time.Duration // between renewals, as acknowledgements say
	// first is set by the first server to be met, which does not answer.
	first   *atomic.Pointer[server]
	ups     []*msg.NodeUp
	cut     context.CancelCauseFunc
	servers []string
}

func newServer(name string) *server {
	s := &server{name: name, rpc: rpc.NewServer(rpc.Config{})}
	rpc.HandleStream(s.rpc, msg.NodeSession, s.serve)
	return s
}

func (s *server) serve(ctx context.Context, st *rpc.Stream[msg.NodeDown, msg.NodeUp]) error {
	first, err := st.Recv()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	refuse, servers, stopped := s.refuse, s.servers, s.stopped
	if s.first != nil {
		s.first.CompareAndSwap(nil, s)
		stopped = stopped || s.first.Load() == s
	}
	s.cut = cancel
	s.ups = append(s.ups, first)
	s.mu.Unlock()
	if refuse != nil {
		return refuse
	}
	if stopped {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := st.Send(&msg.NodeDown{Registered: &msg.NodeRegistered{LeaseTTL: 3 * time.Second, Servers: servers}}); err != nil {
		return err
	}
	if err := st.Send(&msg.NodeDown{Assign: &msg.NodeAssign{Full: true}}); err != nil {
		return err
	}
	context.AfterFunc(ctx, st.Close)
	errs := make(chan error, 1)
	go func() { errs <- s.listen(st) }()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-errs:
		return err
	}
}

func (s *server) listen(st *rpc.Stream[msg.NodeDown, msg.NodeUp]) error {
	for {
		m, err := st.Recv()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.ups = append(s.ups, m)
		deaf, every := s.deaf, s.every
		s.mu.Unlock()
		if deaf {
			continue
		}
		switch {
		case m.Renew != nil:
			err = st.Send(&msg.NodeDown{Renewed: &msg.NodeRenewed{Seq: m.Renew.Seq, Every: every}})
		case m.Report != nil:
			err = st.Send(&msg.NodeDown{Reported: &msg.NodeReported{Seq: m.Report.Seq}})
		}
		if err != nil {
			return err
		}
	}
}

// count is how many messages of a kind the server got.
func (s *server) count(kind func(*msg.NodeUp) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.ups {
		if kind(m) {
			n++
		}
	}
	return n
}

func isRegister(m *msg.NodeUp) bool { return m.Register != nil }
func isReport(m *msg.NodeUp) bool   { return m.Report != nil }
func isUpdate(m *msg.NodeUp) bool   { return m.Update != nil }
func isRenew(m *msg.NodeUp) bool    { return m.Renew != nil }

// known implements Servers.
type known []*server

func (k known) Addrs() []string {
	var out []string
	for _, s := range k {
		out = append(out, s.name)
	}
	return out
}

func (k known) At(addr string) rpc.Caller {
	for _, s := range k {
		if s.name == addr {
			return process{s.rpc.Caller(), s}
		}
	}
	return newServer("nobody").rpc.Caller()
}

// process is the way to a server that may be stopped: then nothing answers.
type process struct {
	rpc.Caller
	s *server
}

func (p process) Invoke(ctx context.Context, spec rpc.Spec, req rpc.Message, resp func() rpc.Message) (rpc.Message, error) {
	p.s.mu.Lock()
	stopped := p.s.stopped
	p.s.mu.Unlock()
	if stopped {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return p.Caller.Invoke(ctx, spec, req, resp)
}

// node is the session under test with what it connects.
type node struct {
	*Session
	reports   *report.Queue
	mu        sync.Mutex
	changed   chan struct{}
	applied   int
	confirmed []*model.AllocUpdate
}

func open(t *testing.T, servers Servers) *node {
	n := &node{reports: report.New(), changed: make(chan struct{})}
	n.Session = New(Config{
		Servers: servers, Reports: n.reports, Logger: slog.New(slog.DiscardHandler),
		Node: func() (*model.Node, <-chan struct{}) {
			n.mu.Lock()
			defer n.mu.Unlock()
			return &model.Node{ID: "node", SecretID: "secret"}, n.changed
		},
		Apply: func(context.Context, *msg.NodeAssign) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.applied++
			return nil
		},
		Confirmed: func(u []*model.AllocUpdate) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.confirmed = append(n.confirmed, u...)
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

// counts compares how many assignments were applied (-1 = any) and statuses
// confirmed.
func (n *node) counts(applied, confirmed int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return (applied < 0 || n.applied == applied) && len(n.confirmed) == confirmed
}

func expect(t *testing.T, what string, ok bool) {
	t.Helper()
	if !ok {
		t.Errorf("not so: %s", what)
	}
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer("a")
		n := open(t, known{s})
		time.Sleep(time.Second / 2)
		expect(t, "registered and assigned", s.count(isRegister) == 1 && n.counts(1, 0) && n.Server() == "a")
		n.reports.Put(&model.AllocUpdate{ID: "x", ClientStatus: model.ClientRunning}, true)
		time.Sleep(time.Second / 2)
		expect(t, "reported and confirmed", s.count(isReport) == 1 && n.counts(-1, 1))
		n.mu.Lock()
		close(n.changed)
		n.changed = make(chan struct{})
		n.mu.Unlock()
		time.Sleep(10 * time.Second)
		expect(t, "described again", s.count(isUpdate) == 1)
		expect(t, "renewed each second", s.count(isRenew) >= 9 && s.count(isRenew) <= 12)
		expect(t, "one session", s.count(isRegister) == 1)
	})
}

// TestLease: it counts from the sending of the renewal that was confirmed, over
// all sessions, and a registration does not extend it.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer("a")
		n := open(t, known{s})
		lease := n.cfg.Lease
		time.Sleep(30*time.Second + 500*time.Millisecond) // half a second after a renewal
		expect(t, "held", !lease.Over() && silentFor(lease) <= time.Second)
		s.mu.Lock()
		s.deaf = true
		s.mu.Unlock()
		silent := silentFor(lease)
		time.Sleep(2 * time.Second)
		expect(t, "counted from the sending", silentFor(lease) == silent+2*time.Second)
		s.mu.Lock()
		s.cut(errors.New("the server ends"))
		s.mu.Unlock()
		time.Sleep(time.Second)
		expect(t, "a new session", s.count(isRegister) == 2)
		expect(t, "registered, and not confirmed", silentFor(lease) == silent+3*time.Second && lease.Over())
		s.mu.Lock()
		s.deaf = false
		s.mu.Unlock()
		time.Sleep(2 * time.Second)
		expect(t, "held again", !lease.Over())
	})
}

// TestReconnect: a session that breaks comes back, and reports that were not
// confirmed are sent again.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer("a")
		s.deaf = true
		n := open(t, known{s})
		n.reports.Put(&model.AllocUpdate{ID: "x"}, true)
		time.Sleep(time.Second)
		expect(t, "sent once, unconfirmed", s.count(isReport) == 1 && n.counts(-1, 0))
		s.mu.Lock()
		s.deaf = false
		s.cut(errors.New("the server ends"))
		s.mu.Unlock()
		time.Sleep(time.Second)
		expect(t, "a new session", s.count(isRegister) == 2)
		expect(t, "sent again, confirmed", s.count(isReport) == 2 && n.counts(-1, 1))
	})
}

// TestMoves: a server that does not confirm leases is left for another, a lone
// one is not.
func TestMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer("a"), newServer("b")
		a.deaf = true
		a.servers = []string{"a", "b"} // the node learns of b by a
		n := open(t, first{known{a, b}})
		time.Sleep(20 * time.Second)
		expect(t, "with b", n.Server() == "b" && b.count(isRegister) == 1 && a.count(isRegister) == 1)
	})
	synctest.Test(t, func(t *testing.T) {
		a := newServer("a")
		a.deaf = true
		n := open(t, known{a})
		time.Sleep(20 * time.Second)
		expect(t, "still with a", n.Server() == "a" && a.count(isRegister) == 1)
	})
}

// TestStopped: a server whose process stands still is left before the node can be
// taken down (two leases), and one that stands still when a node comes is not waited for.
func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newServer("a"), newServer("b"), newServer("c")
		n := open(t, known{a, b, c})
		time.Sleep(time.Second / 2)
		byName := map[string]*server{"a": a, "b": b, "c": c}
		was := byName[n.Server()]
		for _, s := range []*server{a, b, c} {
			if s != b || s == was { // b is left, or c if it was b
				s.mu.Lock()
				s.deaf, s.stopped = true, true
				s.mu.Unlock()
			}
		}
		left := b
		if was == b {
			c.mu.Lock()
			c.deaf, c.stopped = false, false
			c.mu.Unlock()
			left = c
		}
		time.Sleep(9 * time.Second)
		expect(t, "with the one that runs", n.Server() == left.name)
		expect(t, "the first was left in time", was.count(isRenew) <= 5)
	})
}

// TestSilentRegistration: a server that answers, but not to the registration (it is
// cut off from the leader), is left before the lease of an earlier session costs
// the node its tasks.
func TestSilentRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer("a"), newServer("b")
		var met atomic.Pointer[server]
		a.first, b.first = &met, &met
		n := open(t, known{a, b})
		time.Sleep(RegisterPatience + time.Second)
		expect(t, "met one and is with the other", met.Load() != nil && n.Server() != "" && n.Server() != met.Load().name)
	})
}

// TestPace: renewals come as often as the server says, and a slower pace than two
// a lease is not taken up.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer("a"), newServer("b")
		for _, s := range []*server{a, b} {
			s.every = 1500 * time.Millisecond // half of the lease
		}
		n := open(t, known{a, b})
		time.Sleep(31 * time.Second)
		renewals := a.count(isRenew) + b.count(isRenew)
		expect(t, "renewed each second and a half", renewals >= 20 && renewals <= 22)
		expect(t, "held throughout, by one server", !n.cfg.Lease.Over() && a.count(isRegister)+b.count(isRegister) == 1)
		for _, s := range []*server{a, b} {
			s.mu.Lock()
			s.every = time.Minute
			s.mu.Unlock()
		}
		time.Sleep(30 * time.Second)
		expect(t, "renewed as by default", a.count(isRenew)+b.count(isRenew) >= renewals+28 && !n.cfg.Lease.Over())
	})
}

// first knows only the first server by name, but reaches all.
type first struct{ known }

func (f first) Addrs() []string { return f.known[:1].Addrs() }

// TestRefused: refused registrations are repeated with growing pauses.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer("a")
		s.refuse = model.Errorf(model.CodeDenied, "another node has this id")
		n := open(t, known{s})
		time.Sleep(time.Minute)
		tries := s.count(isRegister)
		expect(t, "some tries, not many", tries >= 10 && tries <= 60)
		s.mu.Lock()
		s.refuse = nil
		s.mu.Unlock()
		time.Sleep(2 * PauseMax)
		expect(t, "registered in the end", n.Server() == "a")
	})
}

// TestNoServers: a node without servers waits for some.
func TestNoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, known{})
		time.Sleep(time.Minute)
		expect(t, "no session", n.Server() == "" && n.counts(0, 0))
	})
}

// silentFor is for how long a lease has not been confirmed.
func silentFor(l *Lease) time.Duration {
	silent, _ := l.State()
	return silent
}

// TestRenewTogether: the next renewal follows the word on the last one, which many
// nodes have at once, unless that word was late.
func TestRenewTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &connection{begun: time.Now(), due: time.NewTimer(time.Hour)}
		for _, x := range []struct{ every, took, next time.Duration }{
			{2 * time.Second, 100 * time.Millisecond, 2100 * time.Millisecond},
			{2 * time.Second, 200 * time.Millisecond, 2 * time.Second},
			{800 * time.Millisecond, 90 * time.Millisecond, 890 * time.Millisecond},
			{800 * time.Millisecond, 110 * time.Millisecond, 800 * time.Millisecond},
		} {
			c.pace(6*time.Second, x.every)
			sent := time.Now()
			c.sent.Store(int64(time.Since(c.begun)))
			c.due.Reset(x.every)
			time.Sleep(x.took)
			c.postpone()
			<-c.due.C
			if next := time.Since(sent); next != x.next {
				t.Errorf("every %v, confirmed after %v: renewed again after %v, want %v", x.every, x.took, next, x.next)
			}
		}
	})
}
