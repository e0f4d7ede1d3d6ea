package sched

import (
	"maps"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/gang"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// gang places what is missing of a gang together, or nothing of it, and stops the rest
// of one that was not whole for too long.
func (p *process) gang(g *reconcile.Group) {
	s := g.Gang
	placed := !s.Broken && g.Whole() && p.together(g)
	switch {
	case s.Broken:
		p.disband(g, reconcile.DescGangBroken)
		return
	case placed && len(g.Places) == 0:
		p.whole(g.Group.Name)
	case placed:
	case s.Partial() && p.partialFor(g) >= g.Group.Gang.MaxPartial:
		p.disband(g, reconcile.DescGangPartial)
		return
	case s.Partial():
		p.awaitWhole(g)
	}
	if !placed && p.eval.QueuedAllocations[g.Group.Name] == 0 {
		p.eval.QueuedAllocations[g.Group.Name] = len(g.Places) // they wait for one that is due later
	}
	if len(g.InPlace) > 0 {
		rest := *g
		rest.Places = nil
		p.group(&rest)
	}
}

// together places all that a gang needs, or nothing: it is tried on a fork of the board.
// What is to be replaced leaves its room before, because all of it goes at once.
func (p *process) together(g *reconcile.Group) bool {
	if len(g.Places) == 0 {
		return true
	}
	undo, before := p.attempt(), len(p.plan.Groups)
	try := *g
	try.InPlace, try.Places = nil, append([]reconcile.Place(nil), g.Places...)
	for i := range try.Places {
		if want := &try.Places[i]; want.Frees {
			p.board.Free(want.Previous)
			want.Frees = false
		}
	}
	p.group(&try)
	n := 0
	for _, out := range p.plan.Groups[before:] {
		out.Together = true
		n += len(out.Placements)
	}
	if n == len(g.Places) {
		return true
	}
	undo()
	m := p.eval.FailedTGAllocs[g.Group.Name]
	m.CoalescedFailures = len(g.Places) - 1
	m.Gang = gang.Fits(g.Gang.Want, g.Gang.Stays+n)
	p.eval.QueuedAllocations[g.Group.Name] = len(g.Places)
	p.lacking = append(p.lacking, m.Gang)
	return false
}

// attempt has what follows be undone by the function that it returns, but for the reasons
// why something could not be placed.
func (p *process) attempt() (undo func()) {
	was, stops, groups := *p, len(p.plan.Stops), len(p.plan.Groups)
	p.board, p.asks = p.board.Fork(), map[askKey]*ask{}
	p.replaced, p.evicted, p.displaced = maps.Clone(p.replaced), maps.Clone(p.evicted), maps.Clone(p.displaced)
	return func() {
		p.board, p.asks = was.board, was.asks
		p.replaced, p.evicted, p.displaced = was.replaced, was.evicted, was.displaced
		p.plan.Stops, p.plan.Groups = p.plan.Stops[:stops], p.plan.Groups[:groups]
	}
}

// disband stops what there is of a gang. It is placed again when all of it fits: what is
// freed wakes the evaluation that waits for that.
func (p *process) disband(g *reconcile.Group, why string) {
	for _, a := range g.Gang.Live {
		p.stop(&reconcile.Stop{Alloc: a, Description: why}, "")
		p.board.Free(a)
	}
	g.Counts.Stop += uint64(len(g.Gang.Live))
	if len(g.Gang.Live) > 0 {
		p.eval.StatusDescription = "gang " + g.Group.Name + ": " + strings.Replace(why, "alloc", "the rest", 1)
	}
}

// clocks are the evaluations that wait for a gang to be partial for too long: those made
// since its newest instance was placed. What placed that made it whole; one that found it
// whole without that has been completed.
func (p *process) clocks(group string) []*model.Evaluation {
	placed := uint64(0)
	for _, a := range p.allocs {
		if a.TaskGroup == group {
			placed = max(placed, a.CreateIndex)
		}
	}
	var out []*model.Evaluation
	for _, e := range p.state.EvalsByJob(p.eval.Namespace, p.eval.JobID) {
		if e.Gang == group && e.Status != model.EvalComplete && e.CreateIndex > placed {
			out = append(out, e)
		}
	}
	return out
}

// partialFor is for how long a gang has been known to be partial.
func (p *process) partialFor(g *reconcile.Group) time.Duration {
	since := p.env.Now
	for _, e := range p.clocks(g.Group.Name) {
		if at := time.Unix(0, e.CreateTime); at.Before(since) {
			since = at
		}
	}
	return p.env.Now.Sub(since)
}

// awaitWhole has a partial gang looked at when its time is over.
func (p *process) awaitWhole(g *reconcile.Group) {
	since := p.env.Now.Add(-p.partialFor(g))
	at := since.Add(g.Group.Gang.MaxPartial)
	for _, e := range p.clocks(g.Group.Name) {
		if e.Status == model.EvalPending && e.WaitUntil.After(p.env.Now) && !e.WaitUntil.After(at) {
			return
		}
	}
	e := p.newEval(model.TriggerMaxPartial, at.UTC())
	e.CreateTime = since.UnixNano() // max_partial may have been less when it was last waited for
	e.Gang, e.StatusDescription = g.Group.Name, gang.Waits(g.Group.Name, g.Gang.There, g.Gang.Size)
}

// whole completes what waits for a gang that came back as a whole.
func (p *process) whole(group string) {
	for _, e := range p.clocks(group) {
		if e.Status == model.EvalPending && e.ID != p.eval.ID {
			done := *e
			done.Status, done.StatusDescription = model.EvalComplete, "the gang is whole again"
			done.ModifyTime = p.env.Now.UnixNano()
			p.plan.NewEvals = append(p.plan.NewEvals, &done)
		}
	}
}
