package watch

import (
	"time"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// pastStates is how many states are remembered: a plan is applied so soon after the state
// that it was made on.
const pastStates = 512

// dependencies remembers recent states: what a plan began may have been ready on the one
// that it was made on, and not any more.
type dependencies struct {
	past []*state.Snapshot // the newest last; the state before the newest entry
	// After is what was done in the order of dependencies: groups begun, updated, stopped.
	After [3]int
}

// remember takes in the state before an entry.
func (c *Watch) remember() {
	if c.past = append(c.past, c.store.Snapshot()); len(c.past) > pastStates {
		c.past = c.past[len(c.past)-pastStates/2:]
	}
}

// since tells whether something held on a state since an index, or whether that is longer
// ago than is remembered.
func (c *Watch) since(index uint64, ok func(*state.Snapshot) bool) bool {
	for i := len(c.past) - 1; i >= 0; i-- {
		if ok(c.past[i]) {
			return true
		}
		if c.past[i].Index() <= index {
			return false
		}
	}
	return true
}

// begun looks at a new allocation of a group that depends on others.
func (c *Watch) begun(a *model.Allocation) {
	g := reconcile.Find(a.Job, a.TaskGroup)
	if g == nil || !precedence.Uses(a.Job) {
		return
	}
	snap := c.store.Snapshot()
	seen := uint64(0)
	if e := snap.Eval(a.EvalID); e != nil {
		seen = e.SnapshotIndex
	}
	prev := snap.Alloc(a.PreviousAllocation)
	if prev != nil {
		c.updated(a, prev, seen)
		return
	}
	if list := precedence.Of(a.Job, g); len(list) > 0 {
		began := c.since(seen, func(s *state.Snapshot) bool {
			if lives(s, a) {
				return true
			}
			for _, d := range list {
				if !c.ready(s, a.Job, d) {
					return false
				}
			}
			return true
		})
		if !began {
			c.fail("%s (%s) is placed before what it depends on is ready%s", a.Name, a.ID, EvalsOf(snap, a.Job))
		}
		c.After[0]++
	}
}

// lives tells whether an instance of an allocation's group was to run.
func lives(s *state.Snapshot, a *model.Allocation) bool {
	for o := range s.AllocsByJob(a.Namespace, a.JobID) {
		if o.TaskGroup == a.TaskGroup && !o.Terminal() {
			return true
		}
	}
	return false
}

// ready tells whether a dependency is met, as users read of it; where time alone makes the
// difference it is lenient.
func (c *Watch) ready(s *state.Snapshot, job *model.Job, d *depends.Dependency) bool {
	id := precedence.Target(job, d)
	target := s.Job(id.Namespace, id.ID)
	if target == nil || target.Stop {
		return false
	}
	groups := 0
	for _, g := range target.TaskGroups {
		if name := precedence.Group(d); name != "" && name != g.Name {
			continue
		}
		groups++
		if !c.there(s, target, g, d.Asks(), false) {
			return false
		}
	}
	return groups > 0
}

// there tells whether all instances of a group meet a condition; with present those of the
// present version.
func (c *Watch) there(s *state.Snapshot, job *model.Job, g *model.TaskGroup, condition string, present bool) bool {
	names, all := map[string]bool{}, map[string]bool{}
	everywhere := job.Type == model.JobTypeSystem || job.Type == model.JobTypeSysbatch
	for a := range s.AllocsByJob(job.Namespace, job.ID) {
		if a.TaskGroup != g.Name || a.ServerTerminal() || deploy.Canary(a) || a.Job.CreateIndex != job.CreateIndex {
			continue
		}
		if present && a.JobVersion != job.Version && reconcile.Changed(a.Job, job, g.Name) {
			continue
		}
		name := a.Name
		if everywhere {
			name = a.NodeID
		} else if a.Index() >= g.Count {
			continue
		}
		all[name] = true
		runs := a.ClientStatus == model.ClientRunning
		done := a.ClientStatus == model.ClientComplete
		switch condition {
		case depends.Started:
			names[name] = names[name] || runs || done
		case depends.Completed:
			names[name] = names[name] || done
		case depends.Healthy:
			names[name] = names[name] || runs && !deploy.Unhealthy(a) && (deploy.Healthy(a) || a.DeploymentID == "" || c.old(a))
		}
	}
	ready := 0
	for _, ok := range names {
		if ok {
			ready++
		}
	}
	if everywhere {
		return g.Count == 0 || ready > 0
	}
	return ready >= g.Count
}

// old tells whether an instance could have been called healthy long ago.
func (c *Watch) old(a *model.Allocation) bool {
	return time.Unix(0, c.time).Sub(time.Unix(0, a.CreateTime)) > 8*time.Second // see workload's healthy_deadline
}

// updated looks at an allocation that takes the place of an older version: what it depends
// on, and changed with it, was there before.
func (c *Watch) updated(a, prev *model.Allocation, seen uint64) {
	if !reconcile.Updates(prev.DesiredDescription) || prev.ClientTerminal() || prev.Job.CreateIndex != a.Job.CreateIndex || a.JobVersion == prev.JobVersion {
		return
	}
	before := precedence.Before(a.Job, a.TaskGroup)
	for _, g := range a.Job.TaskGroups {
		old := reconcile.Find(prev.Job, g.Name)
		if before[g.Name] == "" || old == nil || !reconcile.Changed(prev.Job, a.Job, g.Name) {
			continue
		}
		condition := before[g.Name]
		if !c.since(seen, func(s *state.Snapshot) bool { return c.there(s, a.Job, g, condition, true) }) {
			c.fail("%s (%s) is updated before group %s%s", a.Name, a.ID, g.Name, EvalsOf(c.store.Snapshot(), a.Job))
		}
		c.After[1]++
	}
}

// stopped looks at an instance that is stopped with its job: what depends on it has ended,
// or has had its time.
func (c *Watch) stopped(before, after *model.Allocation) {
	if before == nil || before.ServerTerminal() || !after.ServerTerminal() || after.DesiredDescription != reconcile.DescStopped || before.ClientTerminal() ||
		before.DesiredTransition.Migrate != nil && *before.DesiredTransition.Migrate {
		return
	}
	snap := c.store.Snapshot()
	job := snap.Job(after.Namespace, after.JobID)
	if job == nil || !job.Stop || !precedence.Uses(job) {
		return
	}
	seen := snap.Index()
	for e := range snap.EvalsByJob(job.Namespace, job.ID) {
		if e.ModifyIndex == snap.Index() && e.SnapshotIndex > 0 {
			seen = min(seen, e.SnapshotIndex)
		}
	}
	for _, g := range job.TaskGroups {
		if precedence.Before(job, g.Name)[after.TaskGroup] == "" {
			continue
		}
		c.After[2]++
		if !c.since(seen, func(s *state.Snapshot) bool { return c.over(s, job, g.Name) }) {
			c.fail("%s (%s) is stopped before %s, which depends on it%s", after.Name, after.ID, g.Name, EvalsOf(c.store.Snapshot(), job))
		}
	}
}

// over tells whether nothing of a group runs on a node that is there, but what has had
// time to stop.
func (c *Watch) over(s *state.Snapshot, job *model.Job, group string) bool {
	for a := range s.AllocsByJob(job.Namespace, job.ID) {
		n := s.Node(a.NodeID)
		if a.TaskGroup != group || a.ClientTerminal() || n == nil || n.Status == model.NodeStatusDown {
			continue
		}
		if a.ServerTerminal() && time.Unix(0, c.time).Sub(time.Unix(0, a.ModifyTime)) >= reconcile.MaxStopStage {
			continue
		}
		return false
	}
	return true
}
