// Package deployments leads the updates of services to their end: a pure component.
//
//	health changed ──► an evaluation, that the scheduler makes the next step
//	canaries healthy ──► promoted, where auto_promote says so
//	all instances new and healthy ──► successful, and the version stable
//	unhealthy, or no progress within progress_deadline ──► failed, and back to the
//	                               newest stable version where auto_revert says so
//	the job has another version, or is stopped ──► cancelled
//
// Contract and invariants:
//
//   - Every deployment ends: progress_deadline runs as long as it is neither paused nor
//     waits for an operator's promotion of healthy canaries, and begins anew with each
//     instance that becomes healthy.
//   - An end is decided on a deployment as it is in the state: if its counts change
//     before, it is decided anew.
//   - Whether an allocation is healthy is its node's word; of nodes whose agents say
//     nothing of health (see deploy.AttrHealth), what they say of its tasks counts.
//   - Everything follows from the state: a new leader goes on where the last one was.
//
// Example:
//
//	c := deployments.New()
//	c.Reset(snap)
//	cmds, wake := c.Step(now, snap)
package deployments

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/model/stateful"
	"github.com/steppe-project/steppe/sched/readiness"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// Watcher is the component.
type Watcher struct {
	active map[string]bool
	mute   map[string]bool // nodes whose agents say nothing of health
	spoken map[string]time.Time
}

// New makes the component.
func New() *Watcher {
	return &Watcher{active: make(map[string]bool), mute: make(map[string]bool), spoken: make(map[string]time.Time)}
}

// Name implements loop.Component.
func (w *Watcher) Name() string { return "deployments" }

// Reads implements loop.Component: counts are in the deployments, and what was looked at
// in the evaluations.
func (w *Watcher) Reads() []state.Table {
	return []state.Table{state.TableDeployments, state.TableEvals, state.TableNodes}
}

// Reset implements loop.Component.
func (w *Watcher) Reset(snap *state.Snapshot) {
	clear(w.active)
	clear(w.mute)
	clear(w.spoken)
	for n := range snap.Nodes(state.Range{}) {
		w.hear(n.ID, n)
	}
	for d := range snap.Deployments(state.Range{}) {
		w.note(d.ID, d)
	}
}

// Observe implements loop.Component.
func (w *Watcher) Observe(changes []state.Change) {
	for i := range changes {
		switch changes[i].Table {
		case state.TableDeployments:
			d, _ := changes[i].After.(*model.Deployment)
			w.note(changes[i].Key, d)
		case state.TableNodes:
			n, _ := changes[i].After.(*model.Node)
			w.hear(changes[i].Key, n)
		}
	}
}

// hear notes whether a node's agent says something of health.
func (w *Watcher) hear(id string, n *model.Node) {
	if n != nil && n.Attributes[deploy.AttrHealth] == "" {
		w.mute[id] = true
	} else {
		delete(w.mute, id)
	}
}

func (w *Watcher) note(id string, d *model.Deployment) {
	if deploy.Active(d) {
		w.active[id] = true
	} else {
		delete(w.active, id)
		delete(w.spoken, id)
	}
}

// Step implements loop.Component.
func (w *Watcher) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	p := &pass{now: now, snap: snap, Watcher: w}
	for _, id := range slices.Sorted(maps.Keys(w.active)) {
		if d := snap.Deployment(id); deploy.Active(d) {
			p.deployment(d)
		}
	}
	return p.cmds, p.wake
}

// pass is one step.
type pass struct {
	now  time.Time
	snap *state.Snapshot
	*Watcher
	cmds []fsm.Command
	wake time.Time
}

func (p *pass) deployment(d *model.Deployment) {
	job := p.snap.Job(d.Namespace, d.JobID)
	switch {
	case !deploy.Of(d, job):
		p.end(d, model.DeploymentCancelled, deploy.DescNewer)
	case job.Stop:
		p.end(d, model.DeploymentCancelled, deploy.DescStopped)
	case d.Status == model.DeploymentPaused:
	default:
		if !p.speak(d, job) {
			p.running(d, job)
		}
	}
}

