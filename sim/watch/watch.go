// Package watch checks what the state alone shows: a store that applies each entry
// when it is committed, and looks at what it changed.
//
//   - what was written once is done once
//   - no node is given more than it has
//   - statuses only move forward, and a stop is not taken back
//   - of one name at most one allocation is to run
//   - a slot of a periodic job is launched once at most, in its time, and without overlap
//     alone; of one idempotency token there is one child
//   - what is admitted fits into its quota and keeps to its namespace's rules; nothing is
//     placed in another node pool than its job's; a namespace that is deleted is empty
//   - an update takes no more of a group than max_parallel, promotes only healthy
//     canaries, of which there are no more than wanted, ends once, successful only when
//     it is complete, and goes back only to what differs; it counts what there is
//   - what a group depends on is ready before it is begun, is updated before it if both
//     change, and is stopped after it
//   - of a stateful group at most one allocation of a name has not ended; they are placed
//     from below, stopped from above and updated from above, none below the partition, and
//     what is told to stop while others of a stopped job are waits only so long
//   - what was ended for want of time (max_run_duration) is not replaced, and no process
//     runs for longer while its agent is up (Overtime)
//   - no entry places a part of a gang; none is partial for much longer than max_partial,
//     nor in the end (Torn)
//   - in the end the scheduler has nothing to do (Undecided), and every deployment has
//     ended (Undeployed)
//
// Contract: entries are given in order; what is broken is told to Fail.
//
// Example:
//
//	w := watch.New("mark", fail)
//	w.Apply(entry)
package watch

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/sched"
)

// Watch is the store and what it remembers.
type Watch struct {
	// OnNode, when set, is told of nodes that change.
	OnNode func(before, after *model.Node)
	// OnChange, when set, is told of every change.
	OnChange func(ch *state.Change)
	// Stepped, when set, tells whether a clock was set: then times of entries say little.
	Stepped func() bool
	// Preempted counts the allocations that gave way to others.
	Preempted int

	fail    func(format string, args ...any)
	store   *state.Store
	machine *fsm.FSM
	feed    *state.Subscription
	time    int64  // of the newest entry (unix ns)
	mark    string // meta key under which a version carries its mark
	marks   map[string]int
	launches
	tenants tenants
	deployments
	dependencies
	ordinals ordinals
	suspects []overlooked
	overran  int // allocations that had no time left
	gangs    gangs
}

// New makes a Watch. Versions of jobs carry a mark of their own under a meta key.
func New(mark string, fail func(format string, args ...any)) *Watch {
	store := state.New()
	c := &Watch{fail: fail, store: store, machine: fsm.New(store), mark: mark, marks: map[string]int{}, launches: newLaunches(), deployments: newDeployments(), ordinals: ordinals{stops: map[[2]string]int64{}}, gangs: newGangs()}
	_, c.feed = store.Subscribe(state.TableAllocs, state.TableJobs, state.TableNodes, state.TableNamespaces, state.TableDeployments)
	return c
}

// Snapshot is the newest committed state.
func (c *Watch) Snapshot() *state.Snapshot { return c.store.Snapshot() }

// Apply applies an entry and looks at what it changed.
func (c *Watch) Apply(e fsm.Entry) {
	c.time = e.Time
	c.expect(e)
	c.tenants.prior, c.tenants.single = c.store.Snapshot(), len(e.Commands) == 1
	c.expectRevert(e)
	c.remember()
	c.machine.Apply(e)
	c.changes()
	c.muster()
	c.overdue()
	c.ending()
}

