package reconcile

import (
	"cmp"
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/stateful"
)

// mode is what says when the update of a group goes on.
type mode uint8

const (
	byTime   mode = iota // instances have run for long enough
	byHealth             // a deployment's instances are healthy
	held                 // nothing now: it is paused, has failed, or waits for its canaries
)

// deploy finds the deployment of the job's version, or begins one: with the first
// instances of the version, and where there are instances of another one.
func (r *run) deploy(byGroup map[string][]*model.Allocation) {
	if !r.in.Deploys {
		return
	}
	if deploy.Of(r.in.Deployment, r.in.Job) {
		r.deployment = r.in.Deployment
	} else if r.begins(byGroup) {
		r.deployment = deploy.New(r.in.NewID(), r.in.Job, r.in.Now, func(g *model.TaskGroup) bool {
			return slices.ContainsFunc(byGroup[g.Name], r.wantedBefore)
		})
		r.deployment = stateful.Narrow(r.deployment, r.in.Job, slices.Values(r.in.Allocs))
		r.out.Begins = r.deployment != nil
	}
	if deploy.Active(r.deployment) {
		r.out.Deployment = r.deployment
	}
}

// begins tells whether there is something to deploy, and not all of it waits.
func (r *run) begins(byGroup map[string][]*model.Allocation) bool {
	if !slices.ContainsFunc(r.in.Job.TaskGroups, func(g *model.TaskGroup) bool {
		return deploy.Strategy(r.in.Job, g) != nil && g.Count > 0 && r.in.Waits[g.Name] != ToStart
	}) {
		return false
	}
	current, other := false, false
	for _, allocs := range byGroup {
		for _, a := range allocs {
			switch {
			case r.current(a):
				current = true
			case !a.Terminal() && !stateful.Spares(r.in.Job, a):
				other = true
			}
		}
	}
	return other || !current
}

// wantedBefore tells whether an allocation is of an older version that has to be
// replaced, and it, or what comes in its place, is wanted.
func (r *run) wantedBefore(a *model.Allocation) bool {
	return r.outdated(a) && !deploy.Canary(a) && a.NextAllocation == "" && (!a.ServerTerminal() || awaited(a))
}

// newRoll is the update of a group.
func (r *run) newRoll(g *model.TaskGroup) *roll {
	roll := &roll{run: r, group: g}
	if r.deployment == nil || r.deployment.TaskGroups[g.Name] == nil || deploy.Strategy(r.in.Job, g) == nil {
		return roll
	}
	switch r.deployment.Status {
	case model.DeploymentRunning:
		roll.mode = byHealth
		if deploy.Waits(r.deployment.TaskGroups[g.Name]) {
			roll.mode = held
		}
	case model.DeploymentPaused, model.DeploymentFailed:
		roll.mode = held
	}
	return roll
}

// waits tells whether the group has canaries that are not promoted.
func (r *roll) waits() bool {
	return r.mode == held && deploy.Active(r.deployment) && deploy.Waits(r.deployment.TaskGroups[r.group.Name])
}

// canaries is how many there should be beside the group's instances.
func (r *roll) canaries() int {
	if !r.waits() {
		return 0
	}
	return r.deployment.TaskGroups[r.group.Name].DesiredCanaries
}

// begins tells whether a name that has nothing gets an instance of the new version: not
// while it is held beside an older one.
func (r *roll) begins() bool {
	return r.mode != held || !r.mixed && r.deployment.Status == model.DeploymentFailed
}

// past tells whether what replaces an instance is of the same version, because the
// update does not go on. There is nothing to go back to in an earlier job of that name.
func (r *roll) past(a *model.Allocation) bool {
	return r.mode == held && r.outdated(a) && a.Job != nil && a.Job.CreateIndex == r.in.Job.CreateIndex && Find(a.Job, r.group.Name) != nil
}

// joins tells whether an instance of the present version is not in its deployment yet.
func (r *roll) joins(a *model.Allocation) bool {
	return r.mode != byTime && deploy.Active(r.deployment) && a.DeploymentID != r.deployment.ID
}

// judge takes in what is said of an instance's health.
func (r *roll) judge(a *model.Allocation) {
	if deploy.Healthy(a) && a.DeploymentID == r.deployment.ID {
		return
	}
	r.unhealthy++
	if deploy.Unhealthy(a) || a.RescheduleTracker != nil && len(a.RescheduleTracker.Events) > 0 {
		r.paused = true
	}
}

// room puts the instances that are to be replaced in order, and tells how many may be
// now. First come those that nobody would miss, all of them; then those that an earlier
// deployment has brought and nobody has called healthy, as many as may be under way; then
// those that do well: only as many as may be missing beside all of the others. What a
// drain moves just now counts, too.
func (r *roll) room(most int) int {
	rank := make(map[string]int, len(r.old))
	var count [3]int
	for _, a := range r.old {
		n := 2
		if _, runs := StartedAt(a, groupOf(a, r.group)); !runs || deploy.Unhealthy(a) {
			n = 0
		} else if a.DeploymentID != "" && !deploy.Healthy(a) {
			n = 1
		}
		rank[a.ID] = n
		count[n]++
	}
	slices.SortStableFunc(r.old, func(a, b *model.Allocation) int { return cmp.Compare(rank[a.ID], rank[b.ID]) })
	left := max(0, most-r.unhealthy-r.moves)
	return count[0] + min(left, count[1]) + max(0, min(left-count[0]-count[1], count[2]))
}

// groupOf is the group of an allocation in its own version of the job.
func groupOf(a *model.Allocation, now *model.TaskGroup) *model.TaskGroup {
	if g := Find(a.Job, now.Name); g != nil {
		return g
	}
	return now
}
