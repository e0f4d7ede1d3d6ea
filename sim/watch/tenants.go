package watch

import (
	"path"
	"slices"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// tenants is what is known to look at who shares the cluster: what was admitted fits into its quota, by a
// recount of all jobs, and keeps to the rules of its namespace; nothing is placed in
// another node pool; a namespace that is deleted is empty. An entry may change rules and
// jobs, so each was right if it was before the entry or after.
type tenants struct {
	prior    *state.Snapshot // before the newest entry
	single   bool            // that has one command: prior is what it saw
	admitted int             // into namespaces with a quota
}

// Admitted is how many versions of jobs were admitted into namespaces with a quota.
func (c *Watch) Admitted() int { return c.tenants.admitted }

// admits looks at a new version of a job.
func (c *Watch) admits(before, after *model.Job) {
	if after.Stop || before != nil && before.CreateIndex == after.CreateIndex && before.Version == after.Version {
		return
	}
	views := []*state.Snapshot{c.tenants.prior, c.Snapshot()}
	if !slices.ContainsFunc(views, func(s *state.Snapshot) bool { return permitted(s.Namespace(after.Namespace), after) }) {
		c.fail("job %s of namespace %s in pool %s, priority %d, was admitted against its namespace's rules", after.ID, after.Namespace, after.NodePool, after.Priority)
	}
	quota := ""
	if ns := c.Snapshot().Namespace(after.Namespace); ns != nil {
		quota = ns.Quota
	}
	if quota == "" {
		return
	}
	c.tenants.admitted++
	if !slices.ContainsFunc(views, func(s *state.Snapshot) bool { return c.room(s.Quota(quota), before, after) }) {
		memory, count := c.recount(quota)
		c.fail("job %s of namespace %s was admitted beyond quota %s: memory %d, count %d in all, the limit is %+v",
			after.ID, after.Namespace, quota, memory, count, c.Snapshot().Quota(quota).Limits[0].RegionLimit)
	}
}

// room tells whether everything fits into a quota, or the job grew in nothing that does
// not.
func (c *Watch) room(q *tenancy.Quota, before, after *model.Job) bool {
	if q == nil {
		return false
	}
	memory, count := c.recount(q.Name)
	var hadMemory, hadCount int
	if before != nil && before.CreateIndex == after.CreateIndex {
		hadMemory, hadCount = asked(c.tenants.prior, before)
	}
	hasMemory, hasCount := asked(c.Snapshot(), after)
	l := q.Limits[0].RegionLimit
	fits := func(limit, all, had, has int) bool { return limit == 0 || all <= max(0, limit) || has <= had }
	return fits(l.MemoryMB, memory, hadMemory, hasMemory) && fits(l.Count, count, hadCount, hasCount)
}

// recount is what all jobs of a quota ask for.
func (c *Watch) recount(quota string) (memory, count int) {
	snap := c.Snapshot()
	for j := range snap.Jobs(state.Range{}) {
		if ns := snap.Namespace(j.Namespace); ns != nil && ns.Quota == quota {
			m, n := asked(snap, j)
			memory, count = memory+m, count+n
		}
	}
	return memory, count
}

// asked is what a job asks for: no version has the work of another here.
func asked(snap *state.Snapshot, j *model.Job) (memory, count int) {
	if j.Stop || j.Type == model.JobTypeBatch && j.Status == model.JobStatusDead || j.ParameterizedJob != nil && !j.Dispatched {
		return 0, 0
	}
	for _, g := range j.TaskGroups {
		each := 0
		for _, t := range g.Tasks {
			each += t.Resources.MemoryMB
		}
		done := map[string]bool{}
		for a := range snap.AllocsByJob(j.Namespace, j.ID) {
			if j.Type == model.JobTypeBatch && a.TaskGroup == g.Name && a.JobVersion == j.Version && a.Job.CreateIndex == j.CreateIndex &&
				a.ClientStatus == model.ClientComplete && !a.ServerTerminal() && a.Index() < g.Count {
				done[a.Name] = true
			}
		}
		memory, count = memory+each*(g.Count-len(done)), count+g.Count-len(done)
	}
	return memory, count
}

// permitted tells whether the rules of a namespace let a job in.
func permitted(ns *tenancy.Namespace, j *model.Job) bool {
	if ns == nil {
		return false
	}
	if s := ns.SchedulerConfiguration; s != nil && s.MaxPriority > 0 && j.Priority > s.MaxPriority {
		return false
	}
	r := ns.NodePoolConfiguration
	if r == nil {
		return true
	}
	own := r.Default
	if own == "" {
		own = "default"
	}
	if j.NodePool == own {
		return true
	}
	hit := func(list []string) bool {
		return slices.ContainsFunc(list, func(p string) bool { ok, _ := path.Match(p, j.NodePool); return ok })
	}
	if len(r.Denied) > 0 {
		return j.NodePool != "all" && !hit(r.Denied)
	}
	return r.Allowed == nil || hit(r.Allowed)
}

// pooled: nothing is placed outside of its job's node pool.
func (c *Watch) pooled(a *model.Allocation) {
	n := c.Snapshot().Node(a.NodeID)
	if n != nil && a.Job.NodePool != "all" && n.NodePool != a.Job.NodePool {
		c.fail("%s of pool %s was placed on %s of pool %s", a.ID, a.Job.NodePool, n.Name, n.NodePool)
	}
}

// emptied: a namespace that was deleted has nothing that goes on.
func (c *Watch) emptied(name string) {
	snap := c.Snapshot()
	if snap.Namespace(name) != nil {
		return // and created again
	}
	for j := range snap.Jobs(state.Range{Namespace: name}) {
		c.fail("namespace %s is deleted, and has job %s (%s)", name, j.ID, j.Status)
	}
	for j := range c.tenants.prior.Jobs(state.Range{Namespace: name}) {
		if c.tenants.single && j.Status != model.JobStatusDead {
			c.fail("namespace %s is deleted, and job %s was %s", name, j.ID, j.Status)
		}
	}
	for a := range snap.Allocs(state.Range{Namespace: name}) {
		if !a.ClientTerminal() {
			c.fail("namespace %s is deleted, and %s of %s goes on", name, a.ID, a.JobID)
		}
	}
}
