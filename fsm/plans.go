package fsm

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/course"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/grant"
	"github.com/steppe-project/steppe/model/stateful"
)

// Why a placement of a plan was refused.
const (
	refusedJobGone  = "the job or its version no longer exists"
	refusedNodeGone = "the node no longer exists"
	refusedYielded  = "what was to give way has ended, or gave way to another one"

	refusedNoDeployment = "the deployment of the canary is over"
)

// ApplyPlan commits one decision of the scheduler: placements, in-place
// updates, stops, deployment, new evaluations and the status of the one that
// was processed. Whether it fits was verified by the planner, on the newest
// state; here a placement is refused only when its job version or node is
// gone, and with it all of its gang. Then the evaluation, if it was to be complete or to
// wait for something else (which alone would wake it), stays pending, so that it is processed
// again. A placement whose allocation exists already is skipped. Value: *model.PlanResult.
type ApplyPlan struct{ Plan *model.Plan }

// Kind is KindApplyPlan.
func (*ApplyPlan) Kind() Kind { return KindApplyPlan }

// planApply is the application of one plan.
type planApply struct {
	*tx
	plan     *model.Plan
	job      *model.Job // nil: gone
	deploy   string     // the deployment's id, or ""
	replaced map[string]string
	order    []string // keys of replaced as they came
	tally    *tally
	out      *model.PlanResult
	refused  map[string]string // placements that cannot be made, and why
	spared   map[string]bool   // those of gangs: what they were to replace goes on
}

func (c *ApplyPlan) apply(x *tx) (result, error) {
	if c.Plan == nil || c.Plan.EvalID == "" {
		return nil, model.Errorf(model.CodeInvalid, "a plan needs an evaluation")
	}
	if err := grant.Late(c.Plan, x.Eval(c.Plan.EvalID), x.FeatureLevel() >= feature.Again); err != nil {
		return nil, err
	}
	p := &planApply{tx: x, plan: c.Plan, tally: &tally{tx: x}, out: &model.PlanResult{Index: x.index}}
	p.job = x.JobVersion(c.Plan.Namespace, c.Plan.JobID, c.Plan.JobVersion)
	p.putDeployment()
	p.refused = grant.Refused(p.plan, p.fault, p.FeatureLevel() >= feature.Yields)
	for _, g := range c.Plan.Groups {
		if g == nil {
			return nil, model.Errorf(model.CodeInvalid, "plan of evaluation %s has an empty group", c.Plan.EvalID)
		}
		if err := p.group(g); err != nil {
			return nil, err
		}
	}
	for _, s := range c.Plan.Stops {
		if s == nil {
			return nil, model.Errorf(model.CodeInvalid, "plan of evaluation %s has an empty stop", c.Plan.EvalID)
		}
		p.stop(s)
	}
	for _, id := range p.order {
		p.link(id)
	}
	p.tally.put()
	return p.out, p.evals()
}

// evals writes the processed evaluation and the new ones.
func (p *planApply) evals() error {
	evals := p.plan.NewEvals
	if e := p.plan.Eval; e != nil {
		if len(p.out.RefusedNodes) > 0 && (e.Status == model.EvalComplete || e.Status == model.EvalBlocked && p.FeatureLevel() >= feature.Again) {
			e.Status = model.EvalPending
			e.StatusDescription = "part of the plan was refused"
		}
		if e.PlanAnnotations == nil {
			e.PlanAnnotations = p.plan.Annotations
		}
		evals = append([]*model.Evaluation{e}, evals...)
	}
	return p.putEvals(evals, nil)
}

// putDeployment begins the plan's deployment, unless it has begun: then what the plan
// brings to it is counted as it is placed. One that has ended, or of a version that is
// not the job's any more, gets nothing.
func (p *planApply) putDeployment() {
	d := p.plan.Deployment
	if d == nil || p.job == nil {
		return
	}
	if now := p.Deployment(d.ID); now != nil {
		if deploy.Active(now) {
			p.deploy = now.ID
		}
		return
	}
	now := p.Job(p.job.Namespace, p.job.ID)
	if now == nil || now.Stop || !deploy.Of(d, now) || p.deployed(now) != nil {
		return
	}
	d.CreateIndex, d.ModifyIndex, d.ModifyTime = p.index, p.index, p.time
	if d.CreateTime == 0 {
		d.CreateTime = p.time
	}
	p.Put(d)
	p.deploy = d.ID
}

