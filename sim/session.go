package sim

import (
	"context"
	"github.com/steppe-project/steppe/sim/engine"
	"maps"
	"slices"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/liveness"
	srvsession "github.com/steppe-project/steppe/agent/server/session"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

const (
	leaseTTL      = liveness.DefaultTTL
	renewInterval = srvsession.RenewInterval
	// noticeMin and noticeMax are how long an end of a broken connection takes to
	// notice that nothing comes any more.
	noticeMin = 2 * time.Second
	noticeMax = 12 * time.Second
	// retryPause paces what is told to the leader again.
	retryPause = 100 * time.Millisecond
	// maxOutbox is small, so that slow nodes are resynchronised.
	maxOutbox = 8
)

// session is one connection of a node with a server: both ends, and the server's
// part of production's session protocol.
type session struct {
	w      *world
	s      *server
	n      *node
	srv    *engine.Life // of the server's process
	cli    *engine.Life // of the agent's
	lastUp time.Time
	lastDn time.Time
	deafUp bool // a message from the node was lost: nothing after it arrives
	deafDn bool

	// the server's end
	closed     bool
	registered bool
	node       *model.Node
	deltas     map[string]*model.Allocation
	full       bool
	sending    bool
	renewSeq   uint64
	reports    map[string]*model.AllocUpdate
	reportSeq  uint64
	reporting  bool
	enrolling  bool // the node is being registered again

	// the node's end
	hungUp    bool
	confirmed time.Time
	welcome   bool // it was registered
}

// dial opens a session of a node.
func (w *world) dial(n *node, s *server) *session {
	ss := &session{
		w: w, s: s, n: n, srv: s.life, cli: n.life, confirmed: w.Now,
		deltas: map[string]*model.Allocation{}, reports: map[string]*model.AllocUpdate{},
	}
	s.dialed = append(s.dialed, ss)
	return ss
}

// up carries a message of the node, in order.
func (ss *session) up(handle func()) {
	w := ss.w
	at := w.Now.Add(w.Delay())
	if !at.After(ss.lastUp) {
		at = ss.lastUp.Add(time.Microsecond)
	}
	ss.lastUp = at
	w.At(at, func() {
		if ss.deafUp || ss.closed {
			return
		}
		if !w.Hears(ss.n.name, ss.s.name) {
			ss.deafUp = true
			ss.breakLater()
			return
		}
		ss.srv.Run(func() {
			if !ss.closed {
				handle()
			}
		})
	})
}

// down carries a message of the server, in order.
func (ss *session) down(handle func()) {
	w := ss.w
	at := w.Now.Add(w.Delay() + ss.n.slow)
	if !at.After(ss.lastDn) {
		at = ss.lastDn.Add(time.Microsecond)
	}
	ss.lastDn = at
	w.At(at, func() {
		if ss.deafDn || ss.hungUp {
			return
		}
		if !w.Hears(ss.s.name, ss.n.name) {
			ss.deafDn = true
			ss.breakLater()
			return
		}
		ss.cli.Run(func() {
			if !ss.hungUp {
				handle()
			}
		})
	})
}

// breakLater lets both ends notice, each in its own time, that it is over.
func (ss *session) breakLater() {
	ss.w.After(ss.w.Between(noticeMin, noticeMax), func() { ss.srv.Run(ss.close) })
	ss.w.After(ss.w.Between(noticeMin, noticeMax), func() { ss.cli.Run(ss.hangUp) })
}

// close ends the server's end; the node hears of it if it can.
func (ss *session) close() {
	if ss.closed {
		return
	}
	ss.closed = true
	ss.s.dialed = slices.DeleteFunc(ss.s.dialed, func(o *session) bool { return o == ss })
	if ss.s.sessions[ss.n.id] == ss {
		delete(ss.s.sessions, ss.n.id)
	}
	delete(ss.s.renewing, ss.n.id)
	if ss.w.Hears(ss.s.name, ss.n.name) {
		ss.w.After(ss.w.Delay(), func() { ss.cli.Run(ss.hangUp) })
	} else {
		ss.breakLater()
	}
}

// hangUp ends the node's end; the server hears of it if it can.
func (ss *session) hangUp() {
	if ss.hungUp {
		return
	}
	ss.hungUp = true
	if ss.n.session == ss {
		ss.n.session = nil
		ss.n.disconnected(ss)
	}
	if ss.closed {
		return
	}
	if ss.w.Hears(ss.n.name, ss.s.name) {
		ss.w.After(ss.w.Delay(), func() { ss.srv.Run(ss.close) })
	} else {
		ss.breakLater()
	}
}

// register is the node's first message.
func (ss *session) register(node *model.Node) {
	ss.up(func() {
		ss.node = node
		ss.enroll(func() {
			if old := ss.s.sessions[ss.n.id]; old != nil && old != ss {
				old.close()
			}
			ss.s.sessions[ss.n.id] = ss
			ss.registered = true
			ss.down(func() { ss.n.welcomed(ss) })
			ss.s.renewing[ss.n.id] = ss
			ss.wantFull()
		})
	})
}

// enroll registers the node with the leader until that succeeds, and calls then
// when this server has the result.
func (ss *session) enroll(then func()) {
	if ss.enrolling {
		return
	}
	ss.enrolling = true
	var try func()
	try = func() {
		if ss.closed {
			return
		}
		node := ss.node
		var index uint64
		ss.s.ask(func(ctx context.Context, at *server) error {
			r, err := msg.NodeRegisterAt.Call(ctx, at.rpc.Caller(), &msg.NodeRegisterRequest{Node: node})
			if err == nil {
				index = r.Index
			}
			return err
		}, func(err error) {
			switch {
			case ss.closed:
			case err == nil && ss.node == node:
				ss.s.whenApplied(index, func() { ss.enrolling = false; then() })
			case err == nil, repeatable(err):
				ss.srv.After(retryPause, try)
			default:
				ss.close()
			}
		})
	}
	try()
}

// repeatable tells whether an error says only that the cluster is not able now.
func repeatable(err error) bool {
	c := model.CodeOf(err)
	return c == model.CodeUnavailable || c == model.CodeNotLeader
}

// whenApplied calls f when this server has applied the entry.
func (s *server) whenApplied(index uint64, f func()) {
	if s.applied >= index {
		f()
		return
	}
	s.life.After(5*time.Millisecond, func() { s.whenApplied(index, f) })
}

// distribute gives changes of allocations to the sessions of their nodes.
func (s *server) distribute() {
	changes, err := s.feed.Poll()
	if err != nil {
		s.feed.Close()
		_, s.feed = s.store.Subscribe(state.TableAllocs)
		for _, ss := range s.sortedSessions() {
			ss.wantFull()
		}
		return
	}
	for i := range changes {
		before, _ := changes[i].Before.(*model.Allocation)
		after, _ := changes[i].After.(*model.Allocation)
		a, ok := srvsession.DeltaOf(before, after)
		if !ok {
			continue
		}
		of := a
		if of == nil {
			of = before
		}
		if ss := s.sessions[of.NodeID]; ss != nil && !ss.full {
			ss.deltas[changes[i].Key] = a
			if len(ss.deltas) > maxOutbox {
				ss.wantFull()
			} else {
				ss.kick()
			}
		}
	}
}

func (s *server) sortedSessions() []*session {
	var out []*session
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		out = append(out, s.sessions[id])
	}
	return out
}

