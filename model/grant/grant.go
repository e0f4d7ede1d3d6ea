// Package grant is what allocations are given of their nodes. It is part of the model:
// pure rules.
//
// Example:
//
//	next.AllocatedResources = grant.KeepPorts(shared, now.AllocatedResources)
package grant

import "github.com/steppe-project/steppe/model"

// KeepPorts returns what an update in place grants, with the ports that the allocation
// holds already. Neither argument is changed.
func KeepPorts(grant, held *model.AllocatedResources) *model.AllocatedResources {
	if held == nil || len(held.Shared.Ports) == 0 || len(grant.Shared.Ports) > 0 {
		return grant
	}
	own := *grant
	own.Shared.Ports, own.Shared.Networks = held.Shared.Ports, held.Shared.Networks
	return &own
}

// Version is the job version that a placement runs: the plan's, or that of what it
// replaces (nil: it is gone); nil for none.
func Version(plan *model.Plan, job *model.Job, g *model.PlanGroup, previous *model.Allocation) *model.Job {
	switch {
	case !g.OfPrevious:
		return job
	case previous == nil || previous.JobID != plan.JobID || previous.Namespace != plan.Namespace:
		return nil
	}
	return previous.Job
}

// Refused are the placements of a plan that cannot be made, by id, with why: those with a
// fault of their own and, of a gang, all if one is. With wide, so are all others on the
// node where what was to give way to a refused one stays: they may count on its room.
func Refused(plan *model.Plan, fault func(g *model.PlanGroup, p *model.Placement) string, wide bool) map[string]string {
	r := &refusal{why: make(map[string]string), nodes: make(map[string]string), gangs: make(map[string]string)}
	each(plan, func(g *model.PlanGroup, p *model.Placement) {
		if why := fault(g, p); why != "" {
			r.refuse(g, p, why)
		}
	})
	for before := 0; len(r.why) > before; {
		before = len(r.why)
		each(plan, func(g *model.PlanGroup, p *model.Placement) {
			switch why := r.gangs[g.TaskGroup]; {
			case r.why[p.ID] != "":
			case g.Together && why != "":
				r.refuse(g, p, why)
			case wide && r.nodes[p.NodeID] != "":
				r.refuse(g, p, r.nodes[p.NodeID])
			}
		})
	}
	return r.why
}

// refusal is what is refused so far: placements, nodes on which room is not made, gangs.
type refusal struct{ why, nodes, gangs map[string]string }

func (r *refusal) refuse(g *model.PlanGroup, p *model.Placement, why string) {
	r.why[p.ID] = why
	if len(p.Preempts) > 0 {
		r.nodes[p.NodeID] = why
	}
	if g.Together {
		r.gangs[g.TaskGroup] = why
	}
}

func each(plan *model.Plan, visit func(g *model.PlanGroup, p *model.Placement)) {
	for _, g := range plan.Groups {
		for i := 0; g != nil && i < len(g.Placements); i++ {
			if p := g.Placements[i]; p != nil {
				visit(g, p)
			}
		}
	}
}
