package state

import (
	"context"
	"errors"
	"sync"
)

// FeedChanges bounds the changes kept for subscribers: more than a second of the
// heaviest load (100,000 placements a second), about 10 MB and the rows that have
// changed since. The latest entry is always kept whole.
const FeedChanges = 1 << 17

// feedReply bounds the changes that one Next returns, unless one entry alone
// has more: enough to amortise the call, little enough to stay responsive.
const feedReply = 1 << 14

// ErrLagged is returned to a subscriber that fell so far behind that changes it
// has not seen were dropped, or below which the state was replaced by a restore.
// It has to subscribe again and start from the new snapshot.
var ErrLagged = errors.New("state: subscriber lagged behind the change feed")

// ErrClosed is returned by Next after Close.
var ErrClosed = errors.New("state: subscription closed")

// feed keeps the changes of the latest entries. Subscribers hold only a
// position in it, so that a stuck one costs nothing.
type feed struct {
	mu      sync.Mutex
	batches []batch
	start   uint64 // sequence number of batches[0]
	total   int    // changes in batches
	lost    uint64 // index of the latest entry that is no longer here
	subs    map[*Subscription]struct{}
}

// batch is what one entry changed, in order.
type batch struct {
	index   uint64
	tables  tableSet
	changes []Change
}

// tableSet is a set of tables by ordinal.
type tableSet uint32

func newTableSet(tables []Table) tableSet {
	if len(tables) == 0 {
		return 1<<tableCount - 1
	}
	var set tableSet
	for _, t := range tables {
		if i, ok := ordinals[t]; ok {
			set |= 1 << i
		}
	}
	return set
}

func (f *feed) init() { f.subs = make(map[*Subscription]struct{}) }

// append adds an entry's changes; publish runs under the lock, so that a new
// subscriber's snapshot and position always agree.
func (f *feed) append(index uint64, changes []Change, publish func()) {
	var set tableSet
	for i := range changes {
		set |= 1 << ordinals[changes[i].Table]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	publish()
	if len(changes) == 0 {
		return
	}
	f.batches = append(f.batches, batch{index, set, changes})
	f.total += len(changes)
	drop := 0
	for f.total > FeedChanges && drop < len(f.batches)-1 {
		f.total -= len(f.batches[drop].changes)
		f.lost = f.batches[drop].index
		f.batches[drop] = batch{}
		drop++
	}
	f.batches = f.batches[drop:]
	f.start += uint64(drop)
	for sub := range f.subs {
		if sub.tables&set != 0 {
			sub.signal()
		}
	}
}

// reset drops everything: the state was replaced by one at index.
func (f *feed) reset(index uint64, publish func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	publish()
	f.start += uint64(len(f.batches)) + 1 // every position is too old now
	f.batches, f.total, f.lost = nil, 0, index
	for sub := range f.subs {
		sub.signal()
	}
}

// Subscription is a reader's place in the change feed. One goroutine may use it.
type Subscription struct {
	feed   *feed
	tables tableSet
	next   uint64 // sequence number of the next batch
	closed bool
	ready  chan struct{}
}

// Subscribe returns the current state and a subscription to every change of the
// tables (none named: all) after it, without a gap. Close it.
func (s *Store) Subscribe(tables ...Table) (*Snapshot, *Subscription) {
	f := &s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.current.Load(), f.subscribe(tables, f.start+uint64(len(f.batches)))
}

// SubscribeFrom returns a subscription that begins with the kept changes of
// entries after index, and tells whether none between was dropped. Close it.
func (s *Store) SubscribeFrom(index uint64, tables ...Table) (sub *Subscription, gapless bool) {
	f := &s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	at := 0
	for at < len(f.batches) && f.batches[at].index <= index {
		at++
	}
	return f.subscribe(tables, f.start+uint64(at)), index >= f.lost
}

func (f *feed) subscribe(tables []Table, next uint64) *Subscription {
	sub := &Subscription{feed: f, tables: newTableSet(tables), next: next, ready: make(chan struct{}, 1)}
	f.subs[sub] = struct{}{}
	return sub
}

// signal wakes Next; the feed's lock is held.
func (sub *Subscription) signal() {
	select {
	case sub.ready <- struct{}{}:
	default:
	}
}

// Next waits for changes and returns those of one or more whole entries, in
// order. The slice may be shared: do not write to it. It fails with ErrLagged, ErrClosed or ctx's error.
func (sub *Subscription) Next(ctx context.Context) ([]Change, error) {
	for {
		changes, err := sub.poll()
		if err != nil || len(changes) > 0 {
			return changes, err
		}
		select {
		case <-sub.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Ready is signalled when Poll may have something to return.
func (sub *Subscription) Ready() <-chan struct{} { return sub.ready }

// Poll is Next without waiting: no changes and no error means none are there.
func (sub *Subscription) Poll() ([]Change, error) { return sub.poll() }

func (sub *Subscription) poll() ([]Change, error) {
	f := sub.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if sub.closed {
		return nil, ErrClosed
	}
	if sub.next < f.start {
		return nil, ErrLagged
	}
	var out []Change
	end := f.start + uint64(len(f.batches))
	for sub.next < end {
		b := &f.batches[sub.next-f.start]
		if b.tables&sub.tables != 0 {
			if len(out) > 0 && len(out)+len(b.changes) > feedReply {
				sub.signal()
				return out, nil
			}
			out = sub.pick(out, b, sub.next+1 == end)
		}
		sub.next++
	}
	return out, nil
}

// pick adds the batch's changes of the subscribed tables. A batch that is
// wanted whole and comes alone is shared, not copied.
func (sub *Subscription) pick(out []Change, b *batch, last bool) []Change {
	if last && len(out) == 0 && b.tables&^sub.tables == 0 {
		return b.changes[:len(b.changes):len(b.changes)]
	}
	for i := range b.changes {
		if sub.tables&(1<<ordinals[b.changes[i].Table]) != 0 {
			out = append(out, b.changes[i])
		}
	}
	return out
}

// Close ends the subscription.
func (sub *Subscription) Close() {
	f := sub.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	sub.closed = true
	delete(f.subs, sub)
	sub.signal()
}
