package sim

import (
	"context"
	"github.com/steppe-project/steppe/sim/engine"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

const (
	// leaseLength is how long a leader without a majority goes on believing.
	leaseLength = 400 * time.Millisecond
	// electionMin and electionMax are how long a cluster is without a leader
	// after one is lost.
	electionMin = 500 * time.Millisecond
	electionMax = 1500 * time.Millisecond
	// pulse is how often the ledger looks at who reaches whom.
	pulse = 50 * time.Millisecond
	// installAfter is how far behind a server gets a snapshot instead of entries.
	installAfter = 200
)

// ledger is the simulated log: what Raft promises, seen from above.
//
//   - What is committed is on a majority's disks and stays, in one order.
//   - What a leader had not committed when it lost its place is either committed
//     by the next one, in order and without gaps, or gone: its proposer only
//     learns that the outcome is unknown.
//   - A leader that was replaced may believe for a while that it still leads; it
//     commits nothing.
type ledger struct {
	w         *world
	entries   []entry // entries[i] has index first+i
	first     uint64
	term      uint64
	leader    *server // elected and not replaced
	lostSince time.Time
	electAt   time.Time
}

// entry is one committed entry, as Raft would carry it.
type entry struct {
	term uint64
	data []byte
}

// proposal waits for its commit at a leader.
type proposal struct {
	data  []byte
	ready time.Time // when a majority could have it
	done  func(proposed)
}

// proposed is the fate of a proposal.
type proposed struct {
	outcomes []fsm.Outcome
	err      error
}

func (l *ledger) last() uint64 { return l.first + uint64(len(l.entries)) - 1 }

// voters are all servers; a majority of them has to hear the leader.
func (l *ledger) majority(s *server) bool {
	n := 0
	for _, o := range l.w.servers {
		if o.running() && l.w.Linked(s.name, o.name) {
			n++
		}
	}
	return s.running() && n > len(l.w.servers)/2
}

// beat looks after leadership and replication, every pulse.
func (l *ledger) beat() {
	w := l.w
	for _, s := range w.servers {
		if !s.running() || s.term == 0 {
			continue
		}
		switch {
		case s == l.leader && s.term == l.term && l.majority(s):
			s.contact = w.Now
			l.flush(s)
		case s != l.leader && l.leader != nil && l.leader.running() && w.Hears(l.leader.name, s.name):
			s.depose("another server leads")
		case w.Now.Sub(s.contact) > leaseLength:
			s.depose("it has lost the majority")
		}
	}
	l.elect()
	if l.leader != nil && l.leader.running() {
		for _, s := range w.servers {
			if s != l.leader && s.running() && w.Linked(l.leader.name, s.name) {
				l.catchUp(s, false)
			}
		}
	}
	w.After(pulse, l.beat)
}

// elect chooses a leader when there is none that a majority follows.
func (l *ledger) elect() {
	w := l.w
	if l.leader != nil && l.leader.term == l.term && l.majority(l.leader) {
		l.lostSince = time.Time{}
		return
	}
	if l.lostSince.IsZero() {
		l.lostSince, l.electAt = w.Now, w.Now.Add(w.Between(electionMin, electionMax))
	}
	if w.Now.Before(l.electAt) {
		return
	}
	var able []*server
	for _, s := range w.servers {
		if l.majority(s) {
			able = append(able, s)
		}
	}
	if len(able) == 0 {
		return
	}
	next := able[w.Rand.IntN(len(able))]
	if old := l.leader; old != nil && old != next {
		l.adopt(old)
	}
	l.lostSince = time.Time{}
	l.term++
	l.leader = next
	w.Tracef("%s is elected for term %d", next.name, l.term)
	for _, s := range w.servers {
		if s.running() && s.term != 0 && (s == next || w.Hears(next.name, s.name)) {
			s.depose("another server was elected")
		}
	}
	l.catchUp(next, true)
	next.elected(l.term)
}

// adopt commits some of what a lost leader had proposed: a majority may have it.
func (l *ledger) adopt(old *server) {
	pending := old.pending
	if len(pending) == 0 {
		return
	}
	n := l.w.Rand.IntN(len(pending) + 1)
	for _, p := range pending[:n] {
		l.append(p.data)
	}
	old.pending = pending[n:]
	for _, p := range pending[:n] {
		old.unknown(p)
	}
	l.w.Tracef("%d of %d pending entries of %s are committed by its successor", n, len(pending), old.name)
}

// append commits an entry.
func (l *ledger) append(data []byte) uint64 {
	l.entries = append(l.entries, entry{l.term, data})
	l.w.report.Entries++
	return l.last()
}

// propose has a server that leads, or believes so, propose commands.
func (l *ledger) propose(s *server, cmds []fsm.Command, done func(proposed)) {
	w := l.w
	if s.term == 0 || s.lead == nil {
		done(proposed{err: model.Errorf(model.CodeNotLeader, "this server does not lead")})
		return
	}
	if s.diskFull {
		done(proposed{err: model.Errorf(model.CodeUnavailable, "the log cannot be written: no space left on device")})
		return
	}
	s.stamped = max(s.clock().UnixNano(), s.stamped+1, s.appliedTime+1)
	data, err := fsm.EncodeEntry(s.stamped, cmds)
	if err != nil {
		done(proposed{err: err})
		return
	}
	p := &proposal{data: data, ready: w.Now.Add(w.Between(300*time.Microsecond, 4*time.Millisecond) + w.Delay()), done: done}
	if n := len(s.pending); n > 0 && s.pending[n-1].ready.After(p.ready) {
		p.ready = s.pending[n-1].ready
	}
	s.pending = append(s.pending, p)
	s.life.After(p.ready.Sub(w.Now), func() { l.flush(s) })
}

// flush commits what is ready at the leader, in order.
func (l *ledger) flush(s *server) {
	if s != l.leader || s.term != l.term || !l.majority(s) {
		return
	}
	for len(s.pending) > 0 && !s.pending[0].ready.After(l.w.Now) {
		p := s.pending[0]
		s.pending = s.pending[1:]
		index := l.append(p.data)
		outcomes := s.apply(index)
		p.done(proposed{outcomes: outcomes})
		l.w.checks.committed(s)
	}
	for _, f := range l.w.servers {
		if f != s && f.running() {
			f.life.After(l.w.Delay(), func() {
				if l.leader == s && l.w.Linked(s.name, f.name) {
					l.catchUp(f, false)
				}
			})
		}
	}
}

// catchUp brings a server to the end of the log; one that is far behind gets a
// snapshot of another's state first. Now and then it stops on the way.
func (l *ledger) catchUp(s *server, all bool) {
	w := l.w
	behind := l.last() - s.applied
	if behind > installAfter || behind > 20 && w.Chance(0.2) {
		if from := l.newest(s); from != nil && from.applied > s.applied {
			s.install(from)
		}
	}
	for s.applied < l.last() && !w.Failed() {
		if !all && w.Chance(0.02) {
			return
		}
		s.apply(s.applied + 1)
	}
}

// newest is the running server, other than s, that has applied the most.
func (l *ledger) newest(s *server) *server {
	var best *server
	for _, o := range l.w.servers {
		if o != s && o.running() && (best == nil || o.applied > best.applied) {
			best = o
		}
	}
	return best
}

// proposer is consensus.Proposer's part that handlers and components use.
type proposer struct{ s *server }

// Propose implements the Proposer interfaces of admit, planner and worker.
func (p proposer) Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	got, err := engine.Await(ctx, func(done func(proposed)) { p.s.w.ledger.propose(p.s, cmds, done) })
	if err != nil {
		return nil, err
	}
	return got.outcomes, got.err
}

// errUnknown is what the proposer of an entry learns whose leader lost its place.
var errUnknown = model.Errorf(model.CodeUnavailable, "leadership was lost: %w", consensus.ErrUnknownOutcome)

// ReadIndex implements the Proposer interfaces: an answer only while a majority
// follows.
func (p proposer) ReadIndex(ctx context.Context) (uint64, error) {
	s, w := p.s, p.s.w
	ok, err := engine.Await(ctx, func(done func(bool)) {
		var look func()
		look = func() {
			switch {
			case s.term == 0 || s.lead == nil:
				done(false)
			case s == w.ledger.leader && s.term == w.ledger.term && w.ledger.majority(s):
				done(true)
			default:
				s.life.After(20*time.Millisecond, look)
			}
		}
		look()
	})
	switch {
	case err != nil:
		return 0, err
	case !ok:
		return 0, model.Errorf(model.CodeNotLeader, "this server does not lead")
	}
	return s.applied, nil
}
