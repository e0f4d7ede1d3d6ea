package reconcile

import (
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// slot is what exists of one name, of which at most one field is acted on:
// the first that is set.
type slot struct {
	live   *model.Allocation // pending or running on a node that is there
	done   *model.Allocation // of a batch: completed
	held   *model.Allocation // its node is down, and may not have stopped it yet
	leaves *model.Allocation // runs on a node that is drained, until it has another place
	failed *model.Allocation // ended by itself, not yet replaced
	gone   *model.Allocation // lost or moved away, to be replaced
}

// group reconciles a group of a service or batch job.
func (r *run) group(g *model.TaskGroup, allocs []*model.Allocation) *Group {
	out := &Group{Group: g}
	roll := r.newRoll(g)
	slots, canaries := make([]slot, max(0, g.Count)), make([]slot, roll.canaries())
	for _, a := range allocs {
		switch {
		case !deploy.Canary(a) || !r.in.Deploys:
			r.sort(out, slots, a)
		case roll.waits() && a.DeploymentID == r.deployment.ID:
			r.sort(out, canaries, a)
		default:
			r.end(a, DescNotPromoted)
		}
	}
	roll.mixed = slices.ContainsFunc(slots, func(s slot) bool { return s.outdated(roll) })
	for i := range canaries {
		r.canary(out, roll, i, &canaries[i])
	}
	for i := range slots {
		r.name(out, roll, i, &slots[i])
	}
	r.wait(out)
	fresh := len(out.Places)
	roll.replace(out)
	r.gang(out, roll, slots, allocs)
	out.Counts.Place += uint64(fresh) - out.Counts.Migrate - out.Counts.Canary
	out.Counts.InPlaceUpdate = uint64(len(out.InPlace))
	out.Counts.DestructiveUpdate = uint64(len(out.Places) - fresh)
	out.Counts.Ignore = uint64(out.Ignored)
	return out
}

// outdated tells whether an older version is what a name has, and keeps: what has ended
// and is replaced by the present version does not count, or this decision would leave
// names empty that the next one fills.
func (s *slot) outdated(roll *roll) bool {
	for _, a := range []*model.Allocation{s.live, s.held} {
		if a != nil {
			return roll.outdated(a)
		}
	}
	for _, a := range []*model.Allocation{s.leaves, s.failed, s.gone} {
		if a != nil {
			return roll.past(a)
		}
	}
	return false
}

// name decides on one of a group's names.
func (r *run) name(out *Group, roll *roll, i int, s *slot) {
	if s.held != nil && (s.live != nil || s.done != nil) {
		r.end(s.held, "") // it is not waited for
	}
	if s.leaves != nil && s.live != nil {
		r.end(s.leaves, DescMigrating)
	}
	switch {
	case s.live != nil:
		r.keep(out, roll, s.live)
	case s.done != nil:
		out.Ignored++
	case s.held != nil:
		if r.current(s.held) {
			roll.unhealthy++ // as much as one that has not started
		}
		r.await(out, s.held)
	case s.leaves != nil:
		roll.moves++
		out.Counts.Migrate++
		out.Places = append(out.Places, Place{
			Index: i, Previous: s.leaves, Past: roll.past(s.leaves), Stop: &Stop{Alloc: s.leaves, Description: DescMigrating},
		})
	case s.failed != nil:
		r.revive(out, roll, i, s.failed)
	case s.gone != nil:
		p := Place{Index: i, Previous: s.gone, Past: roll.past(s.gone)}
		if moving(s.gone) {
			out.Counts.Migrate++
		}
		if s.gone.RescheduleTracker != nil && (p.Past || !r.outdated(s.gone)) {
			p.Tracker = s.gone.RescheduleTracker
		}
		out.Places = append(out.Places, p)
	case roll.begins():
		out.Places = append(out.Places, Place{Index: i})
	}
}

// await leaves a name to an allocation of which nobody knows whether it has ended.
func (r *run) await(out *Group, a *model.Allocation) {
	if a.ServerTerminal() {
		r.end(a, "") // lost, as it says from now on
	}
	out.Ignored++
	r.out.Later = append(r.out.Later, Later{Alloc: a, At: r.goneAt(a), Description: DescHeld})
}

// canary decides on one of the canaries of a group that waits for their promotion.
func (r *run) canary(out *Group, roll *roll, i int, s *slot) {
	before := len(out.Places)
	switch {
	case s.live != nil || s.done != nil || s.held != nil || s.leaves != nil || s.failed != nil || s.gone != nil:
		r.name(out, roll, i, s)
	case r.deployment.Status == model.DeploymentRunning:
		out.Places = append(out.Places, Place{Index: i})
		out.Counts.Canary++
	}
	for p := before; p < len(out.Places); p++ {
		out.Places[p].Canary = true
	}
}

// sort puts an allocation into the slot of its name, or ends it. The
// allocations come oldest first.
func (r *run) sort(out *Group, slots []slot, a *model.Allocation) {
	i := a.Index()
	wanted := i >= 0 && i < len(slots)
	switch {
	case wanted && a.NextAllocation == "" && endedUnheard(a) && r.unsure(a):
		r.hold(&slots[i], a)
	case a.ServerTerminal():
		r.end(a, "")
		if wanted && a.NextAllocation == "" && awaited(a) {
			slots[i].gone = a
		}
	case a.ClientStatus == model.ClientComplete && r.batch:
		if wanted && !r.outdated(a) {
			slots[i].done = a
		}
	case a.ClientStatus == model.ClientLost:
		if wanted && a.NextAllocation == "" {
			slots[i].gone = a
		}
	case a.ClientTerminal():
		if wanted && a.NextAllocation == "" {
			slots[i].failed = a
		}
	case wanted && r.unsure(a):
		r.hold(&slots[i], a)
	case r.lost(a) != "":
		r.end(a, "")
		if wanted {
			slots[i].gone = a
		}
	case !wanted:
		r.end(a, DescNotNeeded)
		out.Counts.Stop++
	case moving(a) && r.patient(a):
		if s := &slots[i]; s.leaves != nil {
			r.end(a, DescDuplicate)
			out.Counts.Stop++
		} else {
			s.leaves = a
		}
	case moving(a):
		r.end(a, DescMigrating)
		if !flag(a.DesiredTransition.MigrateDisablePlacement) {
			slots[i].gone = a
		}
	default:
		r.occupy(out, &slots[i], a)
	}
}

// endedUnheard tells whether the servers ended an allocation, for whatever reason,
// and its node has not said that it has.
func endedUnheard(a *model.Allocation) bool {
	return a.ClientStatus == model.ClientLost || a.ServerTerminal() && !a.ClientTerminal()
}

// hold has a name wait for an allocation; of two, for the one that ends later.
func (r *run) hold(s *slot, a *model.Allocation) {
	if s.held == nil {
		s.held = a
		return
	}
	loser := a
	if r.goneAt(a).After(r.goneAt(s.held)) {
		loser, s.held = s.held, a
	}
	r.end(loser, "")
}

// awaited tells whether a stopped allocation still waits for its replacement.
func awaited(a *model.Allocation) bool {
	if a.DesiredStatus == model.DesiredEvict {
		return true
	}
	switch a.DesiredDescription {
	case DescLost, DescNodeGone, DescMigrating, DescGangPartial, DescGangBroken:
		return true
	}
	return false
}

// occupy gives a name to a live allocation; of two, the better one has it.
func (r *run) occupy(out *Group, s *slot, a *model.Allocation) {
	if s.live != nil {
		loser := a
		if r.better(a, s.live) {
			loser, s.live = s.live, a
		}
		r.end(loser, DescDuplicate)
		out.Counts.Stop++
		return
	}
	s.live = a
}

// better prefers the present version, then what runs, then the older.
func (r *run) better(a, b *model.Allocation) bool {
	if x, y := r.current(a), r.current(b); x != y {
		return x
	}
	return a.ClientStatus == model.ClientRunning && b.ClientStatus != model.ClientRunning
}

// keep leaves a live allocation alone, or brings it to the present version. One that has
// it and is not in the deployment yet joins it.
func (r *run) keep(out *Group, roll *roll, a *model.Allocation) {
	switch {
	case r.current(a) && roll.joins(a):
		out.InPlace = append(out.InPlace, a)
	case r.current(a):
		out.Ignored++
	case !r.outdated(a) && r.in.InPlace(a, roll.group):
		out.InPlace = append(out.InPlace, a)
	default:
		roll.old = append(roll.old, a)
		return
	}
	roll.observe(a)
}

// revive replaces a failed allocation now, later or not at all.
func (r *run) revive(out *Group, roll *roll, i int, a *model.Allocation) {
	past := roll.past(a)
	if r.outdated(a) && !past {
		out.Places = append(out.Places, Place{Index: i, Previous: a, Stop: &Stop{Alloc: a, Description: DescUpdating}})
		return
	}
	roll.paused = true
	policy := policyOf(r.in.Job, roll.group)
	if past {
		policy = policyOf(a.Job, Find(a.Job, roll.group.Name))
	}
	at, ok := r.reschedule(a, policy)
	switch {
	case !ok:
		out.Ignored++
		roll.broken = true
	case at.After(r.in.Now):
		out.Ignored++
		out.Counts.RescheduleLater++
		r.out.Later = append(r.out.Later, Later{Alloc: a, At: at, Description: DescDelayed})
	default:
		tracker, avoid := r.track(a, policy)
		out.Counts.RescheduleNow++
		out.Places = append(out.Places, Place{
			Index: i, Previous: a, Past: past, Tracker: tracker, Avoid: avoid,
			Stop: &Stop{Alloc: a, Description: DescRescheduled},
		})
	}
}
