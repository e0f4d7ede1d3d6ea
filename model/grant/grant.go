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
