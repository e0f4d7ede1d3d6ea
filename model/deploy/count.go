package deploy

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

// Verdict is an allocation's part in its deployment with that word on its health.
func Verdict(a *model.Allocation, healthy bool, at time.Time, index uint64) *model.AllocDeploymentStatus {
	return &model.AllocDeploymentStatus{Healthy: &healthy, Timestamp: at, Canary: Canary(a), ModifyIndex: index}
}

// Hear is an allocation's part in its deployment after a report with a client status (and
// report nil: the node says nothing of health). The first word counts; but what fails is
// not healthy, whatever was said. A report of what the node knew before the allocation
// was in this deployment says nothing of it.
//
//	nothing ─► healthy ─(fails)─► unhealthy
//	      └──────────────────────────┘
func Hear(a *model.Allocation, status string, report *model.AllocDeploymentStatus, now time.Time, index uint64) *model.AllocDeploymentStatus {
	was := a.DeploymentStatus
	switch {
	case a.DeploymentID == "":
		return was
	case status == model.ClientFailed && a.ClientStatus != model.ClientFailed && !a.ServerTerminal():
		if Unhealthy(a) {
			return was
		}
		return Verdict(a, false, now, index)
	case report == nil || report.Healthy == nil:
		return was
	case was != nil && (was.Healthy != nil || report.ModifyIndex < was.ModifyIndex):
		return was
	}
	return Verdict(a, *report.Healthy, report.Timestamp, index)
}

// weight is what an allocation counts in its deployment.
type weight struct{ live, healthy, unhealthy int }

func weigh(a *model.Allocation) (w weight) {
	if !a.Terminal() {
		w.live++
		if Healthy(a) {
			w.healthy++
		}
	}
	if Unhealthy(a) {
		w.unhealthy++
	}
	return w
}

// joined tells whether an allocation is new in its deployment.
func joined(before, after *model.Allocation) bool {
	return before == nil || before.DeploymentID != after.DeploymentID
}

// Counts tells whether a change of an allocation (before is nil for one that is placed)
// changes what its deployment counts.
func Counts(before, after *model.Allocation) bool {
	return after.DeploymentID != "" && (joined(before, after) || weigh(before) != weigh(after))
}

// Count counts a change of an allocation in its deployment, which may be changed.
func Count(d *model.Deployment, before, after *model.Allocation, now time.Time, index uint64) {
	s := d.TaskGroups[after.TaskGroup]
	if s == nil {
		return
	}
	var was weight
	is, fresh := weigh(after), joined(before, after)
	if !fresh {
		was = weigh(before)
	}
	s.LiveAllocs += is.live - was.live
	s.HealthyAllocs += is.healthy - was.healthy
	s.UnhealthyAllocs += is.unhealthy - was.unhealthy
	if is.healthy > was.healthy {
		Progressed(s, now)
	}
	if !fresh {
		d.HealthIndex = index
		return
	}
	s.PlacedAllocs++
	if Canary(after) {
		s.PlacedCanaries = append(s.PlacedCanaries, after.ID)
	}
}

// InPlan tells whether a plan brings a deployment, or old versions beside the new one.
func InPlan(p *model.Plan) bool {
	if p.Deployment != nil {
		return true
	}
	for _, g := range p.Groups {
		if g != nil && g.OfPrevious {
			return true
		}
	}
	return false
}
