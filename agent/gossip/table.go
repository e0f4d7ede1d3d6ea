package gossip

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// table is what is known of all members, and who wants to hear of changes.
type table struct {
	mu      sync.Mutex
	members map[string]*Member
	subs    map[*Subscription]struct{}
}

func newTable() *table {
	return &table{members: make(map[string]*Member), subs: make(map[*Subscription]struct{})}
}

// set makes m the state of its member and tells the subscribers.
func (t *table) set(kind EventType, m Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members[m.ID] = &m
	t.tell(Event{kind, m})
}

// silent is a change that subscribers need not know.
const silent EventType = "silent"

// change changes a known member by f, which returns what happened, "" for
// nothing. It reports whether something did.
func (t *table) change(id string, f func(m *Member) EventType) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, ok := t.members[id]
	if !ok {
		return false
	}
	m := *old
	kind := f(&m)
	if kind == "" {
		return false
	}
	t.members[id] = &m
	if kind != silent {
		t.tell(Event{kind, m})
	}
	return true
}

// tell must be called with mu held.
func (t *table) tell(e Event) {
	for s := range t.subs {
		s.put(e)
	}
}

func (t *table) get(id string) (Member, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.members[id]
	if !ok {
		return Member{}, false
	}
	return *m, true
}

// list returns all members by id.
func (t *table) list() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sorted()
}

// sorted must be called with mu held.
func (t *table) sorted() []Member {
	out := make([]Member, 0, len(t.members))
	for _, m := range t.members {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// reap forgets members that have been gone for long, or are too many.
func (t *table) reap(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var gone []*Member
	for _, m := range t.members {
		if m.Status != StatusAlive {
			gone = append(gone, m)
		}
	}
	slices.SortFunc(gone, func(a, b *Member) int { return a.Since.Compare(b.Since) })
	for i, m := range gone {
		memory := failedMemory
		if m.Status == StatusLeft {
			memory = leftMemory
		}
		if now.Sub(m.Since) > memory || len(gone)-i > maxGone {
			delete(t.members, m.ID)
			t.tell(Event{EventReap, *m})
		}
	}
}

// ErrClosed is returned by Next after Close.
var ErrClosed = errors.New("gossip: subscription closed")

// Subscription is a reader of events. One goroutine may use it.
type Subscription struct {
	table *table
	ready chan struct{} // has a token while something is pending

	mu      sync.Mutex
	order   []string // ids with a pending event, oldest first
	pending map[string]Event
	closed  bool
}

// subscribe returns a subscription that begins with a join of every living
// member and the last event of every other.
func (t *table) subscribe() *Subscription {
	s := &Subscription{table: t, ready: make(chan struct{}, 1), pending: make(map[string]Event)}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.sorted() {
		s.put(Event{map[Status]EventType{StatusAlive: EventJoin, StatusFailed: EventFail, StatusLeft: EventLeave}[m.Status], m})
	}
	t.subs[s] = struct{}{}
	return s
}

// put queues e, merged with what is pending for its member.
func (s *Subscription) put(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, waiting := s.pending[e.Member.ID]
	if !waiting {
		s.order = append(s.order, e.Member.ID)
	} else if before.Type == EventJoin && e.Type == EventUpdate {
		e.Type = EventJoin
	}
	s.pending[e.Member.ID] = e
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Next waits for events and returns all that are pending, oldest member first.
// It fails with ErrClosed or ctx's error.
func (s *Subscription) Next(ctx context.Context) ([]Event, error) {
	for {
		s.mu.Lock()
		closed, order := s.closed, s.order
		events := make([]Event, 0, len(order))
		for _, id := range order {
			events = append(events, s.pending[id])
		}
		s.order = nil
		clear(s.pending)
		s.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case len(events) > 0:
			return events, nil
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.table.mu.Lock()
	delete(s.table.subs, s)
	s.table.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
