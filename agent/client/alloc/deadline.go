package alloc

import (
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
)

// tellTime is how long drivers have, when the agent comes back, to say that a task had
// ended before its time was over.
const tellTime = time.Second

// span is how long an allocation has run.
type span struct {
	since   time.Time // when the first main task started, by the clock that nobody sets
	resumed bool      // an earlier run of the agent had started it
	grace   time.Time // what has ended meanwhile is heard until then
}

// over tells whether the allocation has to end because its main tasks have run for as
// long as its group may. Once it was told so it has to, whatever a new version of the
// job says; what is done by itself is not looked at any more.
func (c *Core) over(now time.Time) bool {
	if c.flagged() {
		return true
	}
	at := c.overAt(now)
	return !at.IsZero() && !now.Before(at)
}

// overAt is when the allocation will have run for too long; zero for never, and for one
// that is ending already.
func (c *Core) overAt(now time.Time) time.Time {
	since, working, ending := c.ranSince(now), false, false
	for _, t := range c.tasks {
		working = working || t.role == roleMain && t.status.Phase != task.Dead
		ending = ending || t.role != rolePoststop && t.status.StopSeen
	}
	if c.group.MaxRunDuration <= 0 || since.IsZero() || !working || ending {
		return time.Time{}
	}
	at := since.Add(c.group.MaxRunDuration)
	if at.Before(c.run.grace) {
		return c.run.grace
	}
	return at
}

// ranSince is when the first of the main tasks started; zero before. While the agent
// runs, this goes by its monotonic clock: a time that was read from disk has none, so
// what has passed is computed once, by the wall clock, and from then on a clock that is
// set neither ends an allocation early nor spares it.
func (c *Core) ranSince(now time.Time) time.Time {
	if !c.run.since.IsZero() {
		return c.run.since
	}
	var first time.Time
	for _, t := range c.tasks {
		at := t.status.RanSince()
		if t.role == roleMain && !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return first
	}
	c.run.since = now.Add(-max(0, now.Sub(first)))
	if c.run.resumed {
		c.run.grace = now.Add(tellTime)
	}
	return c.run.since
}

// flagged tells whether a task was told to end for want of time.
func (c *Core) flagged() bool {
	for _, t := range c.tasks {
		if t.status.Overran {
			return true
		}
	}
	return false
}

// overruns tells whether a wish ends a task for want of time. One that was ending
// already is not spoken of.
func overruns(w wish, s task.Status) bool {
	return w.stop == causeOverran && !s.StopSeen && s.Phase != task.Dead
}
