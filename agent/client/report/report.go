// Package report gathers the statuses of allocations on their way to a server.
//
// Contract and invariants:
//
//   - Only the newest status of an allocation is kept; nothing waits behind it.
//   - Every status put is handed out by Next until Acked says that the servers
//     have it, over as many sessions as that takes.
//   - What is handed out later has a higher Order, over sessions and, by the clock,
//     over the agent's runs: servers that get a report late or twice know it.
//   - The first change after quiet is handed out at once; further ones are
//     gathered for Gather. A change that is only history (not urgent) waits for
//     company for Linger.
//   - Memory is bounded by the allocations of one node.
//
// Example:
//
//	q := report.New()
//	q.Put(update, true)
//	q.Reset()                          // a session begins: everything unconfirmed goes again
//	seq, updates, err := q.Next(ctx)   // send them
//	ids := q.Acked(seq)                // these are known to the servers
package report

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steppe-project/steppe/model"
)

const (
	// Gather is how long changes that follow a report are collected. A start
	// takes about as long, so that a burst of starts costs few reports.
	Gather = 10 * time.Millisecond
	// Linger bounds how stale histories on the servers may be.
	Linger = 200 * time.Millisecond
	// MaxBatch bounds the updates of one report.
	MaxBatch = 512
	// maxInFlight bounds unconfirmed reports: servers that are slow to commit
	// get larger reports, not more of them.
	maxInFlight = 4
)

// entry is the newest status of one allocation.
type entry struct {
	update *model.AllocUpdate
	sent   uint64 // report that carried this very update, 0 = none yet
	urgent bool
}

// Queue holds what the servers do not know yet. Safe for concurrent use.
type Queue struct {
	now func() time.Time

	mu       sync.Mutex
	entries  map[string]*entry
	first    uint64 // all Orders are beyond it
	seq      uint64 // of the last report, which is its Order
	inFlight map[uint64]bool
	last     time.Time // of the last report
	since    time.Time // oldest unsent change that is not urgent
	urgent   bool
	wake     chan struct{}
}

// New makes an empty queue.
func New() *Queue { return NewAt(time.Now) }

// NewAt makes an empty queue with a clock of its own, for the simulator.
func NewAt(now func() time.Time) *Queue {
	// An agent makes fewer reports than one in a microsecond: this is beyond what its
	// earlier runs made.
	first := uint64(max(now().UnixMicro(), 0))
	return &Queue{now: now, entries: map[string]*entry{}, inFlight: map[uint64]bool{}, wake: make(chan struct{}, 1), first: first, seq: first}
}

// From is the Order that all reports are beyond, and those of earlier runs of the
// agent are not.
func (q *Queue) From() uint64 { return q.first }

// Beyond takes note of an Order that the servers know: reports to come are newer,
// even if the machine's clock was set back before the agent started.
func (q *Queue) Beyond(order uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seq = max(q.seq, order)
}

func (q *Queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Put replaces an allocation's status. update must not be changed afterwards.
func (q *Queue) Put(update *model.AllocUpdate, urgent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if old := q.entries[update.ID]; old != nil && old.sent == 0 {
		urgent = urgent || old.urgent
	}
	q.entries[update.ID] = &entry{update: update, urgent: urgent}
	q.note(urgent)
	q.poke()
}

func (q *Queue) note(urgent bool) {
	q.urgent = q.urgent || urgent
	if q.since.IsZero() {
		q.since = q.now()
	}
}

// Drop forgets an allocation: the servers do not know it any more.
func (q *Queue) Drop(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.entries, id)
}

// Reset makes everything unconfirmed unsent: a new session begins.
func (q *Queue) Reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.inFlight)
	q.last, q.since, q.urgent = time.Time{}, time.Time{}, false
	for _, e := range q.entries {
		e.sent = 0
		q.note(true)
	}
	q.poke()
}

// Next waits for changes and returns the next report. Its caller is the one
// goroutine that sends.
func (q *Queue) Next(ctx context.Context) (seq uint64, updates []*model.AllocUpdate, err error) {
	for {
		wait := q.due(q.now())
		if wait == 0 {
			seq, updates = q.take()
			return seq, updates, nil
		}
		if err := q.sleep(ctx, wait); err != nil {
			return 0, nil, err
		}
	}
}

// Poll is Next without waiting: the next report, or how long until there may be
// one (negative: until something is put or acknowledged).
func (q *Queue) Poll() (seq uint64, updates []*model.AllocUpdate, wait time.Duration) {
	if wait = q.due(q.now()); wait != 0 {
		return 0, nil, wait
	}
	seq, updates = q.take()
	return seq, updates, 0
}

// sleep waits for a change, or at most d; d < 0 means no limit.
func (q *Queue) sleep(ctx context.Context, d time.Duration) error {
	var timeout <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-q.wake:
		return nil
	case <-timeout:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// due is how long to wait before the next report: 0 = now, < 0 = nothing to do.
func (q *Queue) due(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.since.IsZero() || len(q.inFlight) >= maxInFlight {
		return -1
	}
	at := q.last.Add(Gather)
	if !q.urgent {
		if late := q.since.Add(Linger); late.After(at) {
			at = late
		}
	}
	return max(at.Sub(now), 0)
}

// take is the next report: what has not been sent, oldest ids first, bounded.
func (q *Queue) take() (uint64, []*model.AllocUpdate) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var unsent []*entry
	for _, e := range q.entries {
		if e.sent == 0 {
			unsent = append(unsent, e)
		}
	}
	slices.SortFunc(unsent, func(a, b *entry) int { return strings.Compare(a.update.ID, b.update.ID) })
	rest := unsent[min(len(unsent), MaxBatch):]
	unsent = unsent[:len(unsent)-len(rest)]
	q.seq++
	q.last, q.since, q.urgent = q.now(), time.Time{}, false
	for _, e := range rest {
		q.note(e.urgent)
	}
	updates := make([]*model.AllocUpdate, len(unsent))
	for i, e := range unsent {
		e.sent = q.seq
		numbered := *e.update
		numbered.Order = q.seq
		updates[i] = &numbered
	}
	if len(updates) > 0 {
		q.inFlight[q.seq] = true
	}
	return q.seq, updates
}

// Acked notes that the servers have committed all reports up to seq, and returns
// the updates that are now known to them and are still the newest.
func (q *Queue) Acked(seq uint64) []*model.AllocUpdate {
	q.mu.Lock()
	defer q.mu.Unlock()
	for s := range q.inFlight {
		if s <= seq {
			delete(q.inFlight, s)
		}
	}
	var known []*model.AllocUpdate
	for id, e := range q.entries {
		if e.sent != 0 && e.sent <= seq {
			known = append(known, e.update)
			delete(q.entries, id)
		}
	}
	q.poke()
	return known
}

// Unconfirmed is how many allocations have a status that the servers may not know.
func (q *Queue) Unconfirmed() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries)
}
