// Package session keeps a node in touch with the servers: one stream to one of
// them, for registration, lease, assignments and reports, and one tunnel beside
// it by which servers reach the node's own handlers.
//
//	Register ─▶ Registered ─▶ { Assign, Renewed, Reported }*
//	                          { Renew, Report, Update }*
//
// Contract and invariants:
//
//   - Losing the servers changes nothing on the node. A session that breaks is
//     opened again, with the next server; after a round of all there is a pause
//     that grows (Rota)
//     and has some chance in it.
//   - In a new session every unconfirmed report is sent again; the servers answer
//     with the full assignment.
//   - A server that does not confirm the lease for its whole duration is left for
//     another one, if there is another.
//   - The node's lease counts from when the newest confirmed renewal was sent
//     (package lease); a registration does not extend it.
//   - A changed description of the node is sent as soon as it changes.
//
// Example:
//
//	s := session.New(session.Config{Servers: servers, Node: board.Node, Apply: set.Apply, ...})
//	err := s.Run(ctx)
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steppe-project/steppe/agent/client/report"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

const (
	// PauseMin and PauseMax pace attempts to open a session. The longest, with its
	// jitter, is shorter than a lease: when servers come back after an hour, every
	// node must be with them before they miss it.
	PauseMin = 20 * time.Millisecond
	PauseMax = 1200 * time.Millisecond
	// distrust is how long a server that was left is not tried again while there
	// are others.
	distrust = 10 * time.Second
	// RegisterTimeout bounds the wait for a registration: an election may be on. It
	// is shorter where another server may have a way to the leader.
	RegisterTimeout  = 15 * time.Second
	RegisterPatience = 3 * time.Second
	// A server that has said nothing for Silence after a renewal was due is asked
	// whether it still runs, and has ProbeTimeout to answer, Strikes times: one that
	// is stopped, or cut off, is left before the node can be taken down. One that is only busy, because
	// a thousand nodes came at once, must not be left by all of them. Nodes that renew
	// rarely, because they are many, wait longer: half of the time between renewals.
	Silence       = 700 * time.Millisecond
	ProbeTimeout  = time.Second
	ProbeInterval = 500 * time.Millisecond
	Strikes       = 2
	// together bounds by how much a renewal is put off to come with others of its
	// server, and waitShare does as the share of an interval.
	together  = 150 * time.Millisecond
	waitShare = 8
	// tunnelPause paces reopening of the tunnel within a session.
	tunnelPause = 500 * time.Millisecond
)

// Servers are those that a node may talk to.
type Servers interface {
	// Addrs are the known servers, none while none are known.
	Addrs() []string
	// At reaches one of them.
	At(addr string) rpc.Caller
}

// Config is what a Session connects.
type Config struct {
	Servers Servers
	// Node describes the node, with its secret; changed closes when that is
	// superseded.
	Node func() (node *model.Node, changed <-chan struct{})
	// Reports are the statuses to tell.
	Reports *report.Queue
	// Apply takes assignments in, Confirmed the statuses that are committed.
	Apply     func(context.Context, *msg.NodeAssign) error
	Confirmed func([]*model.AllocUpdate)
	// Handlers answer what servers ask through the tunnel; nil = no tunnel.
	Handlers *rpc.Server
	// Lease is the node's; nil for one of the session's own.
	Lease *Lease
	// Registered is called, if set, whenever a session stands.
	Registered func()
	Logger     *slog.Logger
}

// Session keeps one session open.
type Session struct {
	cfg Config

	mu      sync.Mutex
	learned []string // servers that the last one named
	server  string   // of the session that stands, "" = none
}

// New makes a Session; Run opens it.
func New(cfg Config) *Session {
	if cfg.Lease == nil {
		cfg.Lease = NewLease(time.Time{}, 0, time.Now, nil)
	}
	return &Session{cfg: cfg}
}

