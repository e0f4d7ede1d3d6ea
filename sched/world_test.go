package sched_test

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/place/class"
	"github.com/steppe-project/steppe/sched/verify"
)

// world is a small cluster: state, clock and what applying a plan does to it.
type world struct {
	index    uint64
	now      time.Time
	seed     uint64
	config   *model.SchedulerConfiguration
	nodes    map[string]*model.Node
	jobs     map[string]*model.Job
	versions map[string]*model.Job // "<job> <create index> <version>"
	allocs   map[string]*model.Allocation
	byJob    map[string][]string
	evals    map[string]*model.Evaluation
	fleet    *place.Fleet
	names    []string // ids of allocations as they came: a1 is the first
	nextEval int
	deploys  bool                         // updates are deployments
	deployed map[string]*model.Deployment // the newest of each job
}

func newWorld() *world {
	return &world{
		index: 1, now: time.Unix(1_700_000_000, 0).UTC(), seed: 1,
		nodes: map[string]*model.Node{}, jobs: map[string]*model.Job{}, versions: map[string]*model.Job{},
		allocs: map[string]*model.Allocation{}, byJob: map[string][]string{}, evals: map[string]*model.Evaluation{},
		fleet: place.NewFleet(), deployed: map[string]*model.Deployment{},
	}
}

func (w *world) Index() uint64                     { return w.index }
func (w *world) Job(_, id string) *model.Job       { return w.jobs[id] }
func (w *world) Node(id string) *model.Node        { return w.nodes[id] }
func (w *world) Alloc(id string) *model.Allocation { return w.allocs[id] }
func (w *world) Fleet() *place.Fleet               { return w.fleet.Fork() }

func (w *world) AllocsByJob(_, id string) []*model.Allocation {
	var out []*model.Allocation
	for _, a := range w.byJob[id] {
		if w.allocs[a] != nil {
			out = append(out, w.allocs[a])
		}
	}
	return out
}

func (w *world) AllocsByNode(id string) []*model.Allocation {
	var out []*model.Allocation
	for _, name := range w.names {
		if a := w.allocs[name]; a.NodeID == id {
			out = append(out, a)
		}
	}
	return out
}

func (w *world) EvalsByJob(_, id string) []*model.Evaluation {
	var out []*model.Evaluation
	for _, e := range w.evals {
		if e.JobID == id {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *model.Evaluation) int {
		return cmp.Or(cmp.Compare(a.CreateIndex, b.CreateIndex), strings.Compare(a.ID, b.ID))
	})
	return out
}

func (w *world) tick() uint64 { w.index++; return w.index }

func (w *world) setNode(n *model.Node) {
	n.ComputedClass = class.Computed(n)
	n.ModifyIndex = w.tick()
	if was := w.nodes[n.ID]; was == nil || was.Status != n.Status {
		n.StatusUpdatedAt = w.now.Unix()
	}
	w.nodes[n.ID] = n
	w.fleet.UpsertNode(n)
}

func (w *world) deleteNode(id string) {
	w.tick()
	delete(w.nodes, id)
	w.fleet.DeleteNode(id)
}

// setJob registers a job as a new version.
func (w *world) setJob(j *model.Job) {
	w.tick()
	if old := w.jobs[j.ID]; old != nil {
		j.Version, j.CreateIndex = old.Version+1, old.CreateIndex
	} else {
		j.CreateIndex = w.index
	}
	j.ModifyIndex, j.JobModifyIndex = w.index, w.index
	w.jobs[j.ID] = j
	w.versions[versionKey(j.ID, j.CreateIndex, j.Version)] = j
}

func versionKey(id string, create, version uint64) string {
	return fmt.Sprintf("%s %d %d", id, create, version)
}

func (w *world) setAlloc(a *model.Allocation) {
	before := w.allocs[a.ID]
	if before == nil {
		w.byJob[a.JobID] = append(w.byJob[a.JobID], a.ID)
		w.names = append(w.names, a.ID)
	}
	w.allocs[a.ID] = a
	w.fleet.UpsertAlloc(before, a)
}

