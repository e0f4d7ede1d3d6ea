package gc

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
)

// maxProposal bounds the commands of one proposal of a forced collection.
const maxProposal = 16

// Proposer is the part of consensus.Proposer that a forced collection needs.
type Proposer interface {
	Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error)
}

// Desk answers the calls for immediate collection.
type Desk struct {
	store    *state.Store
	proposer Proposer
	now      func() time.Time
}

// NewDesk makes a desk.
func NewDesk(store *state.Store, proposer Proposer, now func() time.Time) *Desk {
	return &Desk{store: store, proposer: proposer, now: now}
}

// Register adds the handlers to srv.
func (d *Desk) Register(srv *rpc.Server) {
	rpc.Handle(srv, msg.SystemGC, d.collect)
	rpc.Handle(srv, msg.SystemReconcile, d.reconcile)
}

// collect removes all that is over, whatever its age.
func (d *Desk) collect(ctx context.Context, _ *msg.SystemGCRequest) (*msg.WriteMeta, error) {
	snap := d.store.Snapshot()
	index := snap.Index()
	cmds := Collect(snap, d.now(), Config{})
	for len(cmds) > 0 {
		n := min(len(cmds), maxProposal)
		outcomes, err := d.proposer.Propose(ctx, cmds[:n]...)
		if err != nil {
			return nil, err
		}
		for _, o := range outcomes {
			if o.Err != nil {
				return nil, o.Err
			}
			index = o.Index
		}
		cmds = cmds[n:]
	}
	return &msg.WriteMeta{Index: index}, nil
}

// reconcile has nothing to do: the state machine keeps summaries exact with
// every change, so there is none to correct.
func (d *Desk) reconcile(context.Context, *msg.SystemGCRequest) (*msg.WriteMeta, error) {
	return &msg.WriteMeta{Index: d.store.Snapshot().Index()}, nil
}
