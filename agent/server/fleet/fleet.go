// Package fleet keeps the scheduler's columnar view of all nodes current, and
// hands it out together with the snapshot it belongs to.
//
// Contract and invariants:
//
//   - A Basis is a snapshot and a fleet of exactly the same index, plus what is
//     held: placements that were verified and are on their way into the log.
//     So what one plan was granted is not offered to the next one.
//   - A hold ends when the feed brings its allocation, or by Release; it never
//     counts twice. Nothing is freed before it is committed, so plans may commit
//     in any order, or not at all.
//   - One View serves all workers and the planner of a term of leadership.
//
// Example:
//
//	view := fleet.New(store)
//	go view.Run(ctx)
//	basis, err := view.At(ctx, eval.ModifyIndex)
//	result := sched.Process(basis, eval, env)
package fleet

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/place"
)

// Basis is what a decision is made on; it implements sched.State.
type Basis struct {
	*state.Snapshot
	fleet *place.Fleet
}

// Fleet returns the columnar view of the snapshot, with what is held.
func (b *Basis) Fleet() *place.Fleet { return b.fleet }

// AllocsByJob returns all allocations of a job.
func (b *Basis) AllocsByJob(namespace, id string) []*model.Allocation {
	return slices.Collect(b.Snapshot.AllocsByJob(namespace, id))
}

// AllocsByNode returns all allocations of a node.
func (b *Basis) AllocsByNode(nodeID string) []*model.Allocation {
	return slices.Collect(b.Snapshot.AllocsByNode(nodeID))
}

// EvalsByJob returns all evaluations of a job.
func (b *Basis) EvalsByJob(namespace, id string) []*model.Evaluation {
	return slices.Collect(b.Snapshot.EvalsByJob(namespace, id))
}

// Env is what a decision on an evaluation is given besides the basis. The same
// evaluation and index give the same dice.
func (b *Basis) Env(eval *model.Evaluation, now time.Time) sched.Env {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", eval.ID, b.Index())
	env := sched.Env{Now: now, Seed: h.Sum64(), Config: b.SchedulerConfig(), Preempt: b.FeatureLevel() >= feature.Preemption}
	if job := b.Job(eval.Namespace, eval.JobID); job != nil {
		env.Overrides = tenancy.Overrides(b.Namespace(job.Namespace), b.NodePool(job.NodePool))
	}
	if env.Deploys = b.FeatureLevel() >= deploy.Level; env.Deploys {
		for d := range b.DeploymentsByJob(eval.Namespace, eval.JobID) {
			env.Deployment = d
			break
		}
	}
	return env
}

// hold is a placement on its way into the log.
type hold struct {
	node  string
	grant *model.AllocatedResources
}

// View owns the fleet.
type View struct {
	store *state.Store

	mu    sync.Mutex
	snap  *state.Snapshot
	sub   *state.Subscription
	fleet *place.Fleet
	early []state.Change // read from the feed, newer than snap
	holds map[string]hold
}

var tables = []state.Table{state.TableNodes, state.TableAllocs}

// New makes a view of a store. Close it, or let Run do so.
func New(store *state.Store) *View {
	v := &View{store: store, holds: make(map[string]hold)}
	v.rebuild()
	return v
}

// rebuild reads the whole state.
func (v *View) rebuild() {
	if v.sub != nil {
		v.sub.Close()
	}
	v.snap, v.sub = v.store.Subscribe(tables...)
	v.fleet, v.early = place.NewFleet(), nil
	for n := range v.snap.Nodes(state.Range{}) {
		v.fleet.UpsertNode(n)
	}
	for a := range v.snap.Allocs(state.Range{}) {
		v.fleet.UpsertAlloc(nil, a)
		delete(v.holds, a.ID)
	}
	for _, h := range v.holds {
		v.fleet.Place(h.node, h.grant)
	}
	v.fleet.SetIndex(v.snap.Index())
}

// Run follows the feed until ctx ends, so that it never lags, and then closes
// the view.
func (v *View) Run(ctx context.Context) error {
	defer v.Close()
	for {
		v.mu.Lock()
		v.advance()
		ready := v.sub.Ready()
		v.mu.Unlock()
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
}

// Close ends the view.
func (v *View) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sub.Close()
}

// At returns the newest basis, which contains the entry at index; it waits for
// that if need be.
func (v *View) At(ctx context.Context, index uint64) (*Basis, error) {
	if _, err := v.store.SnapshotAt(ctx, index); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.advance()
	return &Basis{Snapshot: v.snap, fleet: v.fleet.Fork()}, nil
}

// advance brings snapshot and fleet to the newest entry.
func (v *View) advance() {
	snap := v.store.Snapshot()
	if snap == v.snap {
		return
	}
	changes := v.early
	v.early = nil
	for {
		more, err := v.sub.Poll()
		if err != nil {
			if errors.Is(err, state.ErrClosed) {
				return
			}
			v.rebuild()
			return
		}
		if len(more) == 0 {
			break
		}
		changes = append(changes, more...)
	}
	// The feed may be ahead of the snapshot; what is newer waits for the next.
	at := len(changes)
	for at > 0 && changes[at-1].Index > snap.Index() {
		at--
	}
	for i := range changes[:at] {
		v.apply(&changes[i])
	}
	v.early = slices.Clone(changes[at:])
	v.snap = snap
	v.fleet.SetIndex(snap.Index())
}

func (v *View) apply(c *state.Change) {
	switch c.Table {
	case state.TableNodes:
		if n, ok := c.After.(*model.Node); ok {
			v.fleet.UpsertNode(n)
		} else {
			v.fleet.DeleteNode(c.Key)
		}
	case state.TableAllocs:
		before, _ := c.Before.(*model.Allocation)
		after, _ := c.After.(*model.Allocation)
		if before == nil {
			v.end(c.Key)
		}
		v.fleet.UpsertAlloc(before, after)
	}
}

// end gives back what is held for an allocation.
func (v *View) end(id string) {
	if h, ok := v.holds[id]; ok {
		delete(v.holds, id)
		v.fleet.Remove(h.node, h.grant)
	}
}

// Hold counts a verified plan's placements until they come through the feed.
func (v *View) Hold(plan *model.Plan) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			grant := p.Resources
			if grant == nil {
				grant = g.Resources
			}
			if v.snap.Alloc(p.ID) != nil {
				continue // already there: a repeated plan
			}
			v.end(p.ID)
			v.holds[p.ID] = hold{p.NodeID, grant}
			v.fleet.Place(p.NodeID, grant)
		}
	}
}

// Release ends what is still held of a plan. Call it when the plan's fate is
// known and this store has reached it, or when it is lost.
func (v *View) Release(plan *model.Plan) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.advance() // what was committed ends its holds itself
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			v.end(p.ID)
		}
	}
}
