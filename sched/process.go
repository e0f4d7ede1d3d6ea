package sched

import (
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/readiness"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// Process decides on one evaluation. It never fails: what could not be done is
// in the evaluation that the plan carries (status, failed groups, queued counts).
// Nothing of the state is changed; the plan belongs to the caller.
func Process(state State, eval *model.Evaluation, env Env) Result {
	done := *eval
	done.Status, done.StatusDescription = model.EvalComplete, ""
	done.FailedTGAllocs, done.QueuedAllocations = nil, map[string]int{}
	done.BlockedEval, done.NextEval = "", ""
	done.ClassEligibility, done.EscapedComputedClass = nil, false
	done.SnapshotIndex, done.ModifyTime = state.Index(), env.Now.UnixNano()
	p := &process{
		state: state, env: env, eval: &done, ids: newIDSource(env.Seed, eval, state.Index()),
		job: state.Job(eval.Namespace, eval.JobID), allocs: state.AllocsByJob(eval.Namespace, eval.JobID),
		asks: map[askKey]*ask{}, replaced: map[string]bool{}, evicted: map[string]bool{}, displaced: map[[2]string]bool{},
	}
	p.plan = &model.Plan{
		EvalID: eval.ID, Namespace: eval.Namespace, JobID: eval.JobID, Priority: eval.Priority,
		SnapshotIndex: state.Index(), Eval: p.eval,
	}
	if p.job != nil && !known(p.job.Type) {
		done.Status, done.StatusDescription = model.EvalFailed, "no scheduler for jobs of type "+p.job.Type
		return Result{Plan: p.plan}
	}
	p.decide()
	return Result{Plan: p.plan, Waits: p.ordinalWaits}
}

func known(jobType string) bool {
	switch jobType {
	case model.JobTypeService, model.JobTypeBatch, model.JobTypeSystem, model.JobTypeSysbatch:
		return true
	}
	return false
}

// process is one decision.
type process struct {
	state  State
	env    Env
	eval   *model.Evaluation // as it stands afterwards
	ids    *idSource
	job    *model.Job
	allocs []*model.Allocation
	board  *place.Board
	plan   *model.Plan
	asks   map[askKey]*ask
	failed []*place.Checker // of groups that could not be placed in full
	// lacking says of gangs how much of them fits.
	lacking []string
	// replaced are the groups of which a failed or older instance was replaced.
	replaced map[string]bool
	// evicted are the allocations that have to give way, displaced the jobs they
	// are of.
	evicted   map[string]bool
	displaced map[[2]string]bool
	// deployment is the one that placements of the job's version are of; nil for none.
	deployment *model.Deployment
	// waits are the groups that wait for what they depend on.
	waits        map[string]*readiness.Wait
	held         bool     // something is not placed for that
	ordinalWaits []string // what ordinals of stateful groups wait for
}

// askKey names a group of a version of the job.
type askKey struct {
	version uint64
	group   string
}

// ask is what a group needs, with its feasibility function.
type ask struct {
	*place.Ask
	check *place.Checker
}

func (p *process) decide() {
	p.board = place.NewBoard(p.state.Fleet().Fork(), p.settings())
	for _, a := range p.allocs {
		p.board.Add(a)
	}
	if p.job != nil {
		p.plan.JobVersion = p.job.Version
		for _, g := range p.job.TaskGroups {
			p.eval.QueuedAllocations[g.Name] = 0
		}
	}
	p.waits = readiness.Of(p.state, p.job, p.env.Now)
	out := reconcile.Job(reconcile.Input{
		Job: p.job, Allocs: p.allocs, Node: p.state.Node, Now: p.env.Now, Steady: p.env.Steady, Eval: p.eval,
		InPlace: p.suits, Targets: p.targets, Waits: readiness.Kinds(p.waits),
		Deploys: p.env.Deploys, Deployment: p.env.Deployment, NewID: p.ids.next,
	})
	p.deploys(out)
	for i := range out.Stops {
		p.stop(&out.Stops[i], "")
		p.board.Free(out.Stops[i].Alloc)
	}
	for _, g := range out.Groups {
		if g.Gang != nil {
			p.gang(g)
		} else {
			p.group(g)
		}
	}
	p.followDisplaced()
	p.carries(out)
	p.follow(out)
	p.block()
	p.tell(out)
	p.annotate(out)
	p.warn()
}

// Settings are what a decision on an evaluation goes by beside the fleet.
func Settings(eval *model.Evaluation, env Env) place.Settings {
	set := place.Settings{Seed: evalSeed(env.Seed, eval), Ties: jobSeed(eval)}
	algorithm := ""
	if c := env.Config; c != nil {
		algorithm, set.Oversubscribe = c.SchedulerAlgorithm, c.MemoryOversubscriptionEnabled
	}
	if c := env.Overrides; c != nil {
		if c.SchedulerAlgorithm != "" {
			algorithm = c.SchedulerAlgorithm
		}
		if c.MemoryOversubscriptionEnabled != nil {
			set.Oversubscribe = *c.MemoryOversubscriptionEnabled
		}
	}
	set.Spread = algorithm == model.AlgorithmSpread
	return set
}

func (p *process) settings() place.Settings { return Settings(p.eval, p.env) }

// ask compiles a group once.
func (p *process) ask(g *model.TaskGroup) *ask { return p.askOf(p.job, g) }

// askOf is ask for a group of any version of the job.
func (p *process) askOf(job *model.Job, g *model.TaskGroup) *ask {
	key := askKey{job.Version, g.Name}
	a := p.asks[key]
	if a == nil {
		compiled := place.NewAsk(job, g)
		a = &ask{Ask: compiled, check: p.board.Checker(compiled)}
		p.asks[key] = a
	}
	return a
}

// suits tells whether an allocation's node still meets what its group asks of a
// node; the allocation itself does not stand in its own way.
func (p *process) suits(a *model.Allocation, g *model.TaskGroup) bool {
	k := p.ask(g)
	if k.LimitsPeers() {
		p.board.Free(a)
		defer p.board.Restore(a)
	}
	return k.check.Admits(a.NodeID, false) == ""
}

// targets are the nodes that should run a group of a system job.
func (p *process) targets(g *model.TaskGroup) []string {
	return p.board.Checker(p.ask(g).WithoutPeerLimits()).Targets()
}

func (p *process) stop(s *reconcile.Stop, next string) {
	p.plan.Stops = append(p.plan.Stops, &model.PlanStop{
		ID: s.Alloc.ID, Description: s.Description, ClientStatus: s.ClientStatus, NextAllocation: next,
	})
}

// annotate adds the counts of effects when they were asked for.
func (p *process) annotate(out *reconcile.Output) {
	if !p.eval.AnnotatePlan {
		return
	}
	updates := make(map[string]*model.DesiredUpdates, len(out.Groups))
	for _, g := range out.Groups {
		updates[g.Group.Name] = &g.Counts
	}
	for _, s := range out.Stops {
		name := s.Alloc.TaskGroup
		if p.job != nil && !p.job.Stop && reconcile.Find(p.job, name) != nil {
			continue // counted with its group
		}
		if updates[name] == nil {
			updates[name] = &model.DesiredUpdates{}
		}
		updates[name].Stop++
	}
	for _, g := range p.plan.Groups {
		for _, placement := range g.Placements {
			if len(placement.Preempts) > 0 && updates[g.TaskGroup] != nil {
				updates[g.TaskGroup].Preemptions += uint64(len(placement.Preempts))
			}
		}
	}
	p.plan.Annotations = &model.PlanAnnotations{DesiredTGUpdates: updates}
}

// warn says what of the job is not acted on because of the configuration.
func (p *process) warn() {
	if p.job == nil || p.job.Stop || p.settings().Oversubscribe {
		return
	}
	var tasks []string
	for _, g := range p.job.TaskGroups {
		for _, t := range g.Tasks {
			if t.Resources != nil && t.Resources.MemoryMaxMB > 0 {
				tasks = append(tasks, g.Name+"."+t.Name)
			}
		}
	}
	if len(tasks) > 0 && p.eval.StatusDescription == "" {
		p.eval.StatusDescription = "memory_max of " + strings.Join(tasks, ", ") +
			" has no effect: memory oversubscription is not enabled in the scheduler configuration"
	}
}
