package sim

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/server/admit"
	"github.com/steppe-project/steppe/agent/server/liveness"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// server is one server. Its log is the ledger's; state, handlers and what it
// leads with are its own, and end with its process.
type server struct {
	w    *world
	name string
	life *life // nil while it is down

	store       *state.Store
	machine     *fsm.FSM
	applied     uint64
	appliedTime int64
	stored      []byte // a snapshot on its disk
	storedAt    uint64
	storedTime  int64
	time        *consensus.Clock

	skew   time.Duration // its clock is off by
	drift  float64       // and runs faster by, since
	since  time.Time
	gained time.Duration

	term     uint64 // in which it believes to lead; 0 = it does not
	contact  time.Time
	stamped  int64
	pending  []*proposal
	diskFull bool

	rpc      *rpc.Server
	desk     *liveness.Desk
	lead     *lead
	sessions map[string]*session
	feed     *state.Subscription
	renewing map[string]*session
}

func (s *server) running() bool { return s.life != nil && !s.life.paused }

// ticks is the machine's clock that nobody sets; it may run too fast.
func (s *server) ticks() time.Time {
	return s.w.now.Add(s.gained + time.Duration(s.drift*float64(s.w.now.Sub(s.since))))
}

// setDrift has the clock run faster by a share from now on.
func (s *server) setDrift(d float64) {
	s.gained += time.Duration(s.drift * float64(s.w.now.Sub(s.since)))
	s.since, s.drift = s.w.now, d
}

// wall is the machine's clock, which may be set wrong.
func (s *server) wall() time.Time { return s.ticks().Add(s.skew) }

// clock is the cluster's time as this server tells it.
func (s *server) clock() time.Time { return s.time.Now() }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// start starts the process: from the snapshot on its disk, and the log after it.
func (s *server) start() {
	w := s.w
	s.life = w.newLife()
	s.store = state.New()
	s.machine = fsm.New(s.store)
	s.time = &consensus.Clock{Wall: s.wall, Elapsed: func() time.Duration { return s.ticks().Sub(epoch) }, Newest: func() int64 { return s.appliedTime }}
	s.appliedTime = 0
	s.applied = s.store.Snapshot().Index()
	if s.stored != nil {
		if err := s.machine.Restore(bytes.NewReader(s.stored)); err != nil {
			w.fail("%s cannot restore its own snapshot: %v", s.name, err)
			return
		}
		s.applied, s.appliedTime = s.storedAt, s.storedTime
	}
	s.sessions, s.renewing = map[string]*session{}, map[string]*session{}
	_, s.feed = s.store.Subscribe(state.TableAllocs)
	s.rpc = rpc.NewServer(rpc.Config{Logger: quiet})
	admit.New(admit.Config{
		Store: s.store, Proposer: proposer{s}, Region: model.DefaultRegion, Now: s.clock, NewID: w.id,
	}).Register(s.rpc)
	s.desk = liveness.NewDesk(liveness.New(leaseTTL, gossip{w}), s.store, proposer{s}, s.ticks)
	s.desk.Register(s.rpc)
	s.life.after(w.between(0, renewInterval), s.sendRenewals)
	w.trace("%s starts at index %d", s.name, s.applied)
}

// crash ends the process. What was not synced is lost; what was committed is on
// a majority's disks, and comes back from there.
func (s *server) crash() {
	s.w.trace("%s crashes", s.name)
	s.abdicate()
	s.life.end()
	s.life = nil
	for _, ss := range s.sortedSessions() {
		ss.hangUp()
	}
	for _, n := range s.w.nodes { // those that have not been registered yet
		if n.session != nil && n.session.s == s {
			n.session.hangUp()
		}
	}
	s.store, s.machine, s.rpc, s.desk, s.sessions = nil, nil, nil, nil, nil
	s.pending, s.diskFull = nil, false
}

// snapshot keeps the state on disk, as Raft does now and then.
func (s *server) snapshot() {
	var b bytes.Buffer
	if _, err := s.machine.Snapshot().WriteTo(&b); err != nil {
		s.w.fail("%s cannot write a snapshot: %v", s.name, err)
		return
	}
	s.stored, s.storedAt, s.storedTime = b.Bytes(), s.applied, s.appliedTime
}