const (
	// maxWords bounds the allocations that one command speaks of.
	maxWords = 1024
	// betweenWords is the least time between two looks at all of a deployment's
	// allocations for those that nobody else speaks of.
	betweenWords = time.Second
)

// speak says for nodes that do not how their allocations do, and tells whether it did.
func (p *pass) speak(d *model.Deployment, job *model.Job) bool {
	if len(p.mute) == 0 {
		return false
	}
	if next := p.spoken[d.ID].Add(betweenWords); p.now.Before(next) {
		p.wakeAt(next)
		return false
	}
	p.spoken[d.ID] = p.now
	c := &fsm.AllocHealth{ID: d.ID}
	for a := range p.snap.AllocsByDeployment(d.ID) {
		if !p.mute[a.NodeID] || a.Terminal() || deploy.Healthy(a) || deploy.Unhealthy(a) || len(c.Healthy)+len(c.Unhealthy) >= maxWords {
			continue
		}
		g := reconcile.Find(job, a.TaskGroup)
		u := deploy.Strategy(job, g)
		if u == nil || u.HealthCheck == deploy.Manual {
			continue
		}
		due := time.Unix(0, max(a.CreateTime, d.CreateTime)).Add(u.HealthyDeadline)
		since, runs := reconcile.StartedAt(a, g)
		switch well := since.Add(u.MinHealthyTime); {
		case runs && !well.After(p.now):
			c.Healthy = append(c.Healthy, a.ID)
		case !due.After(p.now):
			c.Unhealthy = append(c.Unhealthy, a.ID)
		case runs && well.Before(due):
			p.wakeAt(well)
		default:
			p.wakeAt(due)
		}
	}
	if len(c.Healthy)+len(c.Unhealthy) == 0 {
		return false
	}
	p.cmds = append(p.cmds, proposal.Of(c))
	return true
}

// running looks at a deployment that goes on.
func (p *pass) running(d *model.Deployment, job *model.Job) {
	complete := stateful.Complete(d, job, p.snap.AllocsByJob(d.Namespace, d.JobID))
	if why := p.failure(d, complete); why != "" {
		p.end(d, model.DeploymentFailed, why)
		return
	}
	if groups := p.promotable(d); len(groups) > 0 {
		p.cmds = append(p.cmds, proposal.Of(&fsm.PromoteDeployment{ID: d.ID, Groups: groups, Eval: p.eval(d)}))
		return
	}
	done, rolled := true, true
	for _, s := range d.TaskGroups {
		done, rolled = done && deploy.Done(s), rolled && deploy.RolledOut(s)
	}
	if done && !p.older(d, job) && complete {
		p.end(d, model.DeploymentSuccessful, deploy.DescSuccessful)
		return
	}
	if (done || !rolled) && p.unseen(d) {
		p.cmds = append(p.cmds, proposal.Of(&fsm.UpsertEvals{Evals: []*model.Evaluation{p.eval(d)}}))
	}
}

// failure is why a deployment has failed, "" if it has not; complete tells that of its
// stateful groups all ordinals are there that it brings.
func (p *pass) failure(d *model.Deployment, complete bool) string {
	waits := p.waits(d)
	for _, name := range deploy.Groups(d) {
		s := d.TaskGroups[name]
		switch by := p.deadline(d, name, s); {
		case s.ProgressDeadline <= 0:
			if s.UnhealthyAllocs > 0 {
				return deploy.DescUnhealthy
			}
		case deploy.Done(s) && complete || deploy.Waits(s) && p.ripe(s):
		case waits[name] != nil: // its turn comes after what it depends on
		case !p.now.Before(by):
			return deploy.DescDeadline
		default:
			p.wakeAt(by)
		}
	}
	return ""
}

// waits are the groups of a deployment that wait for what they depend on.
func (p *pass) waits(d *model.Deployment) map[string]*readiness.Wait {
	job := p.snap.Job(d.Namespace, d.JobID)
	if !precedence.Uses(job) {
		return nil
	}
	return readiness.Of(&fleet.Basis{Snapshot: p.snap}, job, p.now)
}

