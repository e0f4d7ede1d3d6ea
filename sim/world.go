package sim

import (
	"container/heap"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/steppe-project/steppe/model"
)

// epoch is when every run begins.
var epoch = time.Unix(1_700_000_000, 0).UTC()

const (
	// maxEvents bounds a run: one that needs more is stuck in a loop.
	maxEvents = 3_000_000
	// quietFor is how long after the last fault everything has to be settled.
	quietFor = 10 * time.Minute
	// settleStep is how often convergence is looked for.
	settleStep = 2 * time.Second
)

// Config is one run.
type Config struct {
	Seed uint64
	// Faults tells which kinds may happen; nil means all.
	Faults []string
	// NoLoss makes it an error when a node is taken down: with faults of the
	// control plane alone none may be.
	NoLoss bool
	// Trace, when set, is told of everything that happens.
	Trace io.Writer
}

// Report is what a run did, for people.
type Report struct {
	Events, Entries, Writes, Placements int
	Downs, Held, Fenced                 int // nodes taken down, held by the brake, tasks stopped for want of a lease
	Faults                              map[string]int
	Virtual                             time.Duration
}

// world is one run.
type world struct {
	cfg    Config
	rng    *rand.Rand
	now    time.Time
	queue  events
	seq    uint64
	failed error

	ledger  *ledger
	servers []*server
	nodes   []*node
	users   []*user
	net     network
	calm    bool // faults are over
	stepped bool // a clock was set: the cluster's may have gone an hour ahead
	checks  checks
	report  Report
	ids     uint64
}

// event is something that happens at a time.
type event struct {
	at  time.Time
	seq uint64
	do  func()
}

type events []event

// Len, Less, Swap, Push and Pop implement heap.Interface: by time, then by the
// order of scheduling.
func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *events) Push(x any) { *q = append(*q, x.(event)) }

// Pop implements heap.Interface.
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

// at schedules f.
func (w *world) at(t time.Time, f func()) {
	if t.Before(w.now) {
		t = w.now
	}
	w.seq++
	heap.Push(&w.queue, event{t, w.seq, f})
}

func (w *world) after(d time.Duration, f func()) { w.at(w.now.Add(d), f) }

// fail ends the run.
func (w *world) fail(format string, args ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf("at %s: %s", w.now.Sub(epoch), fmt.Sprintf(format, args...))
		w.trace("FAILED %v", w.failed)
	}
}

func (w *world) trace(format string, args ...any) {
	if w.cfg.Trace != nil {
		fmt.Fprintf(w.cfg.Trace, "%10.3f  %s\n", w.now.Sub(epoch).Seconds(), fmt.Sprintf(format, args...))
	}
}

// between is a random time between a and b.
func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}

// chance is true with probability p.
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// id makes an id in the form of a UUID.
func (w *world) id() string {
	w.ids++
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", w.ids, w.cfg.Seed&0xffffffffffff)
}

// life is one run of a process. What belongs to it does not happen after its
// end, and waits while it is stopped.
type life struct {
	w       *world
	over    bool
	paused  bool
	waiting []func() // what happens when it goes on
	order   []*strand
}

func (w *world) newLife() *life { return &life{w: w} }

// run runs f in this life: now, when it goes on, or never.
func (l *life) run(f func()) {
	switch {
	case l.over:
	case l.paused:
		l.waiting = append(l.waiting, f)
	default:
		f()
	}
}

// after schedules f in this life.
func (l *life) after(d time.Duration, f func()) { l.w.after(d, func() { l.run(f) }) }

// pause and resume are SIGSTOP and SIGCONT.
func (l *life) pause() { l.paused = true }

func (l *life) resume() {
	l.paused = false
	waiting := l.waiting
	l.waiting = nil
	for _, f := range waiting {
		l.w.at(l.w.now, func() { l.run(f) })
	}
}

// end is SIGKILL: what waits is given up.
func (l *life) end() {
	l.over = true
	for _, s := range l.order {
		s.end()
	}
	l.order = nil
}

// strand is blocking code, run a piece at a time: a coroutine. It lets
// production handlers that wait for a commit run in the one goroutine.
type strand struct {
	life  *life
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	over  bool
}

type strandKey struct{}

// spawn runs f as a strand of this life, until it first waits.
func (l *life) spawn(f func(ctx context.Context)) {
	if l.over {
		return
	}
	s := &strand{life: l}
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.yield = yield
		f(context.WithValue(context.Background(), strandKey{}, s))
	})
	l.order = append(l.order, s)
	s.step()
}

// step goes on until the next wait.
func (s *strand) step() {
	if s.over {
		return
	}
	if _, more := s.next(); !more {
		s.finish()
	}
}

func (s *strand) finish() {
	s.over = true
	for i, other := range s.life.order {
		if other == s {
			s.life.order = append(s.life.order[:i:i], s.life.order[i+1:]...)
			return
		}
	}
}

// end has the wait fail; the code unwinds.
func (s *strand) end() {
	if !s.over {
		s.over = true
		s.stop()
	}
}

// errCut is the end of a wait in a life that is over.
var errCut = model.Errorf(model.CodeUnavailable, "the process has ended")

// await waits in a strand for start's done to be called.
func await[T any](ctx context.Context, start func(done func(T))) (T, error) {
	s, _ := ctx.Value(strandKey{}).(*strand)
	var out T
	if s == nil {
		return out, model.Errorf(model.CodeInternal, "sim: something waits outside of a strand")
	}
	got, waiting := false, false
	start(func(v T) {
		if got || s.over {
			return
		}
		got, out = true, v
		if waiting {
			s.life.w.at(s.life.w.now, func() { s.life.run(s.step) })
		}
	})
	for !got {
		waiting = true
		if !s.yield(struct{}{}) {
			return out, errCut
		}
	}
	return out, nil
}