// install replaces the state by another server's.
func (s *server) install(from *server) {
	s.w.trace("%s gets a snapshot of %s at %d", s.name, from.name, from.applied)
	var b bytes.Buffer
	if _, err := from.machine.Snapshot().WriteTo(&b); err != nil {
		s.w.fail("%s cannot write a snapshot: %v", from.name, err)
		return
	}
	if err := s.machine.Restore(&b); err != nil {
		s.w.fail("%s cannot restore the snapshot of %s: %v", s.name, from.name, err)
		return
	}
	s.applied, s.appliedTime = from.applied, from.appliedTime
	s.w.checks.applied(s)
	s.changed()
}

// apply applies the next entry.
func (s *server) apply(index uint64) []fsm.Outcome {
	l := s.w.ledger
	if index != s.applied+1 {
		s.w.fail("%s applies %d after %d", s.name, index, s.applied)
		return nil
	}
	raw := l.entries[index-l.first]
	e, err := fsm.DecodeEntry(index, raw.term, raw.data)
	if err != nil {
		s.w.fail("entry %d: %v", index, err)
		return nil
	}
	outcomes := s.machine.Apply(e)
	s.applied, s.appliedTime = index, e.Time
	s.w.checks.applied(s)
	s.changed()
	return outcomes
}

// changed lets sessions and components know of new state.
func (s *server) changed() {
	s.life.after(0, s.distribute)
	if s.lead != nil {
		s.lead.poke()
	}
}

// elected begins a term; the server leads when it has applied all there is.
func (s *server) elected(term uint64) {
	s.term, s.contact = term, s.w.now
	s.life.after(s.w.between(time.Millisecond, 20*time.Millisecond), func() {
		if s.term == term && s.lead == nil {
			s.lead = newLead(s)
		}
	})
}

// depose ends what this server leads with.
func (s *server) depose(why string) {
	s.w.trace("%s no longer leads: %s", s.name, why)
	s.abdicate()
	pending := s.pending
	s.pending = nil
	for _, p := range pending {
		s.unknown(p)
	}
}

func (s *server) abdicate() {
	s.term = 0
	if s.lead != nil {
		s.lead.end()
		s.lead = nil
	}
}

// unknown tells a proposer that nobody knows.
func (s *server) unknown(p *proposal) {
	if s.life != nil {
		s.life.after(0, func() { p.done(proposed{err: errUnknown}) })
	}
}

// ask has the leader handle something for this server: it is forwarded as
// production forwards, and done learns the end of it in this server's life.
func (s *server) ask(handle func(ctx context.Context, at *server) error, done func(error)) {
	w, mine := s.w, s.life
	to := w.ledger.leader
	if to == nil {
		mine.after(w.delay(), func() { done(errNoLeader) })
		return
	}
	w.call(s.name, to.name, func(reply func(error)) {
		if to.life == nil {
			return // refused connections look like silence here
		}
		to.life.run(func() {
			if to.lead == nil {
				reply(model.Errorf(model.CodeNotLeader, "this server does not lead"))
				return
			}
			to.life.spawn(func(ctx context.Context) {
				err := handle(ctx, to)
				if ctx.Value(strandKey{}).(*strand).over {
					return
				}
				reply(err)
			})
		})
	}, func(err error) { mine.run(func() { done(err) }) })
}

var errNoLeader = model.Errorf(model.CodeUnavailable, "no leader is known")

// gossip is what the servers hear of nodes.
type gossip struct{ w *world }

// Dead implements liveness.Members: an agent that no other has reached for a while.
func (g gossip) Dead(id string) bool {
	for _, n := range g.w.nodes {
		if n.id == id {
			return !n.unheardSince.IsZero() && g.w.now.Sub(n.unheardSince) > gossipDelay
		}
	}
	return false
}

// gossipDelay is how long gossip needs to be sure.
const gossipDelay = 3 * time.Second

// listen notes which nodes other agents can reach.
func (w *world) listen() {
	for _, n := range w.nodes {
		heard := false
		for _, s := range w.servers {
			heard = heard || s.running() && w.linked(s.name, n.name)
		}
		for _, o := range w.nodes {
			heard = heard || o != n && o.running() && w.linked(o.name, n.name)
		}
		switch {
		case heard && n.running():
			n.unheardSince = time.Time{}
		case n.unheardSince.IsZero():
			n.unheardSince = w.now
		}
	}
	w.after(500*time.Millisecond, w.listen)
}
