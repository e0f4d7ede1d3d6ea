// Package nodeevals has system jobs looked at when nodes come or change, and jobs of
// which something was placed on a node that is down: a pure component. (What a lost
// node ran is evaluated with its loss, and blocked evaluations wake by themselves.)
//
// Contract and invariants:
//
//   - When a node becomes ready, or a ready one changes in what constraints and
//     resources can ask for, every system and sysbatch job that may run in its
//     pool gets one evaluation, however many nodes changed at once.
//   - What is on a node that is down has its job looked at on a state that has both. A
//     plan that was on its way when the node was given up comes too late for the
//     evaluations that were made with the loss.
//   - When leadership begins, a job whose newest evaluation is older than the
//     newest change of a ready node gets one, too: the change may have come when
//     nobody watched.
//
// Example:
//
//	c := nodeevals.New()
//	c.Reset(snap)
//	c.Observe(changes)
//	cmds, _ := c.Step(now, snap)
package nodeevals

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// maxEvals bounds the evaluations of one command, so that it stays far below
// the size limit of a log entry.
const maxEvals = 1024

// NodeEvals is the component.
type NodeEvals struct {
	// pools are those whose nodes changed, with the newest change's index.
	pools map[string]uint64
	// down are the nodes that are, late those of them that may have something whose
	// job was not looked at since.
	down, late map[string]bool
}

// New makes the component.
func New() *NodeEvals {
	return &NodeEvals{pools: make(map[string]uint64), down: make(map[string]bool), late: make(map[string]bool)}
}

// Name implements loop.Component.
func (c *NodeEvals) Name() string { return "nodeevals" }

// Reads implements loop.Component.
func (c *NodeEvals) Reads() []state.Table {
	return []state.Table{state.TableNodes, state.TableEvals, state.TableAllocs}
}

// Reset implements loop.Component.
func (c *NodeEvals) Reset(snap *state.Snapshot) {
	clear(c.pools)
	clear(c.down)
	clear(c.late)
	for n := range snap.Nodes(state.Range{}) {
		c.follow(n.ID, n)
		if n.Ready() {
			c.note(n, n.ModifyIndex)
		}
	}
}

func (c *NodeEvals) note(n *model.Node, index uint64) {
	c.pools[n.NodePool] = max(c.pools[n.NodePool], index)
}

// Observe implements loop.Component.
func (c *NodeEvals) Observe(changes []state.Change) {
	for i := range changes {
		switch changes[i].Table {
		case state.TableAllocs:
			if a, _ := changes[i].After.(*model.Allocation); a != nil && changes[i].Before == nil && c.down[a.NodeID] {
				c.late[a.NodeID] = true
			}
			continue
		case state.TableNodes:
			n, _ := changes[i].After.(*model.Node)
			c.follow(changes[i].Key, n)
		}
		before, _ := changes[i].Before.(*model.Node)
		after, _ := changes[i].After.(*model.Node)
		if after != nil && after.Ready() && (before == nil || !before.Ready() || differs(before, after)) {
			c.note(after, changes[i].Index)
		}
	}
}

// follow notes whether a node is down.
func (c *NodeEvals) follow(id string, n *model.Node) {
	switch is := n != nil && n.Status == model.NodeStatusDown; {
	case !is:
		delete(c.down, id)
		delete(c.late, id)
	case !c.down[id]:
		c.down[id], c.late[id] = true, true
	}
}

// differs tells whether a ready node changed in what a placement looks at.
func differs(a, b *model.Node) bool {
	return a.ComputedClass != b.ComputedClass || a.NodePool != b.NodePool ||
		!reflect.DeepEqual(a.NodeResources, b.NodeResources) ||
		!reflect.DeepEqual(a.ReservedResources, b.ReservedResources)
}

// Step implements loop.Component. A job that was evaluated after the change
// needs nothing; so the pools can stay noted until that has happened.
func (c *NodeEvals) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	evals := append(c.forLate(now, snap), c.forPools(now, snap)...)
	if len(evals) == 0 {
		clear(c.pools)
	}
	var cmds []fsm.Command
	for len(evals) > 0 {
		n := min(len(evals), maxEvals)
		cmds = append(cmds, proposal.Of(&fsm.UpsertEvals{Evals: evals[:n]}))
		evals = evals[n:]
	}
	return cmds, time.Time{}
}

// forPools are evaluations of the system jobs that have not seen their pools' changes.
func (c *NodeEvals) forPools(now time.Time, snap *state.Snapshot) []*model.Evaluation {
	if len(c.pools) == 0 {
		return nil
	}
	var evals []*model.Evaluation
	for job := range snap.Jobs(state.Range{}) {
		if job.Type != model.JobTypeSystem && job.Type != model.JobTypeSysbatch || job.Stop {
			continue
		}
		if at := c.changedFor(job); at > 0 && !evaluatedSince(snap, job, at) {
			evals = append(evals, newEval(now, job, at))
		}
	}
	return evals
}

// forLate are evaluations of jobs of which something is on a node that is down and
// nobody has looked since both were known.
func (c *NodeEvals) forLate(now time.Time, snap *state.Snapshot) []*model.Evaluation {
	var evals []*model.Evaluation
	seen := make(map[model.NamespacedID]bool)
	for _, id := range slices.Sorted(maps.Keys(c.late)) {
		n := snap.Node(id)
		open := false
		for a := range snap.AllocsByNode(id) {
			key := model.NamespacedID{Namespace: a.Namespace, ID: a.JobID}
			if n == nil || a.Terminal() || seen[key] {
				continue
			}
			job := cmp.Or(snap.Job(a.Namespace, a.JobID), a.Job)
			at := max(a.CreateIndex, n.ModifyIndex)
			if job == nil || lookedAt(snap, a, at) {
				continue
			}
			open, seen[key] = true, true
			evals = append(evals, newEval(now, job, at))
		}
		if !open {
			delete(c.late, id)
		}
	}
	return evals
}

// lookedAt tells whether a decision on an allocation's job was made on the state at an
// index, or is about to be.
func lookedAt(snap *state.Snapshot, a *model.Allocation, at uint64) bool {
	for e := range snap.EvalsByJob(a.Namespace, a.JobID) {
		if e.SnapshotIndex >= at || e.Status == model.EvalPending && e.WaitUntil.IsZero() && e.ModifyIndex >= at {
			return true
		}
	}
	return false
}

// changedFor is the index of the newest change of a node the job may run on.
func (c *NodeEvals) changedFor(job *model.Job) uint64 {
	if job.NodePool != model.AllNodePool {
		return c.pools[job.NodePool]
	}
	var newest uint64
	for _, at := range c.pools {
		newest = max(newest, at)
	}
	return newest
}

// evaluatedSince tells whether an evaluation was created after the change, or is
// still to be worked on, on a state that will contain it.
func evaluatedSince(snap *state.Snapshot, job *model.Job, at uint64) bool {
	for e := range snap.EvalsByJob(job.Namespace, job.ID) {
		if e.CreateIndex > at || e.SnapshotIndex >= at {
			return true
		}
	}
	return false
}

func newEval(now time.Time, job *model.Job, at uint64) *model.Evaluation {
	return &model.Evaluation{
		ID:        ident.From("nodes changed", job.Namespace, job.ID, strconv.FormatUint(at, 10)),
		Namespace: job.Namespace, JobID: job.ID, Type: job.Type, Priority: job.Priority,
		TriggeredBy: model.TriggerNodeUpdate, JobModifyIndex: job.JobModifyIndex, NodeModifyIndex: at,
		Status: model.EvalPending, CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(),
	}
}
