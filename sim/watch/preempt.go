package watch

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched"
)

// preempts looks at what gives way to a new allocation: all of it in the same entry,
// of jobs that matter less, and on its node; and somebody looks at those jobs.
func (c *Watch) preempts(a *model.Allocation) {
	snap := c.store.Snapshot()
	for _, id := range a.PreemptedAllocations {
		v := snap.Alloc(id)
		switch {
		case v == nil:
			c.fail("%s takes the place of %s, which does not exist", a.ID, id)
		case v.ClientTerminal() && v.PreemptedByAllocation == "":
			// It ended by itself when the plan was on its way.
		case v.DesiredStatus != model.DesiredEvict || v.PreemptedByAllocation != a.ID:
			c.fail("%s takes the place of %s, which is %s for %q", a.ID, id, v.DesiredStatus, v.PreemptedByAllocation)
		case v.NodeID != a.NodeID:
			c.fail("%s takes the place of %s, which is on another node", a.ID, id)
		case v.Job.Priority+sched.PreemptionDistance > a.Job.Priority:
			c.fail("%s of priority %d takes the place of %s of %d", a.ID, a.Job.Priority, id, v.Job.Priority)
		case snap.Job(v.Namespace, v.JobID) != nil && !c.looked(v, snap.Index()):
			c.fail("nobody looks at job %s, of which %s gave way to %s", v.JobID, id, a.ID)
		}
		c.Preempted++
	}
}
