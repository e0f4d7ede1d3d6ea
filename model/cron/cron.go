// Package cron tells when a periodic job is launched. It is part of the model: times
// are arguments, and the same arguments give the same answers. (The data of time zones
// is the machine's, or else what is built in: so who decides for all, the leader, says
// which slot it means, and nobody computes it again.)
//
// A slot is an instant, on a whole second, at which a job is to be launched. Where the
// clocks of a time zone change:
//
//   - An expression for certain hours means the time on the clock. A time that the
//     clocks pass over gives a slot at the first instant after the gap; one that comes
//     twice gives a slot the first time only.
//   - An expression for every hour means the hours that go by: it has its slots in the
//     repeated hour, too, and none for an hour that does not exist.
//
// Expressions are those of hashicorp/cronexpr: five fields (minute, hour, day of month,
// month, day of week), a sixth for the year, with seven fields the first is the second;
// @hourly and its like. What it would misread is refused or put right here: more fields,
// ranges that go backwards, and ranges of days that end with Sunday.
//
// Example:
//
//	s, err := cron.Of(job.Periodic)
//	next := s.Next(time.Now())
package cron

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // for machines that have none

	"github.com/hashicorp/cronexpr"

	"github.com/steppe-project/steppe/model"
)

// MaxSpecs bounds the expressions of one job: every one is looked at for each slot.
const MaxSpecs = 64

// MaxSpecBytes bounds an expression: a list of all minutes and all hours fits well.
const MaxSpecBytes = 1024

// Spec is one expression.
type Spec struct {
	expr *cronexpr.Expression
	// hourly is true when every hour matches.
	hourly bool
}

// probe is where it is looked for a first slot: the calendar repeats itself every 28
// years, so what has none by the last year that expressions know never has one.
var probe = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Parse reads an expression. It fails in words for the job's author, also when the
// expression never comes true.
func Parse(text string) (*Spec, error) {
	if len(text) > MaxSpecBytes {
		return nil, fmt.Errorf("a cron expression of %d bytes is longer than %d", len(text), MaxSpecBytes)
	}
	f, err := fieldsOf(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a cron expression: %w", text, err)
	}
	expr, err := cronexpr.Parse(strings.Join(f, " "))
	if err != nil {
		return nil, fmt.Errorf("%q is not a cron expression: %w", text, err)
	}
	s := &Spec{expr: expr, hourly: f.everyHour()}
	if s.expr.Next(probe).IsZero() {
		return nil, fmt.Errorf("%q never comes true", text)
	}
	return s, nil
}

// Zone is the time zone of a name; "" is UTC. That of the machine is not one: servers
// may differ in it.
func Zone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("the time zone %q is another one on each server", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q", name)
	}
	return zone, nil
}

// Schedule is when a job is launched: whenever one of its expressions comes true.
type Schedule struct {
	specs []*Spec
	zone  *time.Location
}

// Of is the schedule of a periodic block, whether it is enabled or not.
func Of(c *model.PeriodicConfig) (*Schedule, error) {
	zone, err := Zone(c.TimeZone)
	if err != nil {
		return nil, err
	}
	s := &Schedule{zone: zone}
	texts := c.Specs
	if c.Spec != "" {
		texts = []string{c.Spec}
	}
	for _, text := range texts {
		spec, err := Parse(text)
		if err != nil {
			return nil, err
		}
		s.specs = append(s.specs, spec)
	}
	return s, nil
}

// Next is the first slot after an instant, the zero time when there is none any more.
func (s *Schedule) Next(after time.Time) time.Time {
	var next time.Time
	for _, spec := range s.specs {
		if at := spec.Next(after, s.zone); next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
}

// Slots are those after an instant and not after another, in order, at most so many.
func (s *Schedule) Slots(after, until time.Time, most int) []time.Time {
	var out []time.Time
	for at := s.Next(after); !at.IsZero() && !at.After(until) && len(out) < most; at = s.Next(at) {
		out = append(out, at)
	}
	return out
}

// Last is the newest slot after an instant and not after another, the zero time when
// there is none. It takes no longer for a year of seconds than for a day.
func (s *Schedule) Last(after, until time.Time) time.Time {
	within := func(t time.Time) bool {
		next := s.Next(t)
		return !next.IsZero() && !next.After(until)
	}
	low, high := after.Unix(), until.Unix() // a slot comes after low, none after high
	if !within(after) {
		return time.Time{}
	}
	for high-low > 1 {
		if middle := low + (high-low)/2; within(time.Unix(middle, 0)) {
			low = middle
		} else {
			high = middle
		}
	}
	return s.Next(time.Unix(max(low, after.Unix()), 0))
}

// Next is the first slot after an instant in a zone, or the zero time.
//
// The expression is evaluated on a clock that never changes, which shows the zone's
// wall time. Between two changes of the zone's clocks both differ by a constant, so
// the way leads from one change to the next.
func (s *Spec) Next(after time.Time, zone *time.Location) time.Time {
	at := after.In(zone)
	from := wall(at) // what is looked for comes later than this on the wall
	for {
		begin, end := at.ZoneBounds()
		if !s.hourly && !begin.IsZero() {
			// What the clocks showed before they were set back has had its slots.
			if shown := wall(begin.Add(-time.Second)); shown.After(from) {
				from = shown
			}
		}
		next := s.expr.Next(from)
		if next.IsZero() {
			return time.Time{}
		}
		slot := time.Unix(next.Unix()-offset(at), 0).In(zone)
		if end.IsZero() || slot.Before(end) {
			return slot
		}
		if !s.hourly && next.Before(wall(end)) {
			return end // the clocks pass over it
		}
		at, from = end, wall(end).Add(-time.Second)
	}
}

// offset is how far (s) the clocks of t's zone are ahead of UTC.
func offset(t time.Time) int64 {
	_, seconds := t.Zone()
	return int64(seconds)
}

// wall is what the clocks of t's zone show, on a clock that never changes.
func wall(t time.Time) time.Time { return time.Unix(t.Unix()+offset(t), 0).UTC() }

// NextLaunch is when a job is launched next by its schedule, the zero time for never:
// because it has none, is stopped, or launches are disabled.
func NextLaunch(j *model.Job, now time.Time) time.Time {
	if j.Periodic == nil || j.Stop || !j.Periodic.Enabled {
		return time.Time{}
	}
	s, err := Of(j.Periodic)
	if err != nil {
		return time.Time{}
	}
	return s.Next(now)
}
