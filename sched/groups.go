package sched

import (
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/explain"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// group turns what one group needs into placements and updates.
func (p *process) group(g *reconcile.Group) {
	p.hold(g)
	if slices.ContainsFunc(g.Places, func(want reconcile.Place) bool { return want.Past }) {
		if g = p.past(g); len(g.InPlace) == 0 && len(g.Places) == 0 {
			return
		}
	}
	if len(g.InPlace) == 0 && len(g.Places) == 0 {
		if g.Held == 0 {
			p.nowhere(g)
		}
		return
	}
	a := p.ask(g.Group)
	out := &model.PlanGroup{TaskGroup: g.Group.Name, Resources: p.board.Shared(a.Ask)}
	for _, alloc := range g.InPlace {
		update := &model.InPlaceUpdate{ID: alloc.ID}
		if out.Resources == nil {
			update.Resources = alloc.AllocatedResources // its ports and cores are kept
		}
		out.InPlace = append(out.InPlace, update)
	}
	if len(g.Places) > 0 {
		out.Placements = make([]*model.Placement, 0, len(g.Places))
		if g.Places[0].NodeID != "" {
			p.placeOnNodes(g, a, out)
		} else {
			p.placeAnywhere(g, a, out)
		}
	}
	if len(out.InPlace) > 0 || len(out.Placements) > 0 {
		p.plan.Groups = append(p.plan.Groups, out)
	}
}

// placeAnywhere gives each instance the best node.
func (p *process) placeAnywhere(g *reconcile.Group, a *ask, out *model.PlanGroup) {
	s := p.board.Select(a.Ask)
	out.Metrics = s.Metrics()
	yield, failures := p.yield(a, s.Checker), 0
	for i := range g.Places {
		want := &g.Places[i]
		if want.Frees {
			s.Free(want.Previous)
		}
		choice, victims := next(s, want), []place.Victim(nil)
		if choice == nil && yield != nil && !want.First {
			choice, victims = s.Yield(yield)
		}
		if choice != nil {
			p.placed(want, choice, victims, out)
			continue
		}
		if want.Frees {
			s.Restore(want.Previous)
		}
		failures++
	}
	p.unplaced(g.Group.Name, a, s.Checker, failures, explain.Remedies)
}

// next is the node that an instance had, where it may still have it; else the best one.
func next(s *place.Selector, want *reconcile.Place) *place.Choice {
	if want.Prefer != "" && !slices.Contains(want.Avoid, want.Prefer) {
		if choice := s.Prefer(want.Prefer); choice != nil {
			return choice
		}
	}
	return s.Next(want.Avoid)
}

// placeOnNodes places the instances of a system job, each on its node.
func (p *process) placeOnNodes(g *reconcile.Group, a *ask, out *model.PlanGroup) {
	yield, failures := p.yield(a, a.check), 0
	for i := range g.Places {
		want := &g.Places[i]
		if want.Frees {
			p.board.Free(want.Previous)
		}
		choice, _ := a.check.On(want.NodeID)
		var victims []place.Victim
		if choice == nil && yield != nil {
			choice, victims = yield.On(want.NodeID)
		}
		if choice != nil {
			p.placed(want, choice, victims, out)
			continue
		}
		if want.Frees {
			p.board.Restore(want.Previous)
		}
		failures++
	}
	out.Metrics = a.check.Metrics()
	p.unplaced(g.Group.Name, a, a.check, failures, explain.OnNodes)
}

// placed adds one placement, the stop of what it replaces, and those of what has
// to give way to it; of one that comes later, the stop alone.
func (p *process) placed(want *reconcile.Place, choice *place.Choice, victims []place.Victim, out *model.PlanGroup) {
	if want.First {
		p.stop(want.Stop, "")
		return
	}
	placement := &model.Placement{
		ID: p.ids.next(), Index: want.Index, NodeID: choice.NodeID,
		RescheduleTracker: want.Tracker, Resources: choice.Resources, Canary: want.Canary,
	}
	if want.Previous != nil {
		placement.PreviousAllocation = want.Previous.ID
	}
	if want.Stop != nil {
		p.stop(want.Stop, placement.ID)
		p.replaced[out.TaskGroup] = true
	}
	p.preempted(placement, victims)
	out.Placements = append(out.Placements, placement)
}

// unplaced records why instances of a group could not be placed, and what
// would change that.
func (p *process) unplaced(group string, a *ask, k *place.Checker, failures int, remedies func(*place.Board, *place.Ask) []string) {
	if failures == 0 {
		return
	}
	m := k.Metrics()
	m.CoalescedFailures = failures - 1
	if !p.env.Terse {
		m.Remedies = remedies(p.board, a.Ask)
	}
	p.fails(group, m)
	p.eval.QueuedAllocations[group] += failures
	p.failed = append(p.failed, k)
}

// fails notes why instances of a group are missing, beside what was noted before.
func (p *process) fails(group string, m *model.AllocationMetric) {
	if p.eval.FailedTGAllocs == nil {
		p.eval.FailedTGAllocs = make(map[string]*model.AllocationMetric)
	}
	if before := p.eval.FailedTGAllocs[group]; before != nil {
		both := *m
		both.Waits, both.CoalescedFailures = before.Waits, m.CoalescedFailures+1+before.CoalescedFailures
		m = &both
	}
	p.eval.FailedTGAllocs[group] = m
}

// hold records what a group does not begin because of what it depends on.
func (p *process) hold(g *reconcile.Group) {
	w := p.waits[g.Group.Name]
	if g.Held == 0 || w == nil {
		return
	}
	p.held = true
	p.fails(g.Group.Name, &model.AllocationMetric{CoalescedFailures: g.Held - 1, Waits: w.For})
	if w.Kind == reconcile.ToStart {
		p.eval.QueuedAllocations[g.Group.Name] += g.Held
	}
}

// nowhere reports a group of a system job that no node at all may run: there is
// nothing to place, but somebody waits for it.
func (p *process) nowhere(g *reconcile.Group) {
	system := p.job.Type == model.JobTypeSystem || p.job.Type == model.JobTypeSysbatch
	if !system || g.Group.Count == 0 || g.Ignored > 0 {
		return
	}
	a := p.ask(g.Group)
	p.unplaced(g.Group.Name, a, a.check, 1, explain.Remedies)
	p.eval.QueuedAllocations[g.Group.Name] = 0
}
