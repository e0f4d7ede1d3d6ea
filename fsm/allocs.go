package fsm

import (
	"cmp"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/course"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
)

// UpdateAllocs takes reports of nodes on their allocations, and creates the
// evaluations that they call for. A client status only moves forward
// (pending, running, then complete, failed or lost; unknown beside running): a
// report that is behind changes nothing, and neither does, from feature level Order
// on, one that is not newer than the newest, or of an earlier run of the agent. Value: *Skipped, the allocations that
// are unknown, belong to another node, or were ahead of the report.
type UpdateAllocs struct {
	NodeID  string // when set, the only node whose allocations may change
	Updates []*model.AllocUpdate
	Evals   []*model.Evaluation
}

// Kind is KindUpdateAllocs.
func (*UpdateAllocs) Kind() Kind { return KindUpdateAllocs }

func (c *UpdateAllocs) apply(x *tx) (result, error) {
	out := &Skipped{}
	ordered := x.FeatureLevel() >= feature.Order
	deploys := x.FeatureLevel() >= feature.Deployments
	tally := &tally{tx: x}
	for _, up := range c.Updates {
		if up == nil {
			return nil, model.Errorf(model.CodeInvalid, "an allocation update is empty")
		}
		now := x.Alloc(up.ID)
		late := ordered && now != nil && !now.NewReport(up, x.Node(now.NodeID))
		if now == nil || late || c.NodeID != "" && now.NodeID != c.NodeID || !course.Forward(now.ClientStatus, up.ClientStatus) {
			out.add(up.ID)
			continue
		}
		next := *now
		next.ClientStatus, next.ClientDescription = course.Name(up.ClientStatus), up.ClientDescription
		next.TaskStates = up.TaskStates
		if ordered {
			next.ReportOrder = max(now.ReportOrder, up.Order)
		}
		if up.NetworkStatus != nil {
			next.NetworkStatus = up.NetworkStatus
		}
		switch {
		case deploys:
			next.DeploymentStatus = deploy.Hear(now, next.ClientStatus, up.DeploymentStatus, x.now(), x.index)
		case up.DeploymentStatus != nil:
			next.DeploymentStatus = mergeHealth(now.DeploymentStatus, up.DeploymentStatus, x.index)
		}
		next.ModifyIndex, next.ModifyTime = x.index, x.time
		x.Put(&next)
		tally.count(now, &next)
	}
	tally.put()
	return out, x.putEvals(c.Evals, nil)
}

// mergeHealth takes a node's word on health; whether the allocation is a canary
// is the servers'. It is for what was before feature level Deployments.
func mergeHealth(now, report *model.AllocDeploymentStatus, index uint64) *model.AllocDeploymentStatus {
	next := *report
	next.ModifyIndex = index
	next.Canary = now != nil && now.Canary
	return &next
}

// TransitionAllocs sets what the servers want allocations to become next (stop,
// restart elsewhere), and creates the evaluations that act on it. Unset fields
// keep their value. Value: *Skipped, the unknown allocations.
type TransitionAllocs struct {
	Transitions []AllocTransition
	Evals       []*model.Evaluation
}

// AllocTransition is one allocation's transition.
type AllocTransition struct {
	ID         string
	Transition model.DesiredTransition
}

// Kind is KindTransitionAllocs.
func (*TransitionAllocs) Kind() Kind { return KindTransitionAllocs }

func (c *TransitionAllocs) apply(x *tx) (result, error) {
	out := &Skipped{}
	for i := range c.Transitions {
		tr := &c.Transitions[i]
		now := x.Alloc(tr.ID)
		if now == nil {
			out.add(tr.ID)
			continue
		}
		next := *now
		d := &next.DesiredTransition
		d.Migrate = cmp.Or(tr.Transition.Migrate, d.Migrate)
		d.Reschedule = cmp.Or(tr.Transition.Reschedule, d.Reschedule)
		d.ForceReschedule = cmp.Or(tr.Transition.ForceReschedule, d.ForceReschedule)
		d.NoShutdownDelay = cmp.Or(tr.Transition.NoShutdownDelay, d.NoShutdownDelay)
		d.MigrateDisablePlacement = cmp.Or(tr.Transition.MigrateDisablePlacement, d.MigrateDisablePlacement)
		x.touch(&next)
		x.Put(&next)
	}
	if err := x.revive(c.Evals); err != nil {
		return nil, err
	}
	return out, x.putEvals(c.Evals, nil)
}
