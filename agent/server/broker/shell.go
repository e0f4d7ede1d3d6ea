package broker

import (
	"sync/atomic"
	"time"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Queue is a Broker that hands what is ready to a bounded channel, as far as
// there is room: it is the component to run on a leader. The channel should hold
// what is decided during one commit, and not much more, because everything else
// stays where its priority counts. What is decided and committed changes a row,
// which makes the runner step, which fills the channel again.
type Queue struct {
	*Broker
	out    chan<- *model.Evaluation
	counts atomic.Pointer[Counts]
}

// NewQueue makes a queue that fills out.
func NewQueue(out chan<- *model.Evaluation) *Queue {
	q := &Queue{Broker: New(), out: out}
	q.counts.Store(&Counts{})
	return q
}

// Reset implements loop.Component. What an earlier term left in the channel is
// for the workers of that term, which have ended.
func (q *Queue) Reset(snap *state.Snapshot) {
	q.Broker.Reset(snap)
	q.note()
}

// Step implements loop.Component.
func (q *Queue) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	cmds, _ := q.Broker.Step(now, snap)
	for _, e := range q.Deliver(now, cap(q.out)-len(q.out)) {
		q.out <- e // nobody else sends, so there is room
	}
	q.note()
	return cmds, q.next()
}

func (q *Queue) note() {
	c := q.Broker.Counts()
	q.counts.Store(&c)
}

// Sizes returns the counts after the latest step. Any goroutine may call it.
func (q *Queue) Sizes() Counts { return *q.counts.Load() }