// changeAlloc updates a copy.
func (w *world) changeAlloc(id string, f func(a *model.Allocation)) {
	next := *w.allocs[id]
	f(&next)
	next.ModifyIndex, next.ModifyTime = w.tick(), w.now.UnixNano()
	w.setAlloc(&next)
}

func (w *world) newEval(jobID, trigger string) *model.Evaluation {
	w.nextEval++
	e := &model.Evaluation{
		ID: fmt.Sprintf("eval-%d", w.nextEval), Namespace: "default", JobID: jobID, TriggeredBy: trigger,
		Status: model.EvalPending, Priority: 50, CreateIndex: w.tick(), AnnotatePlan: true,
	}
	if j := w.jobs[jobID]; j != nil {
		e.Type, e.Priority = j.Type, j.Priority
	}
	w.evals[e.ID] = e
	return e
}

func (w *world) process(e *model.Evaluation) *model.Plan {
	return sched.Process(w, e, sched.Env{
		Now: w.now, Seed: w.seed, Config: w.config, Preempt: true, Deploys: w.deploys, Deployment: w.deployed[e.JobID],
	}).Plan
}

// run processes, verifies and applies one evaluation.
func (w *world) run(e *model.Evaluation) (*model.Plan, *model.PlanResult) {
	plan, result := verify.Check(w, w.process(e))
	w.apply(plan)
	return plan, result
}

// apply does to the world what committing a plan does to the state.
func (w *world) apply(plan *model.Plan) {
	w.tick()
	job := w.jobs[plan.JobID]
	if d := plan.Deployment; d != nil && !deploy.Of(w.deployed[plan.JobID], job) {
		w.deployed[plan.JobID] = d
	}
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			version := job
			if g.OfPrevious {
				version = w.allocs[p.PreviousAllocation].Job
			}
			w.placed(plan, version, g, p)
			w.joins(plan, g, p.ID, p.Canary)
		}
		for _, u := range g.InPlace {
			next := *w.allocs[u.ID]
			next.Job, next.JobVersion = job, job.Version
			if next.AllocatedResources = g.Resources; u.Resources != nil {
				next.AllocatedResources = u.Resources
			}
			w.setAlloc(&next)
			w.joins(plan, g, u.ID, false)
		}
	}
	for _, s := range plan.Stops {
		next := *w.allocs[s.ID]
		if !s.KeepDesired {
			next.DesiredStatus, next.DesiredDescription = model.DesiredStop, s.Description
			next.ModifyTime = w.now.UnixNano()
		}
		if s.PreemptedBy != "" {
			next.DesiredStatus, next.PreemptedByAllocation = model.DesiredEvict, s.PreemptedBy
		}
		if s.ClientStatus != "" {
			next.ClientStatus = s.ClientStatus
		}
		if s.FollowupEvalID != "" {
			next.FollowupEvalID = s.FollowupEvalID
		}
		next.ModifyIndex = w.index
		w.setAlloc(&next)
	}
	for _, e := range append([]*model.Evaluation{plan.Eval}, plan.NewEvals...) {
		if old := w.evals[e.ID]; old != nil {
			e.CreateIndex = old.CreateIndex
		} else {
			e.CreateIndex = w.index
		}
		w.evals[e.ID] = e
	}
	if e := plan.Eval; e.Status == model.EvalComplete && len(e.FailedTGAllocs) == 0 {
		for _, b := range w.EvalsByJob("", e.JobID) {
			if b.Status == model.EvalBlocked {
				c := *b
				c.Status = model.EvalCancelled
				w.evals[b.ID] = &c
			}
		}
	}
}

// joins puts an allocation into the plan's deployment.
func (w *world) joins(plan *model.Plan, g *model.PlanGroup, id string, canary bool) {
	d := plan.Deployment
	if d == nil || g.OfPrevious || w.allocs[id].DeploymentID == d.ID {
		return
	}
	next := *w.allocs[id]
	next.DeploymentID, next.DeploymentStatus = d.ID, &model.AllocDeploymentStatus{Canary: canary}
	w.setAlloc(&next)
}

