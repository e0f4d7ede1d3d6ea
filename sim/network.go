package sim

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

// network is who hears whom. Places are servers ("s1"), nodes ("n1") and users
// ("u1"); a link that is not named is whole.
type network struct {
	cut map[[2]string]int // directed; counts overlapping faults
	// loss is the share of calls that are lost, twice that of calls that arrive
	// twice; slow is added to every delay at random.
	loss, twice float64
	slow        time.Duration
}

// hears tells whether what from says reaches to.
func (w *world) hears(from, to string) bool { return from == to || w.net.cut[[2]string{from, to}] == 0 }

// linked tells whether both hear each other.
func (w *world) linked(a, b string) bool { return w.hears(a, b) && w.hears(b, a) }

// cutLink cuts a direction, mendLink takes that back.
func (w *world) cutLink(from, to string)  { w.net.cut[[2]string{from, to}]++ }
func (w *world) mendLink(from, to string) { w.net.cut[[2]string{from, to}]-- }

// delay is how long a message takes.
func (w *world) delay() time.Duration {
	d := w.between(100*time.Microsecond, 2*time.Millisecond)
	if w.net.slow > 0 {
		d += w.between(0, w.net.slow)
	}
	return d
}

var errLost = model.Errorf(model.CodeUnavailable, "no answer")

// callTimeout is how long a caller waits for an answer that does not come.
const callTimeout = 2 * time.Second

// call carries a request to a place and its answer back. handle is called at to,
// perhaps twice, or never; its reply, or errLost, comes to done once.
func (w *world) call(from, to string, handle func(reply func(error)), done func(error)) {
	answered := false
	answer := func(err error) {
		if !answered {
			answered = true
			done(err)
		}
	}
	w.after(callTimeout+w.between(0, callTimeout/4), func() { answer(errLost) })
	arrive := func() {
		if !w.hears(from, to) {
			return
		}
		handle(func(err error) {
			w.after(w.delay(), func() {
				if w.hears(to, from) && !w.chance(w.net.loss) {
					answer(err)
				}
			})
		})
	}
	if !w.chance(w.net.loss) {
		w.after(w.delay(), arrive)
	}
	if w.chance(w.net.twice) {
		w.after(w.delay()+w.between(0, 3*time.Second), arrive)
	}
}
