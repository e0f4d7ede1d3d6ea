package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

const (
	// RenewInterval is how long renewals are gathered for one call to the
	// leader. A lease lasts longer by as much as its renewal waits here.
	RenewInterval = 100 * time.Millisecond
	// renewBatch bounds the nodes of one call, about 160 KB.
	renewBatch = 4096
	// renewTimeout bounds such a call; the next one carries on.
	renewTimeout = 3 * time.Second
)

// Config is what a Hub needs. All fields are required.
type Config struct {
	// ServerID names this server in renewals.
	ServerID string
	Store    *state.Store
	// Caller reaches this server's own handlers; calls marked Leader go on to
	// the leader.
	Caller rpc.Caller
	// Servers are the rpc addresses of all live servers, for nodes to fall back on.
	Servers func() []string
	// LeaseTTL is told to nodes.
	LeaseTTL time.Duration
	Logger   *slog.Logger
}

// Hub knows the sessions of this server.
type Hub struct {
	cfg Config
	sub *state.Subscription // made with the hub, so that no session misses a change

	mu       sync.RWMutex
	sessions map[string]*session
	closed   bool
	// receivers are goroutines that end only after their session's handler has
	// returned, so that the hub has to wait for them.
	receivers sync.WaitGroup

	renewMu sync.Mutex
	renewed map[string]*session // leases to extend with the next call
	due     chan struct{}       // signalled when renewed is no longer empty

	reportMu  sync.Mutex
	reporting []*session    // with something to report, oldest first
	reportDue chan struct{} // signalled when reporting is not empty
}

// New makes a hub without sessions.
func New(cfg Config) *Hub {
	_, sub := cfg.Store.Subscribe(state.TableAllocs)
	return &Hub{
		cfg: cfg, sub: sub, sessions: make(map[string]*session), renewed: make(map[string]*session), due: make(chan struct{}, 1),
		reportDue: make(chan struct{}, 1),
	}
}

// Register adds the handler to srv.
func (h *Hub) Register(srv *rpc.Server) { rpc.HandleStream(srv, msg.NodeSession, h.serve) }

// Len is how many nodes are connected.
func (h *Hub) Len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.sessions)
}

// Run distributes changes and gathers renewals and reports until ctx ends; then it ends all
// sessions.
func (h *Hub) Run(ctx context.Context) error {
	defer h.close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.distribute(ctx) })
	g.Go(func() error { return h.renewals(ctx) })
	for range reporters {
		g.Go(func() error { return h.tellReports(ctx) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// close ends all sessions and admits no more.
func (h *Hub) close() {
	h.mu.Lock()
	h.closed = true
	for _, s := range h.sessions {
		s.end(errClosed)
	}
	h.mu.Unlock()
	h.receivers.Wait()
}

var errClosed = model.Errorf(model.CodeUnavailable, "the server is shutting down")

// distribute gives each change of an allocation to its node's session.
func (h *Hub) distribute(ctx context.Context) error {
	for {
		err := h.follow(ctx, h.sub)
		h.sub.Close()
		if !errors.Is(err, state.ErrLagged) {
			return err
		}
		h.cfg.Logger.Warn("assignments lagged behind the state; all connected nodes get full sets")
		_, h.sub = h.cfg.Store.Subscribe(state.TableAllocs)
		h.resync()
	}
}

func (h *Hub) follow(ctx context.Context, sub *state.Subscription) error {
	for {
		changes, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		h.route(changes)
	}
}

// route puts changes into outboxes.
func (h *Hub) route(changes []state.Change) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for i := range changes {
		c := &changes[i]
		before, _ := c.Before.(*model.Allocation)
		after, _ := c.After.(*model.Allocation)
		d, ok := deltaOf(before, after, c.Index)
		if !ok {
			continue
		}
		of := d.alloc
		if of == nil {
			of = before
		}
		if s := h.sessions[of.NodeID]; s != nil {
			s.put(c.Key, d)
		}
	}
}

// resync has every node sent a full set.
func (h *Hub) resync() {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, s := range h.sessions {
		s.wantFull()
	}
}

// delta is what a change means to the node: an allocation as it is now, or nil
// when it is no longer assigned.
type delta struct {
	index uint64
	alloc *model.Allocation
}

// assigned tells whether an allocation belongs to what its node is told.
func assigned(a *model.Allocation) bool {
	return a != nil && !(a.ServerTerminal() && a.ClientTerminal())
}

// DeltaOf tells what a change of an allocation means to its node: the allocation
// as it is now, or nil when it is no longer assigned; false for nothing. Hubs and
// the simulator go by it.
func DeltaOf(before, after *model.Allocation) (*model.Allocation, bool) {
	d, ok := deltaOf(before, after, 0)
	return d.alloc, ok
}

// deltaOf tells what a change means to the node; false for nothing, as with the
// node's own reports.
func deltaOf(before, after *model.Allocation, index uint64) (delta, bool) {
	switch {
	case assigned(after):
		if before != nil && before.AllocModifyIndex == after.AllocModifyIndex {
			return delta{}, false
		}
		return delta{index, after}, true
	case assigned(before):
		return delta{index, nil}, true
	}
	return delta{}, false
}

// join makes s the session of its node. It fails when the hub is closed.
func (h *Hub) join(s *session) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errClosed
	}
	if old := h.sessions[s.id]; old != nil {
		old.end(model.Errorf(model.CodeConflict, "the node opened another session"))
	}
	h.sessions[s.id] = s
	h.receivers.Add(1)
	return nil
}

