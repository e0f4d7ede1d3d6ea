package sched

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// deploys notes what is being deployed.
func (p *process) deploys(out *reconcile.Output) {
	if p.deployment = out.Deployment; p.deployment != nil {
		p.eval.DeploymentID = p.deployment.ID
	}
}

// carries gives the plan the deployment that begins with it, or that it adds to: what it
// places of the job's version, and brings to it, is of that.
func (p *process) carries(out *reconcile.Output) {
	if p.deployment == nil {
		return
	}
	adds := out.Begins
	for _, g := range p.plan.Groups {
		adds = adds || !g.OfPrevious
	}
	if adds {
		p.plan.Deployment = deploy.Copy(p.deployment)
	}
}

// past places those instances of a group that run an older version, and returns the
// group with the rest.
func (p *process) past(g *reconcile.Group) *reconcile.Group {
	var order []*reconcile.Group
	byVersion := map[uint64]*reconcile.Group{}
	rest := *g
	rest.Places = nil
	for _, want := range g.Places {
		if !want.Past {
			rest.Places = append(rest.Places, want)
			continue
		}
		job := want.Previous.Job
		old := byVersion[job.Version]
		if old == nil {
			old = &reconcile.Group{Group: reconcile.Find(job, g.Group.Name)}
			byVersion[job.Version] = old
			order = append(order, old)
		}
		old.Places = append(old.Places, want)
	}
	for _, old := range order {
		a := p.askOf(old.Places[0].Previous.Job, old.Group)
		out := &model.PlanGroup{TaskGroup: g.Group.Name, OfPrevious: true, Resources: p.board.Shared(a.Ask)}
		p.placeAnywhere(old, a, out)
		if len(out.Placements) > 0 {
			p.plan.Groups = append(p.plan.Groups, out)
		}
	}
	return &rest
}