// Server is the server of the standing session, "" while there is none.
func (s *Session) Server() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// Servers are all servers that the node knows of.
func (s *Session) Servers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.cfg.Servers.Addrs())
	for _, addr := range s.learned {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

// Run keeps a session open until ctx ends.
func (s *Session) Run(ctx context.Context) error {
	var rota Rota
	for ctx.Err() == nil {
		addr := rota.Next(time.Now(), s.cfg.Servers.Addrs(), s.Servers(), rand.IntN)
		if addr == "" {
			rest(ctx, PauseMin+jitter(PauseMin))
			continue
		}
		stood, err := s.once(ctx, addr)
		if ctx.Err() != nil {
			return nil
		}
		pause := rota.Ended(time.Now(), addr, stood, s.Servers())
		s.cfg.Logger.Warn("session with server ended", "server", addr, "error", err, "again_in", pause)
		rest(ctx, pause+jitter(pause))
	}
	return nil
}

func jitter(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d)/2 + 1)) }

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// once is one session. stood tells whether it was registered.
func (s *Session) once(ctx context.Context, addr string) (stood bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	caller := s.cfg.Servers.At(addr)
	stream, err := msg.NodeSession.Open(ctx, caller)
	if err != nil {
		return false, err
	}
	defer stream.Close()
	c := &connection{s: s, stream: stream, confirmed: time.Now(), begun: time.Now(), due: time.NewTimer(time.Hour)}
	defer c.due.Stop()
	c.pace(lease.TTL, 0)
	var wg sync.WaitGroup
	defer wg.Wait()
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	run(func(ctx context.Context) error { return c.probe(ctx, caller) })
	node, changed := s.cfg.Node()
	registered, err := c.register(ctx, cancel, node)
	if err != nil {
		err = cause(ctx, err)
		cancel(nil)
		return false, err
	}
	ttl := cmp.Or(registered.LeaseTTL, lease.TTL)
	s.cfg.Lease.begin(ttl)
	c.pace(ttl, registered.Every)
	s.stand(addr, registered.Servers)
	defer s.stand("", nil)
	s.cfg.Reports.Reset()
	run(c.receive)
	run(c.renew)
	run(c.report)
	run(func(ctx context.Context) error { return c.describe(ctx, changed) })
	if s.cfg.Handlers != nil {
		run(func(ctx context.Context) error { return s.tunnel(ctx, caller, node) })
	}
	<-ctx.Done()
	stream.Close()
	return true, context.Cause(ctx)
}

// stand notes which server the session is with.
func (s *Session) stand(addr string, servers []string) {
	s.mu.Lock()
	s.server = addr
	if len(servers) > 0 {
		s.learned = servers
	}
	s.mu.Unlock()
	if addr != "" && s.cfg.Registered != nil {
		s.cfg.Registered()
	}
}

// cause is the reason of ctx's end, if it has ended for one, or err.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && !errors.Is(why, context.Canceled) {
		return why
	}
	return err
}

// tunnel keeps the tunnel open as long as the session.
func (s *Session) tunnel(ctx context.Context, caller rpc.Caller, node *model.Node) error {
	for ctx.Err() == nil {
		err := rpc.ServeTunnel(ctx, caller, rpc.NodeHello{NodeID: node.ID, Secret: node.SecretID}, s.cfg.Handlers)
		if ctx.Err() != nil {
			return nil
		}
		s.cfg.Logger.Debug("tunnel ended", "error", err)
		rest(ctx, tunnelPause)
	}
	return nil
}

// connection is the stream of one session.
type connection struct {
	s      *Session
	stream *rpc.Stream[msg.NodeUp, msg.NodeDown]
	sendMu sync.Mutex
	ttl    atomic.Int64 // of a lease, nanoseconds
	every  atomic.Int64 // between two renewals, nanoseconds
	due    *time.Timer  // of the next renewal
	sent   atomic.Int64 // when the newest renewal went out, nanoseconds since begun
	begun  time.Time

	mu        sync.Mutex
	confirmed time.Time // last word of the server on the lease, to judge the server by
}

func (c *connection) send(m *msg.NodeUp) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	return c.stream.Send(m)
}

// register sends the first message and waits for its answer.
func (c *connection) register(ctx context.Context, cancel context.CancelCauseFunc, node *model.Node) (*msg.NodeRegistered, error) {
	limit := RegisterTimeout
	if len(c.s.Servers()) > 1 {
		limit = RegisterPatience
	}
	timer := time.AfterFunc(limit, func() {
		cancel(model.Errorf(model.CodeUnavailable, "no answer to the registration within %v", limit))
	})
	defer timer.Stop()
	if err := c.send(&msg.NodeUp{Register: &msg.NodeRegister{Node: node}}); err != nil {
		if _, why := c.stream.Recv(); why != nil {
			err = why // of the server, better than "the stream has ended"
		}
		return nil, err
	}
	m, err := c.stream.Recv()
	if err != nil {
		return nil, err
	}
	if m.Registered == nil {
		return nil, errors.New("protocol error: the first message is not the answer to the registration")
	}
	c.confirm()
	return m.Registered, ctx.Err()
}

