package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/intern"
)

const (
	// maxOutbox bounds the deltas that wait for a slow node; beyond it one full
	// set is less than they are.
	maxOutbox = 1024
	// maxDelta bounds the allocations of one delta, about a megabyte.
	maxDelta = 256
	// maxReports bounds the allocations that a node reports on and that wait to
	// be committed: more than a node runs.
	maxReports = 16384
	// retryMin and retryMax pace what is told to the leader again.
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
)

// stream is the server's end of a node's stream.
type stream = rpc.Stream[msg.NodeDown, msg.NodeUp]

// session is one connected node. Besides the handler's goroutine, which waits for
// the end, one receives, and one sends while there is something to send.
type session struct {
	hub    *Hub
	id     string // the node's
	stream *stream
	ctx    context.Context
	end    context.CancelCauseFunc
	work   sync.WaitGroup

	renewSeq atomic.Uint64

	mu       sync.Mutex
	over     bool        // the handler waits for work: no more may begin
	node     *model.Node // as last described; replaced, never written
	sending  bool
	deltas   map[string]delta
	full     bool   // a full set is due; deltas are moot
	fullAt   uint64 // index of the latest full set; older deltas are moot
	acks     []msg.NodeDown
	ackRenew *msg.NodeRenewed

	reporting bool // queued, or being told
	reports   map[string]*model.AllocUpdate
	reportSeq uint64

	registering bool
}

// serve answers one node until it leaves.
func (h *Hub) serve(ctx context.Context, st *stream) error {
	first, err := st.Recv()
	if err != nil {
		return err
	}
	if first.Register == nil || first.Register.Node == nil {
		return model.Errorf(model.CodeInvalid, "protocol error: a session begins with the node's registration")
	}
	node := first.Register.Node
	index, err := h.registerNode(ctx, node)
	if err != nil {
		return err
	}
	snap, err := h.cfg.Store.SnapshotAt(ctx, index)
	if err != nil {
		return err
	}
	if now := snap.Node(node.ID); now != nil {
		intern.Like(node, now)
	}
	s := &session{
		hub: h, id: node.ID, stream: st, node: node,
		deltas: make(map[string]delta), reports: make(map[string]*model.AllocUpdate),
	}
	s.ctx, s.end = context.WithCancelCause(ctx)
	defer s.finish()
	s.acks = append(s.acks, msg.NodeDown{Registered: &msg.NodeRegistered{
		Index: index, LeaseTTL: h.cfg.LeaseTTL, Servers: h.cfg.Servers(), Every: h.every(h.cfg.LeaseTTL),
	}})
	if err := h.join(s); err != nil {
		return err
	}
	defer h.leave(s)
	h.renew(s)
	s.wantFull()
	return s.receive()
}

// registerNode tells the leader what a node says of itself.
func (h *Hub) registerNode(ctx context.Context, node *model.Node) (uint64, error) {
	resp, err := msg.NodeRegisterAt.Call(ctx, h.cfg.Caller, &msg.NodeRegisterRequest{Node: node})
	if err != nil {
		return 0, err
	}
	return resp.Index, nil
}

// begin runs work beside the handler, which waits for it; false when the session
// is over. s.mu is held.
func (s *session) begin(work func()) bool {
	if s.over || s.ctx.Err() != nil {
		return false
	}
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		work()
	}()
	return true
}

// finish ends the session and waits for its work.
func (s *session) finish() {
	s.end(nil)
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.work.Wait()
}

// receive has the node's messages handled until its stream ends or the session
// does, and returns why.
func (s *session) receive() error {
	// Recv is sure to end only when the handler has returned, and the session may
	// end before; so the hub waits for this one.
	go func() {
		defer s.hub.receivers.Done()
		for s.ctx.Err() == nil {
			up, err := s.stream.Recv()
			if err == nil && s.ctx.Err() == nil {
				err = s.handle(up)
			}
			if err != nil {
				s.end(err)
			}
		}
	}()
	<-s.ctx.Done()
	return context.Cause(s.ctx)
}

