package sim

import (
	"bytes"
	"context"
	"github.com/steppe-project/steppe/sim/engine"
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
	life *engine.Life // nil while it is down

	store       *state.Store
	hasher      state.Hasher
	machine     *fsm.FSM
	applied     uint64
	appliedTime int64
	stored      []byte // a snapshot on its disk
	storedAt    uint64
	storedTime  int64
	time        *consensus.Clock

	engine.Clock // of its machine

	term     uint64 // in which it believes to lead; 0 = it does not
	contact  time.Time
	stamped  int64
	pending  []*proposal
	diskFull bool

	rpc      *rpc.Server
	desk     *liveness.Desk
	lead     *lead
	sessions map[string]*session
	dialed   []*session // all that are open, registered or not
	feed     *state.Subscription
	renewing map[string]*session
}

func (s *server) running() bool { return s.life != nil && !s.life.Paused() }

// clock is the cluster's time as this server tells it.
func (s *server) clock() time.Time { return s.time.Now() }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// start starts the process: from the snapshot on its disk, and the log after it.
func (s *server) start() {
	w := s.w
	s.life = w.NewLife()
	s.store = state.New()
	s.machine = fsm.New(s.store)
	s.time = &consensus.Clock{
		Wall: s.Wall, Elapsed: func() time.Duration { return s.Ticks().Sub(engine.Epoch) },
		Newest: func() int64 { return s.appliedTime }, Leads: func() bool { return s.lead != nil },
	}
	s.appliedTime = 0
	s.applied = s.store.Snapshot().Index()
	if s.stored != nil {
		if err := s.machine.Restore(bytes.NewReader(s.stored)); err != nil {
			w.Fail("%s cannot restore its own snapshot: %v", s.name, err)
			return
		}
		s.applied, s.appliedTime = s.storedAt, s.storedTime
	}
	s.sessions, s.renewing = map[string]*session{}, map[string]*session{}
	_, s.feed = s.store.Subscribe(state.TableAllocs)
	s.rpc = rpc.NewServer(rpc.Config{Logger: quiet})
	s.desk = liveness.NewDesk(liveness.New(leaseTTL, gossip{w}), s.store, proposer{s}, s.Ticks)
	s.desk.Register(s.rpc)
	admit.New(admit.Config{
		Store: s.store, Proposer: proposer{s}, Region: model.DefaultRegion, Now: s.clock, NewID: w.ID, Seen: s.desk.Seen,
	}).Register(s.rpc)
	s.life.After(w.Between(0, renewInterval), s.sendRenewals)
	w.Tracef("%s starts at index %d", s.name, s.applied)
}

// crash ends the process. What was not synced is lost; what was committed is on
// a majority's disks, and comes back from there.
func (s *server) crash() {
	s.w.Tracef("%s crashes", s.name)
	s.abdicate()
	s.life.End()
	s.life = nil
	dialed := s.dialed
	s.dialed = nil
	for _, ss := range dialed {
		ss.closed = true
		if s.w.Linked(s.name, ss.n.name) {
			ss.hangUp()
		} else {
			ss.breakLater()
		}
	}
	s.store, s.machine, s.rpc, s.desk, s.sessions = nil, nil, nil, nil, nil
	s.pending, s.diskFull = nil, false
}

// snapshot keeps the state on disk, as Raft does now and then.
func (s *server) snapshot() {
	var b bytes.Buffer
	if _, err := s.machine.Snapshot().WriteTo(&b); err != nil {
		s.w.Fail("%s cannot write a snapshot: %v", s.name, err)
		return
	}
	s.stored, s.storedAt, s.storedTime = b.Bytes(), s.applied, s.appliedTime
}

// install replaces the state by another server's.
func (s *server) install(from *server) {
	s.w.Tracef("%s gets a snapshot of %s at %d", s.name, from.name, from.applied)
	var b bytes.Buffer
	if _, err := from.machine.Snapshot().WriteTo(&b); err != nil {
		s.w.Fail("%s cannot write a snapshot: %v", from.name, err)
		return
	}
	if err := s.machine.Restore(&b); err != nil {
		s.w.Fail("%s cannot restore the snapshot of %s: %v", s.name, from.name, err)
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
		s.w.Fail("%s applies %d after %d", s.name, index, s.applied)
		return nil
	}
	raw := l.entries[index-l.first]
	e, err := fsm.DecodeEntry(index, raw.term, raw.data)
	if err != nil {
		s.w.Fail("entry %d: %v", index, err)
		return nil
	}
	outcomes := s.machine.Apply(e)
	s.applied, s.appliedTime = index, e.Time
	s.time.Applied(e.Time, e.Term)
	s.w.checks.applied(s)
	s.changed()
	return outcomes
}

// changed lets sessions and components know of new state.
func (s *server) changed() {
	s.life.After(0, s.distribute)
	if s.lead != nil {
		s.lead.poke()
	}
}

// elected begins a term; the server leads when it has applied all there is.
func (s *server) elected(term uint64) {
	s.term, s.contact = term, s.w.Now
	s.life.After(s.w.Between(time.Millisecond, 20*time.Millisecond), func() {
		if s.term == term && s.lead == nil {
			s.lead = newLead(s)
		}
	})
}

// depose ends what this server leads with.
func (s *server) depose(why string) {
	s.w.Tracef("%s no longer leads: %s", s.name, why)
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
		s.life.After(0, func() { p.done(proposed{err: errUnknown}) })
	}
}

// ask has the leader handle something for this server: it is forwarded as
// production forwards, and done learns the end of it in this server's life.
func (s *server) ask(handle func(ctx context.Context, at *server) error, done func(error)) {
	w, mine := s.w, s.life
	to := w.ledger.leader
	if to == nil {
		mine.After(w.Delay(), func() { done(errNoLeader) })
		return
	}
	w.Call(s.name, to.name, func(reply func(error)) {
		if to.life == nil {
			return // refused connections look like silence here
		}
		to.life.Run(func() {
			if to.lead == nil {
				reply(model.Errorf(model.CodeNotLeader, "this server does not lead"))
				return
			}
			to.life.Spawn(func(ctx context.Context) {
				err := handle(ctx, to)
				if engine.Cut(ctx) {
					return
				}
				reply(err)
			})
		})
	}, func(err error) { mine.Run(func() { done(err) }) })
}

var errNoLeader = model.Errorf(model.CodeUnavailable, "no leader is known")

// gossip is what the servers hear of nodes.
type gossip struct{ w *world }

// Dead implements liveness.Members: an agent that no other has reached for a while.
func (g gossip) Dead(id string) bool {
	for _, n := range g.w.nodes {
		if n.id == id {
			return !n.unheardSince.IsZero() && g.w.Now.Sub(n.unheardSince) > gossipDelay
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
			heard = heard || s.running() && w.Linked(s.name, n.name)
		}
		for _, o := range w.nodes {
			heard = heard || o != n && o.running() && w.Linked(o.name, n.name)
		}
		switch {
		case heard && n.running():
			n.unheardSince = time.Time{}
		case n.unheardSince.IsZero():
			n.unheardSince = w.Now
		}
	}
	w.After(500*time.Millisecond, w.listen)
}