// receive handles what the server sends.
func (c *connection) receive(ctx context.Context) error {
	for {
		m, err := c.stream.Recv()
		if err != nil {
			return fmt.Errorf("the server ended the session: %w", err)
		}
		switch {
		case m.Assign != nil:
			if err := c.s.cfg.Apply(ctx, m.Assign); err != nil {
				return err
			}
		case m.Renewed != nil:
			c.confirm()
			c.s.cfg.Lease.confirmed(m.Renewed.Seq, m.Renewed.TTL)
			if m.Renewed.Every > 0 {
				c.pace(cmp.Or(m.Renewed.TTL, time.Duration(c.ttl.Load())), m.Renewed.Every)
			}
			c.postpone()
		case m.Reported != nil:
			c.s.cfg.Confirmed(c.s.cfg.Reports.Acked(m.Reported.Seq))
		case m.Registered != nil: // registered anew by its server
			c.confirm()
		}
	}
}

// pace takes up how often to renew a lease of ttl.
func (c *connection) pace(ttl, every time.Duration) {
	if every <= 0 || every > ttl/2 {
		every = lease.Interval(ttl, 0)
	}
	c.ttl.Store(int64(ttl))
	c.every.Store(int64(every))
}

func (c *connection) confirm() {
	c.mu.Lock()
	c.confirmed = time.Now()
	c.mu.Unlock()
}

func (c *connection) sinceConfirmed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.confirmed)
}

// probe asks a silent server whether it still runs, and gives up one that does
// not answer, if there are others.
func (c *connection) probe(ctx context.Context, caller rpc.Caller) error {
	for missed := 0; ctx.Err() == nil; {
		every := time.Duration(c.every.Load())
		wait := every + max(Silence, every/2) - c.sinceConfirmed()
		if wait <= 0 && len(c.s.Servers()) < 2 {
			wait = ProbeInterval
		}
		if wait > 0 {
			missed = 0
			rest(ctx, wait)
			continue
		}
		next := time.Now().Add(ProbeInterval)
		asked, cancel := context.WithTimeout(ctx, max(ProbeTimeout, every/2))
		_, err := rpc.Ping.Call(asked, caller, &rpc.Nothing{})
		cancel()
		if err == nil || ctx.Err() != nil {
			missed = 0
		} else if missed++; missed == Strikes {
			return model.Errorf(model.CodeUnavailable, "the server does not answer any more: %w", err)
		}
		rest(ctx, time.Until(next))
	}
	return nil
}

// renew extends the lease, and gives up a server that cannot. The first renewal
// goes out at once: registration extends no lease.
func (c *connection) renew(ctx context.Context) error {
	for seq := uint64(1); ; seq++ {
		c.sent.Store(int64(time.Since(c.begun)))
		c.due.Reset(time.Duration(c.every.Load()))
		c.s.cfg.Lease.sent(seq) // before it is: the lease counts from here
		if err := c.send(&msg.NodeUp{Renew: &msg.NodeRenew{Seq: seq}}); err != nil {
			return err
		}
		select {
		case <-c.due.C:
		case <-ctx.Done():
			return nil
		}
		every := time.Duration(c.every.Load())
		if silent := c.sinceConfirmed(); silent > time.Duration(c.ttl.Load())+every && len(c.s.Servers()) > 1 {
			return model.Errorf(model.CodeUnavailable, "the server has not confirmed the lease for %v", silent.Round(time.Millisecond))
		}
	}
}

// postpone puts off the next renewal until an interval after the word on the last one,
// if that came at once. A server confirms many leases together, so their nodes renew
// together from then on: most of what a renewal costs a server is being woken for
// it. A late word, as after an election, does not count, or all would come together.
func (c *connection) postpone() {
	every := time.Duration(c.every.Load())
	took := time.Since(c.begun) - time.Duration(c.sent.Load())
	if took < min(together, every/waitShare) {
		c.due.Reset(every)
	}
}

// report sends statuses as they come.
func (c *connection) report(ctx context.Context) error {
	for {
		seq, updates, err := c.s.cfg.Reports.Next(ctx)
		if err != nil {
			return nil // the session ends
		}
		if len(updates) == 0 {
			continue
		}
		if err := c.send(&msg.NodeUp{Report: &msg.NodeReport{Seq: seq, Updates: updates}}); err != nil {
			return err
		}
	}
}

// describe sends the node's description whenever it changes.
func (c *connection) describe(ctx context.Context, changed <-chan struct{}) error {
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
		var node *model.Node
		node, changed = c.s.cfg.Node()
		if err := c.send(&msg.NodeUp{Update: node}); err != nil {
			return err
		}
	}
}
