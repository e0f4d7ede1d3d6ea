package readiness

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// meets tells whether an instance that the servers want meets a condition, and if not,
// when it will should nothing happen; zero for never.
func (r *reader) meets(a *model.Allocation, job *model.Job, g *model.TaskGroup, condition string, present bool) (bool, time.Time) {
	if deploy.Canary(a) || (present || a.ClientTerminal()) && outdated(a, job) {
		return false, time.Time{}
	}
	switch condition {
	case depends.Started:
		return a.ClientStatus == model.ClientRunning || finished(a, job), time.Time{}
	case depends.Completed:
		return finished(a, job), time.Time{}
	}
	at, ok := healthyAt(a, job, g)
	if !ok || at.After(r.now) {
		return false, at
	}
	return true, time.Time{}
}

// outdated tells whether an instance would be replaced to run the job's present version.
func outdated(a *model.Allocation, job *model.Job) bool {
	return a.JobVersion != job.Version && reconcile.Changed(a.Job, job, a.TaskGroup)
}

// finished tells whether an instance of a batch job has done its work.
func finished(a *model.Allocation, job *model.Job) bool {
	if job.Type != model.JobTypeBatch && job.Type != model.JobTypeSysbatch || a.ClientStatus != model.ClientComplete {
		return false
	}
	for _, t := range a.TaskStates {
		if t != nil && t.Failed {
			return false
		}
	}
	return true
}

// healthyAt is since when an instance does well, or when it will should nothing happen;
// false when nobody knows. The word of its deployment counts, where there was one. A
// deployment that ended before it was spoken, and an instance that came without one,
// leave it to the time that all of its tasks run.
func healthyAt(a *model.Allocation, job *model.Job, g *model.TaskGroup) (time.Time, bool) {
	if own := reconcile.Find(a.Job, g.Name); own != nil {
		g = own
	}
	since, runs := reconcile.StartedAt(a, g)
	u := g.Update
	if u == nil {
		u = job.Update
	}
	if u == nil {
		u = model.NewUpdateStrategy()
	}
	switch {
	case !runs || deploy.Unhealthy(a):
		return time.Time{}, false
	case deploy.Healthy(a):
		return time.Time{}, true
	case a.DeploymentID == "":
		return since.Add(u.MinHealthyTime), true
	case u.HealthCheck == deploy.Manual:
		return time.Time{}, false
	}
	return since.Add(max(u.MinHealthyTime, u.HealthyDeadline)), true
}