// leave forgets s, unless another session of the node took its place.
func (h *Hub) leave(s *session) {
	h.mu.Lock()
	if h.sessions[s.id] == s {
		delete(h.sessions, s.id)
	}
	h.mu.Unlock()
	h.renewMu.Lock()
	if h.renewed[s.id] == s {
		delete(h.renewed, s.id)
	}
	h.renewMu.Unlock()
}

// renew has the lease of a session's node extended with the next call.
func (h *Hub) renew(s *session) {
	h.renewMu.Lock()
	h.renewed[s.id] = s
	h.renewMu.Unlock()
	select {
	case h.due <- struct{}{}:
	default:
	}
}

// renewals tells the leader of gathered renewals until ctx ends.
func (h *Hub) renewals(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	for {
		select {
		case <-h.due:
		case <-ctx.Done():
			return ctx.Err()
		}
		h.flushRenewals(ctx)
		pause.Reset(RenewInterval)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *Hub) flushRenewals(ctx context.Context) {
	h.renewMu.Lock()
	batch := h.renewed
	h.renewed = make(map[string]*session, len(batch))
	h.renewMu.Unlock()
	ids := make([]string, 0, min(len(batch), renewBatch))
	for id := range batch {
		if ids = append(ids, id); len(ids) == renewBatch {
			h.sendRenewals(ctx, ids, batch)
			ids = ids[:0]
		}
	}
	if len(ids) > 0 {
		h.sendRenewals(ctx, ids, batch)
	}
}

// sendRenewals tells the leader, acknowledges, and registers again whom it does
// not know. Without a leader the nodes just renew again.
func (h *Hub) sendRenewals(ctx context.Context, ids []string, batch map[string]*session) {
	seqs := make(map[string]uint64, len(ids))
	for _, id := range ids {
		seqs[id] = batch[id].renewSeq.Load()
	}
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	resp, err := msg.NodeRenewAt.Call(ctx, h.cfg.Caller, &msg.NodeRenewRequest{
		Server: h.cfg.ServerID, NodeIDs: append([]string(nil), ids...),
	})
	if err != nil {
		if ctx.Err() == nil {
			h.cfg.Logger.Debug("leases could not be renewed", "nodes", len(ids), "error", err)
		}
		for _, id := range ids {
			h.renewAgain(batch[id])
		}
		return
	}
	for _, id := range resp.Unknown {
		if s := batch[id]; s != nil {
			delete(seqs, id)
			s.registerAgain()
		}
	}
	done := msg.NodeRenewed{TTL: resp.TTL, Every: h.every(cmp.Or(resp.TTL, h.cfg.LeaseTTL))}
	for id, seq := range seqs {
		done.Seq = seq
		batch[id].ackRenewal(done)
	}
}

// every is how often nodes are to renew leases that last for ttl.
func (h *Hub) every(ttl time.Duration) time.Duration { return lease.Interval(ttl, h.Len()) }

// renewAgain keeps a renewal for the next call, unless the session has ended.
func (h *Hub) renewAgain(s *session) {
	h.mu.RLock()
	current := h.sessions[s.id] == s
	h.mu.RUnlock()
	if current {
		h.renew(s)
	}
}
