// Package harm hurts a run at random, one fault after the other, and mends all of it
// when the time is over.
//
// Example:
//
//	h := harm.New(engine, kinds)
//	h.Until(end, settle)
package harm

import (
	"slices"
	"time"

	"github.com/steppe-project/steppe/sim/engine"
)

// Fault is a kind of harm.
type Fault struct {
	Name   string
	Weight int
	// Min and Max are how long it lasts.
	Min, Max time.Duration
	// Start does it and returns how it is undone; nil when it does not apply now, or is
	// over at once.
	Start func() (undo func())
}

// aftermath is for how long what a fault has done is still being dealt with.
const aftermath = 5 * time.Second

// Harm is what happens to one run.
type Harm struct {
	// Count is how often each kind happened.
	Count map[string]int

	e      *engine.Engine
	kinds  []Fault
	total  int
	undone map[uint64]func()
	order  []uint64
	next   uint64
	on     map[string]int       // of each kind
	lately map[string]time.Time // when one of each kind was last begun or mended
}

// New makes one of these kinds.
func New(e *engine.Engine, kinds []Fault) *Harm {
	h := &Harm{e: e, kinds: kinds, Count: map[string]int{}, undone: map[uint64]func(){}, on: map[string]int{}, lately: map[string]time.Time{}}
	for _, f := range kinds {
		h.total += f.Weight
	}
	return h
}

// Until does one thing after the other until the time is over, then mends all and calls
// calm.
func (h *Harm) Until(until time.Time, calm func()) {
	// A run is hurt often or seldom.
	pace := h.e.Between(300*time.Millisecond, 6*time.Second)
	var one func()
	one = func() {
		if !h.e.Now.Before(until) || len(h.kinds) == 0 {
			h.mend(until, calm)
			return
		}
		h.hurt(h.e.Rand.IntN(h.total))
		h.e.After(h.e.Between(0, 2*pace), one)
	}
	h.e.After(h.e.Between(5*time.Second, 8*time.Second), one)
}

// hurt does the kind that a roll means.
func (h *Harm) hurt(roll int) {
	i := slices.IndexFunc(h.kinds, func(f Fault) bool {
		roll -= f.Weight
		return roll < 0
	})
	f := h.kinds[i]
	h.e.Tracef("FAULT %s", f.Name)
	h.Count[f.Name]++
	h.lately[f.Name] = h.e.Now
	undo := f.Start()
	if undo == nil {
		return
	}
	h.next++
	id := h.next
	h.on[f.Name]++
	h.order = append(h.order, id)
	h.undone[id] = func() {
		delete(h.undone, id)
		h.on[f.Name]--
		h.lately[f.Name] = h.e.Now
		undo()
	}
	h.e.After(h.e.Between(f.Min, f.Max), func() {
		if undo := h.undone[id]; undo != nil {
			h.e.Tracef("MENDED %s", f.Name)
			undo()
		}
	})
}

// On are the kinds that are on, or were a moment ago.
func (h *Harm) On() []string {
	var out []string
	for _, f := range h.kinds {
		if at, ok := h.lately[f.Name]; h.on[f.Name] > 0 || ok && h.e.Now.Sub(at) < aftermath {
			out = append(out, f.Name)
		}
	}
	return out
}

// mend undoes what is left at the end.
func (h *Harm) mend(until time.Time, calm func()) {
	if h.e.Now.Before(until) {
		h.e.At(until, func() { h.mend(until, calm) })
		return
	}
	for _, id := range h.order {
		if undo := h.undone[id]; undo != nil {
			undo()
		}
	}
	calm()
}