func (ss *session) wantFull() {
	ss.full = true
	clear(ss.deltas)
	ss.kick()
}

// kick sends what is in the outbox, soon.
func (ss *session) kick() {
	if ss.sending || ss.closed {
		return
	}
	ss.sending = true
	ss.srv.After(ss.w.Between(0, time.Millisecond), func() {
		ss.sending = false
		if ss.closed {
			return
		}
		set := &msg.NodeAssign{}
		if ss.full {
			ss.full = false
			set = srvsession.FullSet(ss.s.store.Snapshot(), ss.n.id)
		} else {
			for _, id := range slices.Sorted(maps.Keys(ss.deltas)) {
				if a := ss.deltas[id]; a != nil {
					set.Allocs = append(set.Allocs, &msg.AssignedAlloc{Alloc: a, Job: a.Job})
				} else {
					set.Removed = append(set.Removed, id)
				}
			}
			clear(ss.deltas)
		}
		ss.down(func() { ss.n.assign(ss, set) })
	})
}

// renew is the node's renewal.
func (ss *session) renew(seq uint64) {
	ss.up(func() {
		if ss.registered {
			ss.renewSeq = seq
			ss.s.renewing[ss.n.id] = ss
		}
	})
}

// sendRenewals tells the leader of gathered renewals, again and again.
func (s *server) sendRenewals() {
	s.life.After(renewInterval, s.sendRenewals)
	if len(s.renewing) == 0 {
		return
	}
	batch := s.renewing
	s.renewing = map[string]*session{}
	ids := slices.Sorted(maps.Keys(batch))
	seqs := map[string]uint64{}
	for id, ss := range batch {
		seqs[id] = ss.renewSeq
	}
	var unknown []string
	s.ask(func(ctx context.Context, at *server) error {
		r, err := msg.NodeRenewAt.Call(ctx, at.rpc.Caller(), &msg.NodeRenewRequest{Server: s.name, NodeIDs: ids})
		if err == nil {
			unknown = r.Unknown
		}
		return err
	}, func(err error) {
		for _, id := range ids {
			ss := batch[id]
			switch {
			case ss.closed:
			case err != nil:
				if s.renewing[id] == nil {
					s.renewing[id] = ss
				}
			case slices.Contains(unknown, id):
				ss.enroll(func() { s.renewing[id] = ss; ss.wantFull() })
			case seqs[id] > 0:
				seq := seqs[id]
				ss.down(func() { ss.n.renewed(ss, seq) })
			}
		}
	})
}

// report takes in a node's statuses.
func (ss *session) report(seq uint64, updates []*model.AllocUpdate) {
	ss.up(func() {
		for _, u := range updates {
			ss.reports[u.ID] = u
		}
		ss.reportSeq = max(ss.reportSeq, seq)
		if !ss.reporting {
			ss.reporting = true
			ss.tell()
		}
	})
}

// tell reports to the leader until nothing is left to report.
func (ss *session) tell() {
	if len(ss.reports) == 0 {
		ss.reporting = false
		return
	}
	var updates []*model.AllocUpdate
	for _, id := range slices.Sorted(maps.Keys(ss.reports)) {
		updates = append(updates, ss.reports[id])
	}
	clear(ss.reports)
	seq := ss.reportSeq
	var try func()
	try = func() {
		ss.s.ask(func(ctx context.Context, at *server) error {
			_, err := msg.NodeUpdateAllocs.Call(ctx, at.rpc.Caller(), &msg.NodeUpdateAllocsRequest{
				NodeID: ss.n.id, SecretID: ss.node.SecretID, Updates: updates,
			})
			return err
		}, func(err error) {
			switch {
			case ss.closed:
			case err == nil:
				ss.down(func() { ss.n.acked(seq) })
				ss.tell()
			case repeatable(err):
				ss.srv.After(retryPause, try)
			default:
				ss.close()
			}
		})
	}
	try()
}
