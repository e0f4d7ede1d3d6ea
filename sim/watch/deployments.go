package watch

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/stateful"
	"github.com/steppe-project/steppe/sched/readiness"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// deployments remembers what the state does not say of updates.
type deployments struct {
	// goesBack tells that the entry may make an older version of a job its newest.
	goesBack bool
	// wrote is the mark of each job's newest version that a user wrote.
	wrote map[string]string
	// missed are instances whose predecessors an update stopped though they were well.
	missed map[string]bool
	// ended counts the deployments by how they ended; promoted and reverted what happened
	// on the way.
	ended              map[string]int
	promoted, reverted int
}

func newDeployments() deployments {
	return deployments{wrote: map[string]string{}, missed: map[string]bool{}, ended: map[string]int{}}
}

// Counts is how many deployments ended, by status, with the promotions and the ways
// back, and what else was seen by its name.
func (c *Watch) Counts() map[string]int {
	out := map[string]int{"promoted": c.promoted, "reverted": c.reverted, "overran": c.overran, "gangs": c.gangs.whole, "disbanded": c.gangs.disbanded}
	for status, n := range c.ended {
		out[status] = n
	}
	return out
}

// expectRevert notes whether an entry may take a job back.
func (c *Watch) expectRevert(e fsm.Entry) {
	c.goesBack = false
	for _, cmd := range e.Commands {
		c.goesBack = c.goesBack || cmd.Kind == fsm.KindRevertJob || cmd.Kind == fsm.KindDeploymentStatus
	}
}

// version looks at a new version of a job: a mark is written once, but for versions that
// a job goes back to. Those ask for what a stable one asked for, when nobody wanted it.
func (c *Watch) version(before, after *model.Job) {
	mark := after.Meta[c.mark]
	c.marks[mark]++
	if c.marks[mark] == 1 {
		c.wrote[after.ID] = mark
		return
	}
	if !c.goesBack || before == nil {
		c.fail("write %s of job %s was done %d times", mark, after.ID, c.marks[mark])
		return
	}
	c.reverted++
	if before.Meta[c.mark] == mark && !before.Stop {
		c.fail("job %s goes back from %s to itself", after.ID, mark)
	}
}

// deployment looks at a change of a deployment.
func (c *Watch) deployment(before, after *model.Deployment) {
	snap := c.store.Snapshot()
	if before != nil && !deploy.Active(before) && (before.Status != after.Status || before.StatusDescription != after.StatusDescription) {
		c.fail("deployment %s was %s, and is %s", after.ID, before.Status, after.Status)
	}
	if before != nil && deploy.Active(before) && !deploy.Active(after) {
		c.ended[after.Status]++
	}
	if deploy.Active(after) {
		for d := range snap.DeploymentsByJob(after.Namespace, after.JobID) {
			if d.ID != after.ID && deploy.Active(d) {
				c.fail("two deployments of job %s are under way: %s, %s", after.JobID, d.ID, after.ID)
			}
		}
		if snap.Deployment(after.ID) == after { // else the entry changed it again
			c.counts(snap, after)
		}
	}
	for _, name := range deploy.Groups(after) {
		s := after.TaskGroups[name]
		if before != nil && before.TaskGroups[name] != nil && s.Promoted && !before.TaskGroups[name].Promoted {
			c.promoted++
			n := 0
			for _, id := range s.PlacedCanaries {
				if a := snap.Alloc(id); a != nil && a.DesiredStatus == model.DesiredRun && deploy.Healthy(a) {
					n++
				}
			}
			if n < s.DesiredCanaries {
				c.fail("group %s of %s was promoted with %d of %d canaries healthy", name, after.JobID, n, s.DesiredCanaries)
			}
		}
		if after.Status == model.DeploymentSuccessful && (before == nil || before.Status != after.Status) {
			c.complete(snap, after, name)
		}
	}
}

// counts: what a deployment counts is what its allocations say; of canaries there are no
// more than wanted.
func (c *Watch) counts(snap *state.Snapshot, d *model.Deployment) {
	live, healthy, canaries := map[string]int{}, map[string]int{}, map[string]int{}
	for a := range snap.AllocsByDeployment(d.ID) {
		if a.Terminal() {
			continue
		}
		live[a.TaskGroup]++
		if deploy.Healthy(a) {
			healthy[a.TaskGroup]++
		}
		if deploy.Canary(a) {
			canaries[a.TaskGroup]++
		}
	}
	for name, s := range d.TaskGroups {
		if s.LiveAllocs != live[name] || s.HealthyAllocs != healthy[name] {
			c.fail("group %s of %s counts %d instances, %d healthy; there are %d, %d healthy", name, d.JobID, s.LiveAllocs, s.HealthyAllocs, live[name], healthy[name])
		}
		if canaries[name] > s.DesiredCanaries {
			c.fail("group %s of %s has %d canaries, %d are wanted", name, d.JobID, canaries[name], s.DesiredCanaries)
		}
	}
}

