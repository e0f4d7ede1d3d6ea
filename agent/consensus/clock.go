package consensus

import (
	"slices"
	"sync"
	"time"

	nodelease "github.com/steppe-project/steppe/model/lease"
)

// Clock is the time of the cluster as one server tells it. What is kept in the
// state (when to try again, how long something has been healthy) is compared with
// it, so it must go on at an even pace whatever happens to the clocks of machines:
//
//   - It never goes back, not even to a leader whose clock is behind: it is never
//     before the newest entry of the log.
//   - It never stands still: ahead of the machine's clock it loses a tenth of the
//     time that passes until both agree again. (An hour ahead, as after a clock
//     was set wrong for a while, is made good in ten hours; delays are a tenth
//     longer meanwhile.)
//   - It follows the machine's clock forward at once. What must not be early by that
//     asks Steady, which knows of such jumps.
type Clock struct {
	// Wall is the machine's clock, Elapsed the time since some moment of a clock
	// that nobody sets, Newest the time (unix ns) of the newest entry applied.
	// All are required.
	Wall    func() time.Time
	Elapsed func() time.Duration
	Newest  func() int64
	// Leads tells whether entries are stamped with what this clock says: else nobody
	// goes by it, however wrong it is. Nil: they are.
	Leads func() bool

	mu     sync.Mutex
	at     int64 // what was told last, unix ns
	then   time.Duration
	steady nodelease.Steady
	seen   time.Duration // when steady was brought up to date
	ahead  int64         // of Elapsed, but for what steady knows and less than a leap
	led    bool          // when last asked
	term   uint64        // of the newest entry applied
}

const (
	// slewing is the part of the passing time that a clock which is ahead loses.
	slewing = 10
	// leap is what the clock may gain unnoticed, less than a lease, maxJumps how
	// many jumps are remembered.
	leap     = nodelease.JumpAtLeast
	maxJumps = 64
)

// Now is the time.
func (c *Clock) Now() time.Time {
	wall, elapsed, newest := c.Wall().UnixNano(), c.Elapsed(), c.Newest()
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := int64(max(elapsed-c.then, 0))
	at, lost := c.at+passed, int64(0)
	if ahead := at - wall; ahead > 0 {
		lost = min(ahead, passed/slewing)
		at -= lost
	}
	c.at, c.then = max(at, wall, newest), elapsed
	leads := c.leads()
	if leads && !c.led {
		lost = c.unseen(elapsed)
		c.another(c.at, elapsed)
	}
	if c.led = leads; leads {
		c.ahead -= lost
		c.watch(c.at, elapsed)
	}
	return time.Unix(0, c.at).UTC()
}

func (c *Clock) leads() bool { return c.Leads == nil || c.Leads() }

// unseen is what the clock may have lost since steady was brought up to date.
func (c *Clock) unseen(elapsed time.Duration) int64 {
	return int64(max(elapsed-c.seen, 0)) / slewing
}

// Applied notes the time of an entry of a term that was applied: so a server that
// follows knows how the clock went before it leads. The leader's clock may have been
// losing time meanwhile, to gain it now, which nobody sees from here.
func (c *Clock) Applied(at int64, term uint64) {
	elapsed := c.Elapsed()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead -= c.unseen(elapsed)
	if term != c.term {
		c.term, c.led = term, false
		c.another(at, elapsed)
	}
	c.watch(at, elapsed)
}

// another notes that another clock is the cluster's from here on: it goes on from the
// log, which may be behind what the one before said, to make good for it later. Of what
// that one said last nothing is in the log then, nor of jumps to there.
func (c *Clock) another(at int64, elapsed time.Duration) {
	c.steady.Jumps = slices.DeleteFunc(slices.Clone(c.steady.Jumps), func(j nodelease.Jump) bool {
		never := j.At.UnixNano() > at
		if never {
			c.ahead -= int64(j.By)
		}
		return never
	})
	c.ahead = min(c.ahead, at-int64(elapsed))
}

// watch notes a jump when the clock says at; c.mu is held.
func (c *Clock) watch(at int64, elapsed time.Duration) {
	ahead, now := at-int64(elapsed), time.Unix(0, at).UTC()
	c.seen = elapsed
	switch by := time.Duration(ahead - c.ahead); {
	case c.steady.From.IsZero():
		c.steady.From, c.ahead = now, ahead
	case by >= leap:
		jumps := append(slices.Clone(c.steady.Jumps), nodelease.Jump{At: now, By: by})
		if len(jumps) > maxJumps {
			c.steady.From, jumps = jumps[0].At, jumps[1:]
		}
		c.steady.Jumps, c.ahead = jumps, ahead
	}
}

// Steady is what is known of how even this clock went.
func (c *Clock) Steady() nodelease.Steady {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steady
}
