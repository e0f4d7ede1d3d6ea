package consensus

import (
	"github.com/steppe-project/steppe/agent/consensus/space"
	"github.com/steppe-project/steppe/fsm"
)

// bringsWork are the commands that are refused while the disk is short of room:
// what users want in addition. What follows and ends the work there is goes on.
var bringsWork = map[fsm.Kind]bool{
	fsm.KindRegisterJob: true, fsm.KindScaleJob: true, fsm.KindUpsertNodePool: true, fsm.KindUpsertNamespace: true, fsm.KindUpsertQuota: true,
}

// removes are the commands that are taken as long as the disk takes them.
var removes = map[fsm.Kind]bool{
	fsm.KindDeregisterJob: true, fsm.KindDeregisterNodes: true, fsm.KindDeleteEvals: true, fsm.KindCollect: true,
	fsm.KindDeleteNodePool: true, fsm.KindDeleteNamespace: true, fsm.KindDeleteQuota: true, fsm.KindDeleteSigningKey: true, fsm.KindAutopilotConfig: true,
}

// Space tells how the disk of the log stands; ample in memory.
func (h *Host) Space() space.Status {
	if h.store.space == nil {
		return space.Status{}
	}
	return h.store.space.Status()
}

// refuse is why the disk has no room for cmds, nil if it has. Only a leader's
// disk counts: a follower's holds back nobody while a majority has room.
func (h *Host) refuse(cmds []fsm.Command) error {
	level := h.Space().Level
	if level == space.Ample || !h.Leadership().Self {
		return nil
	}
	for i := range cmds {
		if kind := cmds[i].Kind; bringsWork[kind] || level == space.Scarce && !removes[kind] {
			return h.store.space.Refuse()
		}
	}
	return nil
}
