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
	"github.com/steppe-project/steppe/model/lease"
)

// Desk is a Liveness that receives renewals from the servers that hold the
// nodes' sessions; it is the component to run on a leader.
type Desk struct {
	*Liveness
	store *state.Store
	leads Reader
	now   func() time.Time

	// mu makes "received" and "given up" follow each other: a renewal is either
	// seen by the step that would take its node down, or not confirmed.
	mu      sync.Mutex
	givenUp map[string]bool      // by the last step; perhaps not committed yet
	heard   map[string]time.Time // until when leases last by signs of life since the last step
	arrived int                  // registrations since the last step
}

// Reader is the part of consensus.Proposer that the desk needs: proof that this
// server leads. What a deposed leader confirms the real one does not know.
type Reader interface {
	ReadIndex(ctx context.Context) (uint64, error)
}

// NewDesk makes a desk. now is the machine's clock: steps of it must not count.
func NewDesk(l *Liveness, store *state.Store, leads Reader, now func() time.Time) *Desk {
	return &Desk{Liveness: l, store: store, leads: leads, now: now, heard: make(map[string]time.Time)}
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
	resp.TTL = d.Lasts()
	d.hear(resp.TTL, known...)
	return resp, nil
}

// Seen notes a node's registration: as good as a renewal.
func (d *Desk) Seen(nodeID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hear(d.Lasts(), nodeID)
	d.arrived++
}

// hear notes signs of life, after which leases last for ttl; d.mu is held.
func (d *Desk) hear(ttl time.Duration, ids ...string) {
	until := lease.Until(d.now(), ttl)
	for _, id := range ids {
		if until.After(d.heard[id]) {
			d.heard[id] = until
		}
	}
}

// Reset implements loop.Component. Renewals of an earlier term say nothing now.
func (d *Desk) Reset(snap *state.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.givenUp, d.arrived = nil, 0
	clear(d.heard)
	d.Liveness.Reset(snap)
}

// Observe implements loop.Component; renewals are received meanwhile.
func (d *Desk) Observe(changes []state.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Liveness.Observe(changes)
}

// Step implements loop.Component. Leases go by the desk's own clock; the wake
// time is told on the caller's.
func (d *Desk) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, until := range d.heard {
		d.Renew(until, id)
	}
	clear(d.heard)
	mine := d.now()
	if d.arrived > 0 {
		d.Arrived(mine, d.arrived)
		d.arrived = 0
	}
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
