// Package grant is what allocations are given of their nodes. It is part of the model:
// pure rules.
//
// Example:
//
//	next.AllocatedResources = grant.KeepPorts(shared, now.AllocatedResources)
package grant

import (
	"slices"

	"github.com/steppe-project/steppe/model"
)

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

// Refused are the placements of a plan that do not get the room that was to be made for
// them, by id: what was to give way to them is gone or gives way already, and its room may
// be another's. With wide, so are all others of the plan on that node: they may count on
// the same room. alloc is nil for an allocation that is not there.
func Refused(plan *model.Plan, alloc func(id string) *model.Allocation, wide bool) map[string]bool {
	var refused, nodes map[string]bool
	each := func(visit func(p *model.Placement)) {
		for _, g := range plan.Groups {
			for i := 0; g != nil && i < len(g.Placements); i++ {
				if p := g.Placements[i]; p != nil {
					visit(p)
				}
			}
		}
	}
	gone := func(id string) bool { victim := alloc(id); return victim == nil || victim.ServerTerminal() }
	each(func(p *model.Placement) {
		if slices.ContainsFunc(p.Preempts, gone) && alloc(p.ID) == nil {
			set(&refused, p.ID)
			set(&nodes, p.NodeID)
		}
	})
	if wide && len(nodes) > 0 {
		each(func(p *model.Placement) {
			if nodes[p.NodeID] {
				set(&refused, p.ID)
			}
		})
	}
	return refused
}

func set(m *map[string]bool, key string) {
	if *m == nil {
		*m = make(map[string]bool)
	}
	(*m)[key] = true
}
