package alloc

import (
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// health is what a node has to say of an allocation in its deployment. Once said, it
// stays; in another deployment it begins anew.
type health struct {
	deployment string
	since      time.Time // when the allocation was first seen in it, by this agent
	word       *model.AllocDeploymentStatus
}

// Judge says whether an allocation is healthy as soon as that can be said, and tells
// when it just did. Healthy is one whose tasks have all run for min_healthy_time without
// a restart; unhealthy one that has failed, or was not healthy by healthy_deadline.
// Manual health checks leave all but failures to an operator.
func (c *Core) Judge(o Order, now time.Time) bool {
	a, u := o.Assigned.Alloc, deploy.Strategy(o.Assigned.Job, c.group)
	if a.DeploymentID != c.health.deployment {
		c.health = health{deployment: a.DeploymentID, since: now}
	}
	if a.DeploymentID == "" || u == nil || c.health.word != nil || a.Terminal() {
		return false
	}
	healthy, failed := false, false
	since, up := c.upSince()
	for _, t := range c.tasks {
		failed = failed || t.status.Phase == task.Dead && t.status.Failed
	}
	switch {
	case failed:
	case u.HealthCheck == deploy.Manual:
		return false
	case up && !now.Before(since.Add(u.MinHealthyTime)):
		healthy = true
	case !now.Before(c.health.since.Add(u.HealthyDeadline)):
	default:
		return false
	}
	c.health.word = &model.AllocDeploymentStatus{Healthy: &healthy, Timestamp: now.UTC(), ModifyIndex: a.AllocModifyIndex}
	return true
}

// Health is what Judge has said of the allocation; nil for nothing.
func (c *Core) Health() *model.AllocDeploymentStatus { return c.health.word }

// upSince is since when all tasks that should run do; false when one does not.
func (c *Core) upSince() (time.Time, bool) {
	var since time.Time
	for _, t := range c.tasks {
		switch {
		case t.role == rolePoststop || t.role == rolePoststart:
			continue
		case !t.role.sidecar() && t.status.Succeeded():
			continue // it has done its work, and will not run again
		case t.status.Phase != task.Running:
			return time.Time{}, false
		}
		if t.status.StartedAt.After(since) {
			since = t.status.StartedAt
		}
	}
	return since, true
}

// judgeAt is when Judge may have something to say though nothing is seen; zero for
// never.
func (c *Core) judgeAt(o Order) time.Time {
	u := deploy.Strategy(o.Assigned.Job, c.group)
	if c.health.deployment == "" || c.health.word != nil || u == nil || u.HealthCheck == deploy.Manual || o.Assigned.Alloc.Terminal() {
		return time.Time{}
	}
	at := c.health.since.Add(u.HealthyDeadline)
	if since, up := c.upSince(); up && since.Add(u.MinHealthyTime).Before(at) {
		at = since.Add(u.MinHealthyTime)
	}
	return at
}
