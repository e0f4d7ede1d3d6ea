// Package deadline is the bound on how long the work of batch and sysbatch jobs may
// take: max_run_duration of a group. It is part of the model: pure data and rules.
//
// An allocation whose first main task started so long ago is ended by its node, as
// any stop would end it, and has failed. It is a property of the work, not of a
// machine: nothing is started in its place, on that node or elsewhere, unless an
// operator asks for it.
//
// Invariants: what a node ended for want of time says so in the state of its tasks
// (Overran); who reschedules asks for that, and never matches the words.
//
// Example:
//
//	if deadline.Overran(a) { /* it is not replaced */ }
package deadline

import (
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
)

// EventOverran is the type of the event of tasks that end for want of time.
const EventOverran = "Max Run Duration Exceeded"

// Overran tells whether an allocation was ended because it had run for too long.
func Overran(a *model.Allocation) bool {
	if a.ClientStatus != model.ClientFailed {
		return false
	}
	for _, t := range a.TaskStates {
		if t != nil && t.Overran {
			return true
		}
	}
	return false
}

// Words say of an allocation, or of a task, why it was ended.
func Words(bound time.Duration) string {
	return "ran longer than max_run_duration (" + Text(bound) + ")"
}

// Text is a duration as users write it: 1h30m, not 1h30m0s.
func Text(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Problem tells what is wrong with a group's bound, and what to do; "" for nothing. A
// bound of 0 is none.
func Problem(j *model.Job, g *model.TaskGroup) (message, hint string) {
	switch batch := j.Type == model.JobTypeBatch || j.Type == model.JobTypeSysbatch; {
	case g.MaxRunDuration == 0:
		return "", ""
	case !batch:
		return "max_run_duration is for work that ends, and a " + j.Type + " job is meant to stay",
			`delete it, or make this work a job of type = "batch" or "sysbatch"`
	case g.MaxRunDuration < 0:
		return "max_run_duration must be above 0, but is " + g.MaxRunDuration.String(), `such as "30m"; without it there is no bound`
	}
	return "", ""
}
