// Package course is the course of what nodes say of allocations: it only moves forward.
// It is part of the model: pure.
//
//	pending ─► running ⇄ unknown
//	      └─────┴───┴─► complete | failed | lost
//
// Contract: a final status stays.
//
// Example:
//
//	if course.Forward(alloc.ClientStatus, report.ClientStatus) { ... }
package course

import "github.com/steppe-project/steppe/model"

// statuses are the known client statuses with their step: observed status only moves to
// the same or a later step.
var statuses = map[string]struct {
	name string // one string for all allocations
	step int
}{
	model.ClientPending:  {model.ClientPending, 0},
	model.ClientRunning:  {model.ClientRunning, 1},
	model.ClientUnknown:  {model.ClientUnknown, 1},
	model.ClientComplete: {model.ClientComplete, 2},
	model.ClientFailed:   {model.ClientFailed, 2},
	model.ClientLost:     {model.ClientLost, 2},
}

// Name is a status as one string for all allocations; "" for one that is not known.
func Name(s string) string { return statuses[s].name }

// Forward tells whether an allocation may go from one client status to another.
func Forward(from, to string) bool {
	next, ok := statuses[to]
	if !ok {
		return false
	}
	now := statuses[from].step
	return next.step > now || next.step == now && (now < 2 || from == to)
}