// deadline is until when a group has to make progress. One that had to wait has its time
// from the last change of what it waited for, or from its own first instance.
func (p *pass) deadline(d *model.Deployment, name string, s *model.DeploymentState) time.Time {
	job := p.snap.Job(d.Namespace, d.JobID)
	g := reconcile.Find(job, name)
	if g == nil || !precedence.Uses(job) {
		return s.RequireProgressBy
	}
	since := readiness.Since(&fleet.Basis{Snapshot: p.snap}, job, g, s.PlacedAllocs > 0)
	var first time.Time
	for a := range p.snap.AllocsByDeployment(d.ID) {
		if at := time.Unix(0, a.CreateTime).UTC(); a.TaskGroup == name && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.After(since) {
		since = first
	}
	if by := since.Add(s.ProgressDeadline); by.After(s.RequireProgressBy) {
		return by
	}
	return s.RequireProgressBy
}

// wakeAt has the next step come no later than at.
func (p *pass) wakeAt(at time.Time) {
	if p.wake.IsZero() || at.Before(p.wake) {
		p.wake = at
	}
}

// ripe tells whether the canaries of a group can be promoted.
func (p *pass) ripe(s *model.DeploymentState) bool {
	return deploy.HealthyCanaries(s, p.snap.Alloc) >= s.DesiredCanaries
}

// promotable are the groups that promote themselves, when all of them can.
func (p *pass) promotable(d *model.Deployment) []string {
	var groups []string
	for _, name := range deploy.Waiting(d) {
		s := d.TaskGroups[name]
		if !s.AutoPromote {
			continue
		}
		if !p.ripe(s) {
			return nil
		}
		groups = append(groups, name)
	}
	return groups
}

// older tells whether an instance of another version is still to run that the deployment
// is to replace.
func (p *pass) older(d *model.Deployment, job *model.Job) bool {
	for a := range p.snap.AllocsByJob(d.Namespace, d.JobID) {
		if d.TaskGroups[a.TaskGroup] != nil && !a.Terminal() && a.DeploymentID != d.ID && !stateful.Spares(job, a) {
			return true
		}
	}
	return false
}

// unseen tells whether the scheduler has yet to look at what has changed.
func (p *pass) unseen(d *model.Deployment) bool {
	if d.HealthIndex == 0 {
		return false
	}
	for e := range p.snap.EvalsByJob(d.Namespace, d.JobID) {
		if e.SnapshotIndex >= d.HealthIndex || e.Status == model.EvalPending && !e.WaitUntil.After(p.now) {
			return false
		}
	}
	return true
}

// end ends a deployment as it is now.
func (p *pass) end(d *model.Deployment, status, why string) {
	c := &fsm.DeploymentStatus{ID: d.ID, Status: status, Description: why, IfIndex: d.ModifyIndex}
	if status == model.DeploymentFailed {
		c.Eval, c.RevertID = p.eval(d), ident.From("revert of deployment", d.ID)
	}
	p.cmds = append(p.cmds, proposal.Of(c))
}

// eval has the scheduler look at a deployment's job.
func (p *pass) eval(d *model.Deployment) *model.Evaluation {
	e := &model.Evaluation{
		ID:        ident.From("deployment", d.ID, strconv.FormatUint(p.snap.Index(), 10)),
		Namespace: d.Namespace, JobID: d.JobID, Type: model.JobTypeService, Priority: model.DefaultPriority, DeploymentID: d.ID,
		TriggeredBy: model.TriggerDeployment, Status: model.EvalPending, CreateTime: p.now.UnixNano(), ModifyTime: p.now.UnixNano(),
	}
	if job := p.snap.Job(d.Namespace, d.JobID); job != nil {
		e.Type, e.Priority, e.JobModifyIndex = job.Type, job.Priority, job.JobModifyIndex
	}
	return e
}
