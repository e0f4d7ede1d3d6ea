// Package engine is the clockwork of simulations: virtual time, events in order,
// processes that can be killed and stopped, blocking code as coroutines, and a
// network that loses, delays and repeats.
//
// Contract and invariants:
//
//   - One goroutine runs at a time; equal seeds give equal runs.
//   - What belongs to a Life does not happen after its end, and waits while it is
//     paused.
//
// Example:
//
//	e := engine.New(seed, nil)
//	e.After(time.Second, func() { ... })
//	err := e.Loop()
package engine

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

// Epoch is when every run begins.
var Epoch = time.Unix(1_700_000_000, 0).UTC()

// maxEvents bounds a run: one that needs more is stuck in a loop.
const maxEvents = 3_000_000

// Engine is one run.
type Engine struct {
	Rand *rand.Rand
	// Now is the virtual time.
	Now time.Time
	Net Network
	// Events is how many have happened.
	Events int

	seed   uint64
	trace  io.Writer
	queue  events
	seq    uint64
	failed error
	ids    uint64
}

// New makes a run. trace, when set, is told of everything that happens.
func New(seed uint64, trace io.Writer) *Engine {
	return &Engine{
		Rand: rand.New(rand.NewPCG(seed, 0x5eed)), Now: Epoch, Net: Network{cut: map[[2]string]int{}}, seed: seed, trace: trace,
	}
}

// Loop runs events until none is left, or the run has failed.
func (e *Engine) Loop() error {
	for len(e.queue) > 0 && e.failed == nil {
		next := heap.Pop(&e.queue).(event)
		e.Now = next.at
		e.Events++
		if e.Events > maxEvents {
			e.Fail("more than %d events", maxEvents)
		}
		next.do()
	}
	return e.failed
}

// Stop forgets all that was to happen.
func (e *Engine) Stop() { e.queue = nil }

// Failed tells whether the run has failed.
func (e *Engine) Failed() bool { return e.failed != nil }

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

// At schedules f; the past is now.
func (w *Engine) At(t time.Time, f func()) {
	if t.Before(w.Now) {
		t = w.Now
	}
	w.seq++
	heap.Push(&w.queue, event{t, w.seq, f})
}

// After schedules f.
func (w *Engine) After(d time.Duration, f func()) { w.At(w.Now.Add(d), f) }

// Fail ends the run with an error.
func (w *Engine) Fail(format string, args ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf("at %s: %s", w.Now.Sub(Epoch), fmt.Sprintf(format, args...))
		w.Tracef("FAILED %v", w.failed)
	}
}

// Tracef tells the trace.
func (w *Engine) Tracef(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%10.3f  %s\n", w.Now.Sub(Epoch).Seconds(), fmt.Sprintf(format, args...))
	}
}

// Between is a random time between a and b.
func (w *Engine) Between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.Rand.Int64N(int64(b-a)+1))
}

// Chance is true with probability p.
func (w *Engine) Chance(p float64) bool { return w.Rand.Float64() < p }

// ID makes an id in the form of a UUID.
func (w *Engine) ID() string {
	w.ids++
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", w.ids, w.seed&0xffffffffffff)
}

// Life is one run of a process. What belongs to it does not happen after its
// end, and waits while it is stopped.
type Life struct {
	w       *Engine
	over    bool
	paused  bool
	waiting []func() // what happens when it goes on
	order   []*Strand
}

// NewLife begins one.
func (w *Engine) NewLife() *Life { return &Life{w: w} }

// Run runs f in this life: now, when it goes on, or never.
func (l *Life) Run(f func()) {
	switch {
	case l.over:
	case l.paused:
		l.waiting = append(l.waiting, f)
	default:
		f()
	}
}

// After schedules f in this life.
func (l *Life) After(d time.Duration, f func()) { l.w.After(d, func() { l.Run(f) }) }

// Pause is SIGSTOP.
func (l *Life) Pause() { l.paused = true }

// Resume is SIGCONT.
func (l *Life) Resume() {
	l.paused = false
	waiting := l.waiting
	l.waiting = nil
	for _, f := range waiting {
		l.w.At(l.w.Now, func() { l.Run(f) })
	}
}

// End is SIGKILL: what waits is given up.
func (l *Life) End() {
	l.over = true
	for _, s := range l.order {
		s.end()
	}
	l.order = nil
}

// Strand is blocking code, run a piece at a time: a coroutine. It lets
// production handlers that wait for a commit run in the one goroutine.
type Strand struct {
	life  *Life
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	over  bool
}

type strandKey struct{}

// Spawn runs f as a strand of this life, until it first waits.
func (l *Life) Spawn(f func(ctx context.Context)) {
	if l.over {
		return
	}
	s := &Strand{life: l}
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.yield = yield
		f(context.WithValue(context.Background(), strandKey{}, s))
	})
	l.order = append(l.order, s)
	s.step()
}

// step goes on until the next wait.
func (s *Strand) step() {
	if s.over {
		return
	}
	if _, more := s.next(); !more {
		s.finish()
	}
}

func (s *Strand) finish() {
	s.over = true
	for i, other := range s.life.order {
		if other == s {
			s.life.order = append(s.life.order[:i:i], s.life.order[i+1:]...)
			return
		}
	}
}

// End has the wait fail; the code unwinds.
func (s *Strand) end() {
	if !s.over {
		s.over = true
		s.stop()
	}
}

// ErrCut is the end of a wait in a life that is over.
var ErrCut = model.Errorf(model.CodeUnavailable, "the process has ended")

// Await waits in a strand for start's done to be called.
func Await[T any](ctx context.Context, start func(done func(T))) (T, error) {
	s, _ := ctx.Value(strandKey{}).(*Strand)
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
			s.life.w.At(s.life.w.Now, func() { s.life.Run(s.step) })
		}
	})
	for !got {
		waiting = true
		if !s.yield(struct{}{}) {
			return out, ErrCut
		}
	}
	return out, nil
}

// Over tells whether it has ended.
func (l *Life) Over() bool { return l.over }

// Paused tells whether it is stopped.
func (l *Life) Paused() bool { return l.paused }

// Cut tells whether the strand that ctx belongs to was given up: nobody waits for
// what it does any more.
func Cut(ctx context.Context) bool {
	s, _ := ctx.Value(strandKey{}).(*Strand)
	return s == nil || s.over
}