// judge says how allocations do in their deployment.
func (w *world) judge(id string, healthy bool) {
	w.changeAlloc(id, func(a *model.Allocation) {
		a.DeploymentStatus = &model.AllocDeploymentStatus{Healthy: &healthy, Canary: deploy.Canary(a)}
	})
}

// steer has a job's deployment have a status, or be promoted.
func (w *world) steer(job, to string) {
	d := deploy.Copy(w.deployed[job])
	w.deployed[job] = d
	if to != "promoted" {
		d.Status = to
		return
	}
	for _, s := range d.TaskGroups {
		s.Promoted = true
	}
	for _, a := range w.AllocsByJob("", job) {
		if deploy.Canary(a) && a.DeploymentID == d.ID {
			w.changeAlloc(a.ID, func(a *model.Allocation) {
				a.DeploymentStatus = &model.AllocDeploymentStatus{Healthy: a.DeploymentStatus.Healthy}
			})
		}
	}
}

func (w *world) placed(plan *model.Plan, job *model.Job, g *model.PlanGroup, p *model.Placement) {
	a := &model.Allocation{
		ID: p.ID, Namespace: job.Namespace, Name: model.AllocName(job.ID, g.TaskGroup, p.Index), NodeID: p.NodeID,
		JobID: job.ID, JobVersion: job.Version, Job: job, TaskGroup: g.TaskGroup, EvalID: plan.EvalID,
		AllocatedResources: g.Resources, Metrics: g.Metrics, DesiredStatus: model.DesiredRun, ClientStatus: model.ClientPending,
		PreviousAllocation: p.PreviousAllocation, RescheduleTracker: p.RescheduleTracker, PreemptedAllocations: p.Preempts,
		CreateIndex: w.index, ModifyIndex: w.index, CreateTime: w.now.UnixNano(), ModifyTime: w.now.UnixNano(),
	}
	if p.Resources != nil {
		a.AllocatedResources = p.Resources
	}
	w.setAlloc(a)
	if prev := w.allocs[p.PreviousAllocation]; prev != nil {
		next := *prev
		next.NextAllocation = p.ID
		w.setAlloc(&next)
	}
}

// report does what a node's report does.
func (w *world) report(id, status string) {
	w.changeAlloc(id, func(a *model.Allocation) {
		a.ClientStatus = status
		states := map[string]*model.TaskState{}
		for _, g := range a.Job.TaskGroups {
			for _, t := range g.Tasks {
				if g.Name == a.TaskGroup {
					states[t.Name] = taskState(a.TaskStates[t.Name], status, w.now)
				}
			}
		}
		a.TaskStates = states
	})
}

func taskState(old *model.TaskState, status string, now time.Time) *model.TaskState {
	s := model.TaskState{State: model.TaskPending}
	if old != nil {
		s = *old
	}
	switch status {
	case model.ClientRunning:
		s.State, s.StartedAt = model.TaskRunning, now
	case model.ClientComplete, model.ClientFailed:
		s.State, s.Failed, s.FinishedAt = model.TaskDead, status == model.ClientFailed, now
	}
	return &s
}

// due returns the pending evaluations whose time has come, oldest first.
func (w *world) due() []*model.Evaluation {
	var out []*model.Evaluation
	for _, e := range w.evals {
		if e.Status == model.EvalPending && !e.WaitUntil.After(w.now) {
			out = append(out, e)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		return cmp.Or(cmp.Compare(out[i].CreateIndex, out[j].CreateIndex), strings.Compare(out[i].ID, out[j].ID)) < 0
	})
	return out
}

// short is an allocation's name in scenarios.
func (w *world) short(id string) string {
	for i, a := range w.names {
		if a == id {
			return fmt.Sprintf("a%d", i+1)
		}
	}
	return "?"
}

func (w *world) byShort(short string) string {
	for i, id := range w.names {
		if fmt.Sprintf("a%d", i+1) == short {
			return id
		}
	}
	return ""
}