// complete: a deployment that was successful has left nothing to do.
func (c *Watch) complete(snap *state.Snapshot, d *model.Deployment, group string) {
	n := 0
	for a := range snap.AllocsByJob(d.Namespace, d.JobID) {
		switch {
		case a.TaskGroup != group || a.Terminal() || stateful.Spares(snap.Job(d.Namespace, d.JobID), a):
		case a.DeploymentID != d.ID:
			c.fail("the deployment of %s is successful, and %s runs version %d", d.JobID, a.Name, a.JobVersion)
		case deploy.Healthy(a):
			n++
		}
	}
	if want := d.TaskGroups[group].DesiredTotal; n < want && stateful.Of(snap.Job(d.Namespace, d.JobID), group) == nil {
		c.fail("the deployment of %s is successful, and %d of %d instances of %s are healthy", d.JobID, n, want, group)
	}
}

// budget: an update takes no more of a group than max_parallel: instances that it has
// stopped though they were well, and whose successors are not healthy yet.
func (c *Watch) budget(before, after *model.Allocation) {
	if before == nil || before.ServerTerminal() || !after.ServerTerminal() || !reconcile.Updates(after.DesiredDescription) {
		return
	}
	snap := c.store.Snapshot()
	job := snap.Job(after.Namespace, after.JobID)
	g := reconcile.Find(job, after.TaskGroup)
	next := snap.Alloc(after.NextAllocation)
	if g == nil || g.Gang != nil || next == nil || next.DeploymentID == "" || deploy.Strategy(job, g) == nil || !well(before) && !c.missed[before.ID] {
		return
	}
	c.missed[next.ID] = true
	away := 0
	for a := range snap.AllocsByJob(after.Namespace, after.JobID) {
		if a.TaskGroup == after.TaskGroup && !a.Terminal() && c.missed[a.ID] && !deploy.Healthy(a) {
			away++
		}
	}
	if most := deploy.Strategy(job, g).MaxParallel; away > most && well(before) { // else it takes nothing more
		c.fail("the update of %s takes %d instances of %s at once, max_parallel is %d; %s was stopped%s", after.JobID, away, after.TaskGroup, most, after.ID[:8], EvalsOf(snap, job))
	}
}

// well tells whether an instance was missed when it was stopped.
func well(a *model.Allocation) bool {
	g := reconcile.Find(a.Job, a.TaskGroup)
	if g == nil || a.Terminal() || deploy.Unhealthy(a) || a.DeploymentID != "" && !deploy.Healthy(a) {
		return false
	}
	_, runs := reconcile.StartedAt(a, g)
	return runs
}

// Kept checks in the end that jobs are as their user wrote them last (marks in order, by
// job), or have gone back from that.
func (c *Watch) Kept(marks map[string][]string, stopped map[string]bool) {
	snap := c.store.Snapshot()
	for _, id := range slices.Sorted(maps.Keys(marks)) {
		if len(marks[id]) == 0 || stopped[id] {
			continue
		}
		j := snap.Job(model.DefaultNamespace, id)
		last := marks[id][len(marks[id])-1]
		lasting := strings.HasPrefix(id, "s") || strings.HasPrefix(id, "y") // a batch job that is done is collected
		switch {
		case j == nil && lasting:
			c.fail("job %s, last written as %s, is gone", id, last)
		case j != nil && c.wrote[id] != last:
			c.fail("job %s was last written as %s and is %s", id, last, c.wrote[id])
		}
	}
}

// Undeployed tells of a deployment that has not ended, and of which no group waits for
// another job; "" for none.
func Undeployed(snap *state.Snapshot) string {
	for d := range snap.Deployments(state.Range{}) {
		waits := readiness.Of(&fleet.Basis{Snapshot: snap}, snap.Job(d.Namespace, d.JobID), time.Unix(1<<40, 0))
		if deploy.Active(d) && len(waits) == 0 {
			out := "the deployment " + d.ID + " of " + d.JobID + " has not ended: " + d.Status + ", " + d.StatusDescription
			for _, g := range deploy.Groups(d) {
				s := d.TaskGroups[g]
				out += "; " + g + " by " + s.RequireProgressBy.Format(time.TimeOnly)
			}
			return out + EvalsOf(snap, snap.Job(d.Namespace, d.JobID))
		}
	}
	return ""
}
