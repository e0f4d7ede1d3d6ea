package consensus

import (
	"sync"
	"time"
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
//   - It follows the machine's clock forward at once.
type Clock struct {
	// Wall is the machine's clock, Elapsed the time since some moment of a clock
	// that nobody sets, Newest the time (unix ns) of the newest entry applied.
	// All are required.
	Wall    func() time.Time
	Elapsed func() time.Duration
	Newest  func() int64

	mu   sync.Mutex
	at   int64 // what was told last, unix ns
	then time.Duration
}

// slewing is the part of the passing time that a clock which is ahead loses.
const slewing = 10

// Now is the time.
func (c *Clock) Now() time.Time {
	wall, elapsed, newest := c.Wall().UnixNano(), c.Elapsed(), c.Newest()
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := int64(max(elapsed-c.then, 0))
	at := c.at + passed
	if ahead := at - wall; ahead > 0 {
		at -= min(ahead, passed/slewing)
	}
	c.at, c.then = max(at, wall, newest), elapsed
	return time.Unix(0, c.at).UTC()
}