// version is the job version that a placement runs; nil: gone.
func (p *planApply) version(g *model.PlanGroup, pl *model.Placement) *model.Job {
	return grant.Version(p.plan, p.job, g, p.Alloc(pl.PreviousAllocation))
}

// group places and updates the instances of one group. Allocations share what
// they have in common: the job, the grant, the metrics, and the names.
func (p *planApply) group(g *model.PlanGroup) error {
	if tg := stateful.Group(p.job, g.TaskGroup); tg != nil {
		g.TaskGroup = tg.Name // the job's own string, to share its memory
	}
	for _, pl := range g.Placements {
		if pl == nil || pl.ID == "" {
			return model.Errorf(model.CodeInvalid, "plan of evaluation %s has a placement without id", p.plan.EvalID)
		}
		p.place(g, pl)
	}
	for _, up := range g.InPlace {
		if up == nil {
			return model.Errorf(model.CodeInvalid, "plan of evaluation %s has an empty update", p.plan.EvalID)
		}
		if err := p.update(g, up); err != nil {
			return err
		}
	}
	return nil
}

func (p *planApply) refuse(node, reason string) {
	put(&p.out.RefusedNodes, node, reason)
}

// fault tells why a placement cannot be made; "" when it can, or was.
func (p *planApply) fault(g *model.PlanGroup, pl *model.Placement) string {
	switch {
	case p.job == nil || p.version(g, pl) == nil:
		return refusedJobGone
	case pl.Canary && p.joins(g) == "":
		return refusedNoDeployment
	case p.Node(pl.NodeID) == nil:
		return refusedNodeGone
	case p.Alloc(pl.ID) != nil:
		return ""
	}
	for _, id := range pl.Preempts {
		if victim := p.Alloc(id); victim == nil || victim.ServerTerminal() {
			return refusedYielded // its room may be another's
		}
	}
	versions := []*model.Job{p.job}
	if p.FeatureLevel() >= feature.Again {
		versions = append(versions, p.Job(p.job.Namespace, p.job.ID))
	}
	return stateful.Holder(versions, g.TaskGroup, pl.Index, p.AllocsByJob(p.job.Namespace, p.job.ID), p.plan.Stops)
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[key] = v
}

func (p *planApply) place(g *model.PlanGroup, pl *model.Placement) {
	if why := p.refused[pl.ID]; why != "" {
		if g.Together {
			put(&p.spared, pl.ID, true)
		}
		p.refuse(pl.NodeID, why)
		return
	}
	if p.Alloc(pl.ID) != nil {
		return
	}
	job, node := p.version(g, pl), p.Node(pl.NodeID)
	a := &model.Allocation{
		ID: pl.ID, Namespace: job.Namespace, EvalID: p.plan.EvalID,
		Name: model.AllocName(job.ID, g.TaskGroup, pl.Index), NodeID: node.ID, NodeName: node.Name,
		JobID: job.ID, JobVersion: job.Version, Job: job, TaskGroup: g.TaskGroup,
		AllocatedResources: g.Resources, Metrics: g.Metrics,
		DesiredStatus: model.DesiredRun, ClientStatus: model.ClientPending,
		DeploymentID: p.joins(g), PreviousAllocation: pl.PreviousAllocation, RescheduleTracker: pl.RescheduleTracker,
		PreemptedAllocations: pl.Preempts,
		CreateIndex:          p.index, ModifyIndex: p.index, AllocModifyIndex: p.index, CreateTime: p.time, ModifyTime: p.time,
	}
	if pl.Resources != nil {
		a.AllocatedResources = pl.Resources
	}
	if pl.Canary {
		a.DeploymentStatus = &model.AllocDeploymentStatus{Canary: true, ModifyIndex: p.index}
	}
	p.Put(a)
	p.tally.count(nil, a)
	if a.PreviousAllocation != "" {
		put(&p.replaced, a.PreviousAllocation, a.ID)
		p.order = append(p.order, a.PreviousAllocation)
	}
}

