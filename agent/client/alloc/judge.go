package alloc

import (
	"slices"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// Verdict is what an assignment means for what a node has. Pure, as all in this
// file; the simulator's nodes go by it, too.
type Verdict uint8

// The verdicts.
const (
	Nothing Verdict = iota // it is known, or over
	Start                  // it is new
	Update                 // the servers' wish has changed
)

// Judge compares an assignment with what the node has (nil for nothing). stray
// tells that something of it was found beside a lost state file. An index is
// compared for equality alone: after the servers were restored from a snapshot it
// may have gone back.
func Judge(have, next *msg.AssignedAlloc, stray bool) (Verdict, error) {
	a := next.Alloc
	if have == nil {
		if a.ClientTerminal() && !stray {
			return Nothing, nil // over, and nothing of it is here
		}
		return Start, nil
	}
	if was := have.Alloc; a.AllocModifyIndex == was.AllocModifyIndex && a.DesiredStatus == was.DesiredStatus {
		return Nothing, nil
	}
	if groupOf(next) == nil {
		return Nothing, model.Errorf(model.CodeInvalid, "allocation %s names group %q, which its job does not have", a.ID, a.TaskGroup)
	}
	return Update, nil
}

// Unassigned is the wish for an allocation that the servers do not want here any
// more: to stop. Nil when they wished that before.
func Unassigned(have *msg.AssignedAlloc) *msg.AssignedAlloc {
	if have.Alloc.ServerTerminal() {
		return nil
	}
	gone := *have.Alloc
	gone.DesiredStatus, gone.DesiredDescription = model.DesiredStop, "the servers do not know it any more"
	return &msg.AssignedAlloc{Alloc: &gone, Job: have.Job}
}

// MustWait tells whether a may start only when b, which has not ended on this
// node, has: it replaces b, or was given what b holds.
func MustWait(a, b *model.Allocation) bool {
	return b.ID == a.PreviousAllocation || slices.Contains(a.PreemptedAllocations, b.ID) || b.Terminal() && overlap(a.AllocatedResources, b.AllocatedResources)
}

// overlap tells whether two grants share a port or a core.
func overlap(a, b *model.AllocatedResources) bool {
	if a == nil || b == nil {
		return false
	}
	for _, p := range a.Shared.Ports {
		for _, q := range b.Shared.Ports {
			if p.Value == q.Value && p.HostIP == q.HostIP {
				return true
			}
		}
	}
	for _, t := range a.Tasks {
		for _, u := range b.Tasks {
			for _, core := range t.Cpu.ReservedCores {
				if slices.Contains(u.Cpu.ReservedCores, core) {
					return true
				}
			}
		}
	}
	return false
}
