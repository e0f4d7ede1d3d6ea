package liveness

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// inboxLength bounds the calls that wait for the next step: each has the
// renewals of up to 4,096 nodes, and a step comes several times a TTL.
const inboxLength = 256

// Desk is a Liveness that receives renewals from the servers that hold the
// nodes' sessions; it is the component to run on a leader.
type Desk struct {
	*Liveness
	store *state.Store
	leads Reader
	now   func() time.Time
	inbox chan renewal

	// mu makes "received" and "given up" follow each other: a renewal is either
	// seen by the step that would take its node down, or not confirmed.
	mu      sync.Mutex
	givenUp map[string]bool // by the last step; perhaps not committed yet
}

// Reader is the part of consensus.Proposer that the desk needs: proof that this
// server leads. What a deposed leader confirms the real one does not know.
type Reader interface {
	ReadIndex(ctx context.Context) (uint64, error)
}

type renewal struct {
	at  time.Time
	ids []string
}

// NewDesk makes a desk. now is the machine's clock: steps of it must not count.
func NewDesk(l *Liveness, store *state.Store, leads Reader, now func() time.Time) *Desk {
	return &Desk{Liveness: l, store: store, leads: leads, now: now, inbox: make(chan renewal, inboxLength)}
}

// Register adds the handler to srv.
func (d *Desk) Register(srv *rpc.Server) { rpc.Handle(srv, msg.NodeRenewAt, d.renew) }

// renew notes the leases that a server saw renewed. Nodes that are not ready in
// the state come back as unknown.
func (d *Desk) renew(ctx context.Context, r *msg.NodeRenewRequest) (*msg.NodeRenewResponse, error) {
	if _, err := d.leads.ReadIndex(ctx); err != nil {
		return nil, err
	}
	snap := d.store.Snapshot()
	resp := &msg.NodeRenewResponse{WriteMeta: msg.WriteMeta{Index: snap.Index()}}
	known := make([]string, 0, len(r.NodeIDs))
	for _, id := range r.NodeIDs {
		if n := snap.Node(id); n == nil || n.Status != model.NodeStatusReady {
			resp.Unknown = append(resp.Unknown, id)
		} else {
			known = append(known, id)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.givenUp) > 0 {
		known = slices.DeleteFunc(known, func(id string) bool {
			if d.givenUp[id] {
				resp.Unknown = append(resp.Unknown, id)
			}
			return d.givenUp[id]
		})
	}
	select {
	case d.inbox <- renewal{d.now(), known}:
		return resp, nil
	default:
		return nil, model.Errorf(model.CodeUnavailable, "the leader is not ready for lease renewals")
	}
}

// Seen notes a node's registration: as good as a renewal. When the inbox is full
// it is left to the next renewal.
func (d *Desk) Seen(nodeID string) {
	select {
	case d.inbox <- renewal{d.now(), []string{nodeID}}:
	default:
	}
}

// Reset implements loop.Component. Renewals of an earlier term say nothing now.
func (d *Desk) Reset(snap *state.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.givenUp = nil
	for {
		select {
		case <-d.inbox:
			continue
		default:
		}
		d.Liveness.Reset(snap)
		return
	}
}

// Step implements loop.Component. Leases go by the desk's own clock; the wake
// time is told on the caller's.
func (d *Desk) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		select {
		case r := <-d.inbox:
			d.Renew(r.at, r.ids)
			continue
		default:
		}
		mine := d.now()
		d.ahead = now.Sub(mine)
		cmds, wake := d.Liveness.Step(mine, snap)
		if !wake.IsZero() {
			wake = now.Add(wake.Sub(mine))
		}
		// The steps of a term follow the commits of those before: what was decided
		// earlier is in the state now, or has failed.
		d.givenUp = d.decided
		return cmds, wake
	}
}
