package engine

import "time"

// Clock is a machine's clock: it may run too fast, and be set wrong.
type Clock struct {
	// Skew is how far it is off.
	Skew time.Duration

	e      *Engine
	drift  float64 // it runs faster by, since
	since  time.Time
	gained time.Duration
}

// NewClock is a clock that is right.
func (e *Engine) NewClock() Clock { return Clock{e: e, since: e.Now} }

// Ticks is the clock that nobody sets.
func (c *Clock) Ticks() time.Time {
	return c.e.Now.Add(c.gained + time.Duration(c.drift*float64(c.e.Now.Sub(c.since))))
}

// Drift has the clock run faster by a share more from now on.
func (c *Clock) Drift(more float64) {
	c.gained += time.Duration(c.drift * float64(c.e.Now.Sub(c.since)))
	c.since, c.drift = c.e.Now, c.drift+more
}

// Wall is the time that it shows.
func (c *Clock) Wall() time.Time { return c.Ticks().Add(c.Skew) }
