package watch

import (
	"cmp"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/model/stateful"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// ordinals remembers what the state does not say of stateful groups.
type ordinals struct {
	stops map[[2]string]int64 // jobs that are to end, since when (unix ns)
	// counts of what was seen, for people
	starts, updates int
}

// Ordinals is how many stateful instances were placed, and stopped for an update.
func (c *Watch) Ordinals() (starts, updates int) { return c.ordinals.starts, c.ordinals.updates }

// Clash tells whether a process of another allocation must not run when one starts: of
// its own name, where both are of stateful groups; or what it replaces, and a node had to
// stop by itself. here tells that it is on the same node.
func (c *Watch) Clash(a *model.Allocation, other, task string, here bool) bool {
	o := c.Snapshot().Alloc(other)
	if now := c.Snapshot().Alloc(a.ID); now != nil {
		a = now
	}
	if o == nil || o.ID == a.ID || o.Job == nil || Poststop(reconcile.Find(o.Job, o.TaskGroup), task) {
		return false
	}
	if o.Name == a.Name && o.Namespace == a.Namespace && o.JobID == a.JobID && stateful.Is(o) && a.Job != nil && stateful.Is(a) &&
		stateful.Of(c.Snapshot().Job(a.Namespace, a.JobID), a.TaskGroup) != nil { // a version that is not ends the promise
		return true
	}
	if here || o.ID != a.PreviousAllocation || o.ClientStatus != model.ClientLost || System(o) {
		return false
	}
	// An update placed it before the node was lost: they may overlap.
	return a.CreateIndex >= o.AllocModifyIndex && lease.StopAfter(reconcile.Find(o.Job, o.TaskGroup)) > 0
}

// ordinal looks at a change of an allocation of a stateful group.
func (c *Watch) ordinal(before, after *model.Allocation) {
	snap := c.store.Snapshot()
	job := snap.Job(after.Namespace, after.JobID)
	conf := stateful.Of(job, after.TaskGroup)
	if job == nil {
		conf = stateful.Of(after.Job, after.TaskGroup)
	}
	if conf == nil || after.Job == nil || snap.Alloc(after.ID) != after {
		return
	}
	seen, ok := c.decided(after)
	ok = ok && (job == nil || job.JobModifyIndex <= seen)
	switch {
	case before == nil:
		c.ordinals.starts++
		c.single(after)
		if ok && conf.Ordered {
			c.startOrder(after, seen)
		}
	case !before.ServerTerminal() && after.ServerTerminal() && !after.ClientTerminal() && ok:
		if conf.Ordered {
			c.stopOrder(after, seen)
		}
		if job != nil && reconcile.Updates(after.DesiredDescription) {
			c.ordinals.updates++
			if stateful.Spares(job, after) {
				c.fail("%s is below the partition %d of version %d, and is updated%s", after.Name, conf.Partition, job.Version, EvalsOf(snap, job))
			}
			if conf.Ordered {
				c.updateOrder(job, after, seen)
			}
		}
	}
}

// decided is the index of the state on which the decision was made that the newest entry
// applies to a job; false when there is none.
func (c *Watch) decided(a *model.Allocation) (uint64, bool) {
	snap := c.store.Snapshot()
	for e := range snap.EvalsByJob(a.Namespace, a.JobID) {
		if e.ModifyIndex == snap.Index() && e.SnapshotIndex > 0 && e.CreateIndex < snap.Index() {
			return e.SnapshotIndex, true
		}
	}
	return 0, false
}

// single: nothing else of its name may still run.
func (c *Watch) single(a *model.Allocation) {
	for o := range c.store.Snapshot().AllocsByJob(a.Namespace, a.JobID) {
		if o.ID != a.ID && o.Name == a.Name && !o.ClientTerminal() {
			c.fail("%s is placed as %s, and %s on %s has not ended%s", a.Name, a.ID, o.ID, o.NodeName, EvalsOf(c.store.Snapshot(), a.Job))
		}
	}
}

// peers are the allocations of an allocation's group that the decision knew as they are.
func (c *Watch) peers(a *model.Allocation, seen uint64, visit func(o *model.Allocation)) {
	for o := range c.store.Snapshot().AllocsByJob(a.Namespace, a.JobID) {
		if o.TaskGroup == a.TaskGroup && o.ID != a.ID && o.ModifyIndex <= seen && o.Index() >= 0 {
			visit(o)
		}
	}
}

// startOrder: all below run, and nobody says that they are not healthy.
func (c *Watch) startOrder(a *model.Allocation, seen uint64) {
	below := make(map[int]bool)
	for o := range c.store.Snapshot().AllocsByJob(a.Namespace, a.JobID) {
		if o.TaskGroup == a.TaskGroup && (o.ModifyIndex > seen || o.ClientStatus == model.ClientRunning && !o.ServerTerminal()) {
			below[o.Index()] = true // the decision may have been another one's
		}
	}
	for i := range a.Index() {
		if !below[i] {
			c.fail("%s is placed, and nothing runs of ordinal %d%s", a.Name, i, EvalsOf(c.store.Snapshot(), a.Job))
		}
	}
	c.peers(a, seen, func(o *model.Allocation) {
		d := c.store.Snapshot().Deployment(o.DeploymentID)
		if o.Index() < a.Index() && !o.Terminal() && deploy.Active(d) && !deploy.Healthy(o) {
			c.fail("%s is placed, and %s is not healthy%s", a.Name, o.Name, EvalsOf(c.store.Snapshot(), a.Job))
		}
	})
}

// stopOrder: what is not wanted is stopped from above, one at a time.
func (c *Watch) stopOrder(a *model.Allocation, seen uint64) {
	switch a.DesiredDescription {
	case reconcile.DescNotNeeded, reconcile.DescStopped:
	default:
		return
	}
	c.peers(a, seen, func(o *model.Allocation) {
		if o.Index() <= a.Index() || o.ClientTerminal() || o.Job == nil || !stateful.Is(o) {
			return
		}
		g := reconcile.Find(o.Job, o.TaskGroup)
		if !o.ServerTerminal() || c.time < stateful.Ends(o, g).UnixNano() {
			c.fail("%s is stopped before %s has ended%s", a.Name, o.Name, EvalsOf(c.store.Snapshot(), a.Job))
		}
	})
}

func (c *Watch) jumped() bool { return c.Stepped != nil && c.Stepped() }

// updateOrder: what is well is replaced from above, when all above are of the version
// and healthy; and one at a time.
func (c *Watch) updateOrder(job *model.Job, a *model.Allocation, seen uint64) {
	if !wasWell(job, a, c.time) {
		return
	}
	c.peers(a, seen, func(o *model.Allocation) {
		d := c.store.Snapshot().Deployment(o.DeploymentID)
		switch {
		case o.Index() == a.Index() || o.Index() >= reconcile.Find(job, a.TaskGroup).Count:
		case o.ServerTerminal() && !o.ClientTerminal():
			c.fail("%s is stopped for an update while %s ends%s", a.Name, o.Name, EvalsOf(c.store.Snapshot(), job))
		case o.Index() > a.Index() && !o.Terminal() && reconcile.Changed(o.Job, job, o.TaskGroup):
			c.fail("%s is updated before %s%s", a.Name, o.Name, EvalsOf(c.store.Snapshot(), job))
		case !o.Terminal() && deploy.Active(d) && !deploy.Healthy(o):
			c.fail("%s is stopped for an update, and %s is not healthy%s", a.Name, o.Name, EvalsOf(c.store.Snapshot(), job))
		}
	})
}

// deciding is how long it may take from a decision to its commit.
const deciding = 5 * time.Second

// wasWell tells whether an instance was missed when it was stopped.
func wasWell(job *model.Job, a *model.Allocation, now int64) bool {
	g := reconcile.Find(a.Job, a.TaskGroup)
	if g == nil || a.ClientTerminal() || deploy.Unhealthy(a) {
		return false
	}
	since, runs := reconcile.StartedAt(a, g)
	u := deploy.Strategy(job, reconcile.Find(job, a.TaskGroup))
	return runs && u != nil && now-since.UnixNano() > int64(u.MinHealthyTime+deciding)
}

// mayEnd is how long a stop may take beyond the times that its instances have: for what
// happens to servers meanwhile.
const mayEnd = 5 * time.Minute

// ends notes a job that is to end, or is not any more.
func (c *Watch) ends(before, after *model.Job) {
	switch j := cmp.Or(after, before); {
	case after != nil && !after.Stop:
		delete(c.ordinals.stops, [2]string{j.Namespace, j.ID})
	case c.ordinals.stops[[2]string{j.Namespace, j.ID}] == 0 && stateful.Any(j):
		c.ordinals.stops[[2]string{j.Namespace, j.ID}] = c.time
	}
}

// ending: of a job that is stopped or gone, all is told to stop in time.
func (c *Watch) ending() {
	if c.jumped() {
		return
	}
	for key, since := range c.ordinals.stops {
		var most time.Duration
		left := ""
		for a := range c.store.Snapshot().AllocsByJob(key[0], key[1]) {
			if g := reconcile.Find(a.Job, a.TaskGroup); g != nil {
				most += stateful.EndWithin(g)
			}
			if !a.Terminal() {
				left = a.Name
			}
		}
		if left == "" {
			delete(c.ordinals.stops, key)
		} else if c.time > since+int64(most+mayEnd) {
			c.fail("job %s is to end, and %s is still to run %s later", key[1], left, time.Duration(c.time-since))
		}
	}
}
