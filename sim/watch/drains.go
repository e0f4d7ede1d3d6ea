package watch

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/drain"
)

// Emptied tells whether a change of a node is the end of a drain that is complete.
func Emptied(before, after *model.Node) bool {
	return before != nil && before.DrainStrategy != nil && after.DrainStrategy == nil && after.LastDrain.Status == drain.Complete
}

// MayStay tells whether an allocation may still run when the drain of its node is
// complete: a system job that was to stay, and what was given up for lost while the
// node was away; and what the state does not know, which nobody asked for.
func MayStay(a *model.Allocation, before *model.Node) bool {
	return a == nil || a.ClientStatus == model.ClientLost || before.DrainStrategy.IgnoreSystemJobs && System(a)
}