func (s *session) handle(up *msg.NodeUp) error {
	switch {
	case up.Renew != nil:
		s.renewSeq.Store(up.Renew.Seq)
		s.hub.renew(s)
	case up.Report != nil:
		return s.report(up.Report)
	case up.Update != nil:
		if up.Update.ID != s.id {
			return model.Errorf(model.CodeInvalid, "protocol error: the node changed its id")
		}
		intern.Node(up.Update)
		s.mu.Lock()
		s.node = up.Update
		s.mu.Unlock()
		s.registerAgain()
	default:
		return model.Errorf(model.CodeInvalid, "protocol error: empty message, or a second registration")
	}
	return nil
}

// put adds a delta to the outbox.
func (s *session) put(id string, d delta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full || d.index <= s.fullAt {
		return
	}
	s.deltas[id] = d
	if len(s.deltas) > maxOutbox {
		clear(s.deltas)
		s.full = true
	}
	s.kick()
}

// wantFull has a full set sent.
func (s *session) wantFull() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = true
	clear(s.deltas)
	s.kick()
}

func (s *session) ackRenewal(done msg.NodeRenewed) {
	if done.Seq == 0 {
		return // the renewal that registration is
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ackRenew = &done
	s.kick()
}

func (s *session) ack(down msg.NodeDown) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acks = append(s.acks, down)
	s.kick()
}

// kick starts sending; s.mu is held.
func (s *session) kick() {
	if !s.sending {
		s.sending = s.begin(s.send)
	}
}

// send sends until the outbox is empty.
func (s *session) send() {
	for {
		messages := s.take()
		if messages == nil {
			return
		}
		for i := range messages {
			if err := s.stream.Send(&messages[i]); err != nil {
				s.end(err)
				return
			}
		}
	}
}

// take empties the outbox; nil when there was nothing, and sending is over then.
func (s *session) take() []msg.NodeDown {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.acks
	s.acks = nil
	if s.ackRenew != nil {
		out = append(out, msg.NodeDown{Renewed: s.ackRenew})
		s.ackRenew = nil
	}
	if s.full {
		s.full = false
		snap := s.hub.cfg.Store.Snapshot()
		s.fullAt = snap.Index()
		out = append(out, msg.NodeDown{Assign: FullSet(snap, s.id)})
	} else if len(s.deltas) > 0 {
		out = append(out, s.takeDeltas()...)
	}
	if len(out) == 0 {
		s.sending = false
		return nil
	}
	return out
}

// FullSet is everything assigned to a node.
func FullSet(snap *state.Snapshot, node string) *msg.NodeAssign {
	set := &msg.NodeAssign{Index: snap.Index(), Full: true}
	for a := range snap.AllocsByNode(node) {
		if assigned(a) {
			set.Allocs = append(set.Allocs, &msg.AssignedAlloc{Alloc: a, Job: a.Job})
		}
	}
	return set
}

// takeDeltas empties the outbox into messages of bounded size; s.mu is held.
func (s *session) takeDeltas() []msg.NodeDown {
	var out []msg.NodeDown
	set := &msg.NodeAssign{}
	for id, d := range s.deltas {
		if d.index <= s.fullAt {
			continue
		}
		set.Index = max(set.Index, d.index)
		if d.alloc == nil {
			set.Removed = append(set.Removed, id)
		} else {
			set.Allocs = append(set.Allocs, &msg.AssignedAlloc{Alloc: d.alloc, Job: d.alloc.Job})
		}
		if len(set.Allocs)+len(set.Removed) == maxDelta {
			out = append(out, msg.NodeDown{Assign: set})
			set = &msg.NodeAssign{}
		}
	}
	clear(s.deltas)
	if len(set.Allocs)+len(set.Removed) > 0 {
		out = append(out, msg.NodeDown{Assign: set})
	}
	return out
}
