// Package deploy holds what scheduler, state machine, leader and CLI mean by a
// deployment. It is part of the model: pure.
//
//	            ┌─ paused ◄─► running ─┐
//	created ────┤                      ├─► successful | failed | cancelled
//	            └──────────────────────┘
//
// Contract and invariants:
//
//   - Updates of services are deployments, of groups that have a count and replace
//     max_parallel instances at a time. max_parallel 0 replaces all at once, without one.
//   - A job has at most one deployment that is active, and it is of the newest version.
//   - A group waits with its canaries until it is promoted; then they are instances as
//     all others.
//
// Example:
//
//	if s := deploy.Strategy(job, group); s != nil { ... }
package deploy

import (
	"maps"
	"slices"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// Level is the feature level that deployments came with.
const Level = feature.Deployments

// AttrHealth is the attribute of nodes whose agents say when an allocation is healthy.
// Those of earlier versions do not: the leader goes by what they say of its tasks.
const AttrHealth = "steppe.health"

// What deployments say of themselves.
const (
	DescRolls      = "Deployment is running"
	DescWaits      = "Deployment is running, and waits for its canaries to be promoted"
	DescPaused     = "Deployment is paused"
	DescSuccessful = "Deployment completed: all instances are of the new version, and healthy"
	DescNewer      = "Cancelled because the job has a newer version"
	DescStopped    = "Cancelled because the job is stopped"
	DescUnhealthy  = "Failed because of an unhealthy allocation"
	DescDeadline   = "Failed because a group made no progress within progress_deadline"
	DescOperator   = "Failed because an operator said so"
)

// Strategy is what a group's updates go by; nil when they are no deployments.
func Strategy(job *model.Job, g *model.TaskGroup) *model.UpdateStrategy {
	if job.Type != model.JobTypeService {
		return nil
	}
	u := g.Update
	if u == nil {
		u = job.Update
	}
	if u == nil || u.MaxParallel <= 0 {
		return nil
	}
	return u
}

// Needed tells whether a job asks for what only deployments bring.
func Needed(job *model.Job) bool {
	usual := model.NewUpdateStrategy()
	for _, g := range job.TaskGroups {
		if g == nil {
			continue
		}
		u := Strategy(job, g)
		if u == nil {
			continue
		}
		if u.Canary > 0 || u.AutoRevert || u.AutoPromote || u.HealthCheck == Manual ||
			u.HealthyDeadline != usual.HealthyDeadline || u.ProgressDeadline != usual.ProgressDeadline {
			return true
		}
	}
	return false
}

// Manual is the health_check that leaves the word to an operator.
const Manual = "manual"

// New is the deployment of a job's version; nil when no group of it is deployed. waits
// tells which groups begin with canaries.
func New(id string, job *model.Job, now time.Time, waits func(g *model.TaskGroup) bool) *model.Deployment {
	d := &model.Deployment{
		ID: id, Namespace: job.Namespace, JobID: job.ID, JobVersion: job.Version, JobModifyIndex: job.ModifyIndex,
		JobSpecModifyIndex: job.JobModifyIndex, JobCreateIndex: job.CreateIndex, Status: model.DeploymentRunning,
		TaskGroups: make(map[string]*model.DeploymentState), CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(),
	}
	for _, g := range job.TaskGroups {
		u := Strategy(job, g)
		if u == nil || g.Count <= 0 {
			continue
		}
		s := &model.DeploymentState{
			AutoRevert: u.AutoRevert, AutoPromote: u.AutoPromote, ProgressDeadline: u.ProgressDeadline, DesiredTotal: g.Count,
		}
		if u.Canary > 0 && waits(g) {
			s.DesiredCanaries = min(u.Canary, g.Count)
		}
		Progressed(s, now)
		d.TaskGroups[g.Name] = s
	}
	if len(d.TaskGroups) == 0 {
		return nil
	}
	d.StatusDescription = Describe(d)
	return d
}

// Progressed gives a group its progress_deadline anew.
func Progressed(s *model.DeploymentState, now time.Time) {
	s.RequireProgressBy = time.Time{}
	if s.ProgressDeadline > 0 {
		s.RequireProgressBy = now.Add(s.ProgressDeadline).UTC()
	}
}

// Active tells whether a deployment has not ended.
func Active(d *model.Deployment) bool {
	return d != nil && (d.Status == model.DeploymentRunning || d.Status == model.DeploymentPaused)
}

// Of tells whether a deployment is of a job's present version.
func Of(d *model.Deployment, job *model.Job) bool {
	return d != nil && job != nil && d.JobVersion == job.Version && d.JobCreateIndex == job.CreateIndex
}

// Waits tells whether a group has canaries that are not promoted.
func Waits(s *model.DeploymentState) bool { return s.DesiredCanaries > 0 && !s.Promoted }

// Groups are the names of a deployment's groups, in order.
func Groups(d *model.Deployment) []string { return slices.Sorted(maps.Keys(d.TaskGroups)) }

// Waiting are the groups that wait for a promotion.
func Waiting(d *model.Deployment) []string {
	return slices.DeleteFunc(Groups(d), func(g string) bool { return !Waits(d.TaskGroups[g]) })
}

// Describe is what an active deployment says of itself.
func Describe(d *model.Deployment) string {
	switch {
	case d.Status == model.DeploymentPaused:
		return DescPaused
	case len(Waiting(d)) > 0:
		return DescWaits
	}
	return DescRolls
}

// Copy is a deployment that may be changed.
func Copy(d *model.Deployment) *model.Deployment {
	next := *d
	next.TaskGroups = make(map[string]*model.DeploymentState, len(d.TaskGroups))
	for name, s := range d.TaskGroups {
		own := *s
		own.PlacedCanaries = slices.Clone(s.PlacedCanaries)
		next.TaskGroups[name] = &own
	}
	return &next
}

// Healthy and Unhealthy are what was said of an allocation's health; neither, as long
// as nothing was.
func Healthy(a *model.Allocation) bool { return said(a) && *a.DeploymentStatus.Healthy }

// Unhealthy is the other word; see Healthy.
func Unhealthy(a *model.Allocation) bool { return said(a) && !*a.DeploymentStatus.Healthy }

func said(a *model.Allocation) bool {
	return a.DeploymentStatus != nil && a.DeploymentStatus.Healthy != nil
}

// Canary tells whether an allocation is a canary that was not promoted.
func Canary(a *model.Allocation) bool { return a.DeploymentStatus != nil && a.DeploymentStatus.Canary }

// HealthyCanaries counts the canaries of a group that are to run, and do well.
func HealthyCanaries(s *model.DeploymentState, alloc func(id string) *model.Allocation) int {
	n := 0
	for _, id := range s.PlacedCanaries {
		if a := alloc(id); a != nil && !a.Terminal() && Healthy(a) {
			n++
		}
	}
	return n
}

// RolledOut tells whether all instances of a group are of the new version, and to run.
func RolledOut(s *model.DeploymentState) bool { return !Waits(s) && s.LiveAllocs >= s.DesiredTotal }

// Done tells whether they are healthy, too.
func Done(s *model.DeploymentState) bool { return !Waits(s) && s.HealthyAllocs >= s.DesiredTotal }
