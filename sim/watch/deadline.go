package watch

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deadline"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// endTime is what it takes to end a process whose time is over: its kill_timeout, which
// is three seconds here at most, and what an agent needs to act.
const endTime = 5 * time.Second

// outOfTime counts what was ended for want of time; nothing of the same version of its
// job comes in its place, unless an operator wants it.
func (c *Watch) outOfTime(before, after *model.Allocation) {
	if deadline.Overran(after) && (before == nil || !deadline.Overran(before)) {
		c.overran++
		if after.ClientStatus != model.ClientFailed {
			c.fail("%s had no time left, and is %s", after.Name, after.ClientStatus)
		}
	}
	if before != nil {
		return
	}
	prev := c.store.Snapshot().Alloc(after.PreviousAllocation)
	if prev == nil || !deadline.Overran(prev) || prev.ServerTerminal() && prev.DesiredDescription != reconcile.DescRescheduled {
		return // stopped first by somebody who replaced it
	}
	if force := prev.DesiredTransition.ForceReschedule; prev.JobVersion == after.JobVersion && (force == nil || !*force) {
		c.fail("%s had no time left, and %s takes its place", prev.ID, after.ID)
	}
}

// Overtime looks at a task's process that ends, whoever caused it: it ran for no longer
// than its group may, unless there was no agent (one that runs is up without a break since
// then).
func (c *Watch) Overtime(runs bool, alloc, task string, started, up, now time.Time) {
	a := c.store.Snapshot().Alloc(alloc)
	if !runs || a == nil || a.Job == nil {
		return
	}
	g := reconcile.Find(a.Job, a.TaskGroup)
	if g == nil || g.MaxRunDuration <= 0 {
		return
	}
	for _, t := range g.Tasks {
		if t.Name != task || t.Lifecycle != nil {
			continue
		}
		due := started.Add(g.MaxRunDuration)
		if due.Before(up) {
			due = up
		}
		if late := now.Sub(due); late > endTime {
			c.fail("%s of %s ended %s after its time was over (max_run_duration %s)", task, alloc, late, g.MaxRunDuration)
		}
	}
}