// update moves a running allocation to the plan's version of the job.
// What ended meanwhile stays as it is.
func (p *planApply) update(g *model.PlanGroup, up *model.InPlaceUpdate) error {
	now := p.Alloc(up.ID)
	if now == nil || p.job == nil || now.Terminal() {
		return nil
	}
	if now.JobID != p.job.ID || now.Namespace != p.job.Namespace {
		return model.Errorf(model.CodeInvalid, "plan of evaluation %s updates allocation %s of another job", p.plan.EvalID, now.ID)
	}
	next := *now
	next.EvalID, next.Job, next.JobVersion = p.plan.EvalID, p.job, p.job.Version
	switch {
	case up.Resources != nil:
		next.AllocatedResources = up.Resources
	case g.Resources != nil:
		next.AllocatedResources = grant.KeepPorts(g.Resources, now.AllocatedResources)
	}
	if id := p.joins(g); id != "" && now.DeploymentID != id {
		// What its node says of it from now on is of this deployment; see deploy.Hear.
		next.DeploymentID, next.DeploymentStatus = id, &model.AllocDeploymentStatus{ModifyIndex: p.index}
	}
	p.touch(&next)
	p.Put(&next)
	p.tally.count(now, &next)
	return nil
}

// joins is the deployment that a group's instances are in from now on, as one string for
// all; "" for none.
func (p *planApply) joins(g *model.PlanGroup) string {
	if p.deploy == "" || g.OfPrevious || p.plan.Deployment.TaskGroups[g.TaskGroup] == nil {
		return ""
	}
	return p.deploy
}

// touch stamps a change by the servers that the node has to act on.
func (x *tx) touch(a *model.Allocation) {
	a.ModifyIndex, a.AllocModifyIndex, a.ModifyTime = x.index, x.index, x.time
}

// stop ends one allocation, or records its follow-up.
func (p *planApply) stop(s *model.PlanStop) {
	now := p.Alloc(s.ID)
	if now == nil || p.spared[s.NextAllocation] {
		return
	}
	next := *now
	switch {
	case s.KeepDesired:
	case s.PreemptedBy == "":
		next.DesiredStatus, next.DesiredDescription = model.DesiredStop, s.Description
	case p.Alloc(s.PreemptedBy) == nil || now.ClientTerminal():
		return // that was refused; or it has ended by itself, and is not to run again
	default:
		next.DesiredStatus, next.DesiredDescription, next.PreemptedByAllocation = model.DesiredEvict, s.Description, s.PreemptedBy
	}
	if s.ClientStatus != "" && course.Forward(now.ClientStatus, s.ClientStatus) {
		next.ClientStatus, next.ClientDescription = s.ClientStatus, s.Description
	}
	if s.FollowupEvalID != "" {
		next.FollowupEvalID = s.FollowupEvalID
	}
	switch id, ok := p.replaced[s.ID]; {
	case ok:
		next.NextAllocation = id
		delete(p.replaced, s.ID)
	case s.NextAllocation != "" && p.Alloc(s.NextAllocation) != nil:
		next.NextAllocation = s.NextAllocation
	}
	if s.KeepDesired {
		next.ModifyIndex, next.ModifyTime = p.index, p.time // nothing to do for the node
	} else {
		p.touch(&next)
	}
	p.Put(&next)
	p.tally.count(now, &next)
}

// link completes the chain of a replaced allocation that the plan did not stop.
func (p *planApply) link(id string) {
	replacement, ok := p.replaced[id]
	now := p.Alloc(id)
	if !ok || now == nil {
		return
	}
	next := *now
	next.NextAllocation = replacement
	next.ModifyIndex, next.ModifyTime = p.index, p.time
	p.Put(&next)
}
