package reconcile

import (
	"github.com/steppe-project/steppe/model"
)

// node is what exists of a system group on one node.
type node struct {
	live *model.Allocation
	prev *model.Allocation // ended, to be replaced
	held bool              // done, or failed and left so
}

// system reconciles a group of a system or sysbatch job: one instance on every
// node that suits it. A failed one is replaced by the next evaluation that was
// not caused by the failure itself: its restart policy has just given up, and
// to start it again at once would only repeat that.
func (r *run) system(g *model.TaskGroup, allocs []*model.Allocation) *Group {
	out := &Group{Group: g}
	nodes := make(map[string]*node)
	for _, a := range allocs {
		n := nodes[a.NodeID]
		if n == nil {
			n = &node{}
			nodes[a.NodeID] = n
		}
		r.sortSystem(out, n, g, a)
	}
	var targets []string
	if g.Count > 0 {
		targets = r.in.Targets(g)
	}
	isTarget := make(map[string]bool, len(targets))
	for _, id := range targets {
		isTarget[id] = true
	}
	roll := &roll{run: r, group: g, onNode: true}
	for _, a := range allocs {
		if nodes[a.NodeID].live == a {
			r.keepSystem(out, roll, a, isTarget[a.NodeID])
		}
	}
	for _, id := range targets {
		n := nodes[id]
		switch {
		case n == nil:
			out.Places = append(out.Places, Place{NodeID: id})
		case n.live == nil && n.held:
			out.Ignored++
		case n.live == nil:
			out.Places = append(out.Places, Place{NodeID: id, Previous: n.prev})
		}
	}
	r.wait(out)
	fresh := len(out.Places)
	roll.replace(out)
	out.Counts.Place += uint64(fresh)
	out.Counts.InPlaceUpdate = uint64(len(out.InPlace))
	out.Counts.DestructiveUpdate = uint64(len(out.Places) - fresh)
	out.Counts.Ignore = uint64(out.Ignored)
	return out
}

// sortSystem notes what an allocation is to its node, or ends it.
func (r *run) sortSystem(out *Group, n *node, g *model.TaskGroup, a *model.Allocation) {
	switch {
	case a.ServerTerminal():
		r.end(a, "")
	case a.ClientTerminal():
		if a.NextAllocation != "" || r.outdated(a) {
			return
		}
		n.prev = a
		switch {
		case flag(a.DesiredTransition.ForceReschedule):
		case r.batch && a.ClientStatus != model.ClientLost:
			n.held = true
		case a.ClientStatus == model.ClientFailed && r.in.Eval.TriggeredBy == model.TriggerRetryFailed:
			n.held = true
		}
	case r.lost(a) != "":
		r.end(a, "")
	case g.Count <= 0:
		r.end(a, DescNotNeeded)
		out.Counts.Stop++
	case moving(a):
		r.end(a, DescMigrating)
		n.prev = a
		n.held = n.held || flag(a.DesiredTransition.MigrateDisablePlacement)
	case n.live != nil:
		loser := a
		if r.better(a, n.live) {
			loser, n.live = n.live, a
		}
		r.end(loser, DescDuplicate)
		out.Counts.Stop++
	default:
		n.live = a
	}
}

// keepSystem leaves a live instance alone, brings it to the present version, or
// stops it because its node does not suit the job any more. On a node that
// takes no new work an older version goes on.
func (r *run) keepSystem(out *Group, roll *roll, a *model.Allocation, target bool) {
	suits := target || r.in.InPlace(a, roll.group)
	switch {
	case !suits:
		r.end(a, DescUnfit)
		out.Counts.Stop++
		return
	case r.current(a):
		out.Ignored++
	case !r.outdated(a):
		out.InPlace = append(out.InPlace, a)
	case target:
		roll.old = append(roll.old, a)
		return
	default:
		out.Ignored++
		return
	}
	roll.observe(a)
}
