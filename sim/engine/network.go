package engine

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

// Network is who hears whom. Places are names; a link that is not named is whole.
type Network struct {
	cut map[[2]string]int // directed; counts overlapping faults
	// Loss is the share of calls that are lost, Twice that of calls that arrive
	// twice; Slow is added to every delay at random.
	Loss, Twice float64
	Slow        time.Duration
}

// Hears tells whether what from says reaches to.
func (w *Engine) Hears(from, to string) bool {
	return from == to || w.Net.cut[[2]string{from, to}] == 0
}

// Linked tells whether both hear each other.
func (w *Engine) Linked(a, b string) bool { return w.Hears(a, b) && w.Hears(b, a) }

// Cut cuts a direction, Mend takes that back. Cuts add up.
func (w *Engine) Cut(from, to string) { w.Net.cut[[2]string{from, to}]++ }

// Mend takes a Cut back.
func (w *Engine) Mend(from, to string) { w.Net.cut[[2]string{from, to}]-- }

// CutAll cuts directions, each from its first place to its second; undo takes that back.
func (w *Engine) CutAll(links [][2]string) (undo func()) {
	for _, l := range links {
		w.Cut(l[0], l[1])
	}
	return func() {
		for _, l := range links {
			w.Mend(l[0], l[1])
		}
	}
}

// Delay is how long a message takes.
func (w *Engine) Delay() time.Duration {
	d := w.Between(100*time.Microsecond, 2*time.Millisecond)
	if w.Net.Slow > 0 {
		d += w.Between(0, w.Net.Slow)
	}
	return d
}

// ErrLost is the end of a call that nobody answered.
var ErrLost = model.Errorf(model.CodeUnavailable, "no answer")

// callTimeout is how long a caller waits for an answer that does not come.
const callTimeout = 2 * time.Second

// Call carries a request to a place and its answer back. handle is called at to,
// perhaps twice, or never; its reply, or ErrLost, comes to done once.
func (w *Engine) Call(from, to string, handle func(reply func(error)), done func(error)) {
	answered := false
	answer := func(err error) {
		if !answered {
			answered = true
			done(err)
		}
	}
	w.After(callTimeout+w.Between(0, callTimeout/4), func() { answer(ErrLost) })
	arrive := func() {
		if !w.Hears(from, to) {
			return
		}
		handle(func(err error) {
			w.After(w.Delay(), func() {
				if w.Hears(to, from) && !w.Chance(w.Net.Loss) {
					answer(err)
				}
			})
		})
	}
	if !w.Chance(w.Net.Loss) {
		w.After(w.Delay(), arrive)
	}
	if w.Chance(w.Net.Twice) {
		w.After(w.Delay()+w.Between(0, 3*time.Second), arrive)
	}
}