// changes looks at what the newest entry changed.
func (c *Watch) changes() {
	changes, err := c.feed.Poll()
	if err != nil {
		c.fail("the change feed: %v", err)
		return
	}
	touched := map[string]bool{}
	for i := range changes {
		if c.OnChange != nil {
			c.OnChange(&changes[i])
		}
		if changes[i].Table == state.TableNamespaces && changes[i].After == nil {
			c.emptied(changes[i].Key)
		}
		if was, ok := changes[i].Before.(*model.Job); ok && changes[i].After == nil {
			c.ends(was, nil)
		}
		switch after := changes[i].After.(type) {
		case *model.Allocation:
			before, _ := changes[i].Before.(*model.Allocation)
			c.forward(before, after)
			c.budget(before, after)
			c.stopped(before, after)
			c.ordinal(before, after)
			c.outOfTime(before, after)
			c.gang(before, after)
			touched[after.NodeID] = true
			if before == nil {
				c.alone(after)
				c.placed(after)
				c.preempts(after)
				c.pooled(after)
				c.begun(after)
			}
		case *model.Node:
			before, _ := changes[i].Before.(*model.Node)
			if c.OnNode != nil {
				c.OnNode(before, after)
			}
			if before != nil && before.Status != model.NodeStatusDown && after.Status == model.NodeStatusDown {
				c.lost(after)
			}
		case *model.Job:
			before, _ := changes[i].Before.(*model.Job)
			c.ends(before, after)
			c.admits(before, after)
			if after.ParentID != "" {
				if before == nil {
					c.child(after)
				}
				continue // it has its parent's mark
			}
			c.parent(before, after)
			if !after.Stop && (before == nil || before.CreateIndex != after.CreateIndex || before.Version != after.Version) {
				c.version(before, after)
			}
		case *model.Deployment:
			before, _ := changes[i].Before.(*model.Deployment)
			c.deployment(before, after)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		c.fits(id)
	}
}

var steps = map[string]int{
	model.ClientPending: 0, model.ClientRunning: 1, model.ClientUnknown: 1,
	model.ClientComplete: 2, model.ClientFailed: 2, model.ClientLost: 2,
}

// forward: statuses only advance, and a stop is not taken back.
func (c *Watch) forward(before, after *model.Allocation) {
	if before == nil {
		return
	}
	a, b := steps[before.ClientStatus], steps[after.ClientStatus]
	if b < a || a == 2 && before.ClientStatus != after.ClientStatus {
		c.fail("allocation %s went from %s to %s", after.ID, before.ClientStatus, after.ClientStatus)
	}
	if before.ServerTerminal() && !after.ServerTerminal() {
		c.fail("allocation %s was stopped and is to run again", after.ID)
	}
}

// alone: of one name at most one allocation is to run, beside a canary.
func (c *Watch) alone(a *model.Allocation) {
	for o := range c.store.Snapshot().AllocsByJob(a.Namespace, a.JobID) {
		if o.ID == a.ID || o.Name != a.Name || o.Terminal() || a.Terminal() {
			continue
		}
		if System(o) && o.NodeID != a.NodeID || deploy.Canary(o) != deploy.Canary(a) {
			continue
		}
		c.fail("two allocations of %s are to run: %s on %s, %s on %s", a.Name, o.ID, o.NodeID, a.ID, a.NodeID)
	}
}

// System tells whether an allocation is one of many, one on each node.
func System(a *model.Allocation) bool {
	return a.Job != nil && (a.Job.Type == model.JobTypeSystem || a.Job.Type == model.JobTypeSysbatch)
}

// fits: a node is given no more than it has.
func (c *Watch) fits(nodeID string) {
	snap := c.store.Snapshot()
	n := snap.Node(nodeID)
	if n == nil {
		return
	}
	var cpu, memory, disk int64
	ports := map[int]string{}
	for a := range snap.AllocsByNode(nodeID) {
		if a.Terminal() {
			continue
		}
		for _, t := range a.AllocatedResources.Tasks {
			cpu += t.Cpu.CpuShares
			memory += t.Memory.MemoryMB
		}
		disk += a.AllocatedResources.Shared.DiskMB
		for _, p := range a.AllocatedResources.Shared.Ports {
			if other := ports[p.Value]; other != "" {
				c.fail("port %d of %s was given to %s and %s", p.Value, n.Name, other, a.ID)
			}
			ports[p.Value] = a.ID
		}
	}
	r := n.NodeResources
	if cpu > lifecyclePeak*r.Cpu.CpuShares || memory > lifecyclePeak*r.Memory.MemoryMB || disk > r.Disk.DiskMB {
		c.fail("node %s is given cpu %d of %d, memory %d of %d, disk %d of %d",
			n.Name, cpu, r.Cpu.CpuShares, memory, r.Memory.MemoryMB, disk, r.Disk.DiskMB)
	}
}

// lifecyclePeak: tasks of a group that never run at the same time share room, so
// a plain sum may be larger than the node. The groups here have two tasks.
const lifecyclePeak = 2

// Unheard tells what the state says of a node's allocations and is not so; live are
// those that run there.
func Unheard(snap *state.Snapshot, nodeID string, live map[string]bool) string {
	for a := range snap.AllocsByNode(nodeID) {
		if a.ClientTerminal() {
			continue
		}
		if a.ServerTerminal() {
			return a.ID + " on " + a.NodeName + " was told to stop and has not said that it did"
		}
		if a.ClientStatus == model.ClientRunning && !live[a.ID] && a.Job.Type == model.JobTypeService {
			return a.ID + " on " + a.NodeName + " is running, says the state, and is not"
		}
		if a.ClientStatus == model.ClientPending {
			return a.ID + " on " + a.NodeName + " is pending"
		}
	}
	return ""
}

// Undecided asks the scheduler about every job: in the end it must have nothing
// to do. A blocked evaluation that could place something has missed its wake-up. Env
// tells the time as the scheduler has it: the cluster's clock.
func Undecided(store *state.Store, env sched.Env) string {
	snap := store.Snapshot()
	view := fleet.New(store)
	defer func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = view.Run(over)
	}()
	basis, err := view.At(context.Background(), 0)
	if err != nil {
		return err.Error()
	}
	for j := range snap.Jobs(state.Range{}) {
		e := &model.Evaluation{
			ID: "check", Namespace: j.Namespace, JobID: j.ID, Type: j.Type, Priority: j.Priority,
			TriggeredBy: model.TriggerJobRegister, Status: model.EvalPending,
		}
		if j.Type == model.JobTypeSystem || j.Type == model.JobTypeSysbatch {
			// What has failed for good on a node waits for the next change.
			e.TriggeredBy = model.TriggerRetryFailed
		}
		own := basis.Env(e, env.Now)
		own.Steady, own.Seed = env.Steady, env.Seed
		plan := sched.Process(basis, e, own).Plan
		if len(plan.Stops) > 0 {
			return "job " + j.ID + ": there is something to stop: " + snap.Alloc(plan.Stops[0].ID).Name + ", " + plan.Stops[0].Description + EvalsOf(snap, j)
		}
		for _, g := range plan.Groups {
			if len(g.Placements) > 0 {
				return "job " + j.ID + ": there is something to place on " + snap.Node(g.Placements[0].NodeID).Name + EvalsOf(snap, j)
			}
			if len(g.InPlace) > 0 {
				return "job " + j.ID + ": there is something to update"
			}
		}
	}
	return ""
}

// EvalsOf tells of a job's newest evaluations, for a failed run.
func EvalsOf(snap *state.Snapshot, j *model.Job) string {
	if j == nil {
		return ""
	}
	out := fmt.Sprintf(" (job at %d)", j.ModifyIndex)
	for e := range snap.EvalsByJob(j.Namespace, j.ID) {
		out += fmt.Sprintf("\n\t%s by %s, %s, created %d, changed %d, seen %d, %s", e.ID[:8], e.TriggeredBy, e.Status, e.CreateIndex, e.ModifyIndex, e.SnapshotIndex, e.StatusDescription)
	}
	for a := range snap.AllocsByJob(j.Namespace, j.ID) {
		out += fmt.Sprintf("\n\t%s %s on %s: %s, %s (%s), created %d, changed %d", a.ID[:8], a.Name, a.NodeName, a.DesiredStatus, a.ClientStatus, a.ClientDescription, a.CreateIndex, a.ModifyIndex)
	}
	return out
}
