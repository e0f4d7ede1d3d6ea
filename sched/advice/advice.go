// Package advice explains placements, and searches for the smallest changes that
// would let what is missing be placed.
//
//	state ──Process──► what is missing ──► candidates ──► trial: the state with one
//	                                          ▲           change ──Process──► placed?
//	                                          └── halved until the change is smallest ┘
//
// Contract and invariants:
//
//   - A remedy is what the scheduler itself did something with: on the state with
//     that change, it places all that is missing of the group, and no less of the
//     others. One that could not be tried says so.
//   - Why a node is not suitable is said by the scheduler's feasibility function.
//   - Nothing is changed. The same input gives the same words.
//   - The work is bounded (budget): on large clusters fewer changes are tried.
//
// Example:
//
//	e := advice.Explain(cluster, "default", "web", env)
//	for _, r := range e.Groups[0].Remedies { fmt.Println(r.Text) }
package advice

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/readiness"
	"github.com/steppe-project/steppe/sched/reconcile"
)

const (
	// MaxRemedies bounds what a person reads of a group.
	MaxRemedies = 6
	// MaxChosen bounds the instances whose scores are told.
	MaxChosen = 5
	// maxExclusions bounds the kinds of nodes that are told of a group.
	maxExclusions = 50
)

// State is a cluster as advice reads it.
type State interface {
	sched.State
	// AllNodes are all nodes, by id.
	AllNodes() []*model.Node
}

// Explain tells about all groups of a job; nil when there is no such job. env is what
// a decision on it is given.
func Explain(s State, namespace, id string, env sched.Env) *insight.Explanation {
	job := s.Job(namespace, id)
	if job == nil {
		return nil
	}
	out := &insight.Explanation{
		Index: s.Index(), Namespace: namespace, JobID: id, JobType: job.Type, JobVersion: job.Version,
		JobStatus: job.Status, Priority: job.Priority,
	}
	switch {
	case job.Stop:
		out.Notes = append(out.Notes, "the job is stopped: nothing of it is placed")
		return out
	case launch.IsTemplate(job):
		out.Notes = append(out.Notes, "the job only launches others: ask about one of its children")
		return out
	}
	d := newDecision(s, job, env)
	out.Notes = d.notes()
	for _, g := range job.TaskGroups {
		out.Groups = append(out.Groups, d.group(g))
		if m := d.plan.Eval.FailedTGAllocs[g.Name]; m != nil && m.Gang != "" {
			out.Notes = append(out.Notes, "group "+g.Name+" runs whole or not at all: "+m.Gang)
		}
	}
	return out
}

// decision is what the scheduler would do about a job now.
type decision struct {
	state  State
	job    *model.Job
	env    sched.Env
	eval   *model.Evaluation
	plan   *model.Plan
	waits  []string                       // what ordinals of stateful groups wait for
	allocs map[string][]*model.Allocation // that have not ended, by group
}

func newDecision(s State, job *model.Job, env sched.Env) *decision {
	env.Terse = true
	d := &decision{state: s, job: job, env: env, allocs: make(map[string][]*model.Allocation)}
	d.eval = &model.Evaluation{
		ID: "advice", Namespace: job.Namespace, JobID: job.ID, Type: job.Type, Priority: job.Priority,
		TriggeredBy: model.TriggerJobRegister, JobModifyIndex: job.JobModifyIndex, Status: model.EvalPending,
	}
	result := sched.Process(s, d.eval, env)
	d.plan, d.waits = result.Plan, result.Waits
	for _, a := range s.AllocsByJob(job.Namespace, job.ID) {
		if !a.Terminal() {
			d.allocs[a.TaskGroup] = append(d.allocs[a.TaskGroup], a)
		}
	}
	return d
}

// notes are what the decision waits for.
func (d *decision) notes() []string {
	out := slices.Clone(d.waits)
	for _, e := range d.state.EvalsByJob(d.job.Namespace, d.job.ID) {
		switch {
		case e.Status == model.EvalPending && e.WaitUntil.After(d.env.Now):
			out = append(out, fmt.Sprintf("evaluation %s (%s) waits until %s", short(e.ID), e.TriggeredBy, e.WaitUntil.UTC().Format(time.RFC3339)))
		case e.Status == model.EvalPending:
			out = append(out, fmt.Sprintf("evaluation %s (%s) is due", short(e.ID), e.TriggeredBy))
		case e.Status == model.EvalBlocked && readiness.Only(e):
			out = append(out, fmt.Sprintf("evaluation %s waits for what the job depends on, and goes on as soon as that is ready", short(e.ID)))
		case e.Status == model.EvalBlocked && readiness.Waits(e):
			out = append(out, fmt.Sprintf("evaluation %s waits for nodes or resources and, elsewhere, for what the job depends on, and places what is missing as soon as that is possible", short(e.ID)))
		case e.Status == model.EvalBlocked:
			out = append(out, fmt.Sprintf("evaluation %s waits for nodes or resources, and places what is missing as soon as that is possible", short(e.ID)))
		}
	}
	if c := d.env.Config; c != nil && c.PauseEvalBroker {
		out = append(out, "the scheduler is paused by its configuration")
	}
	return out
}

func short(id string) string { return id[:min(len(id), 8)] }

// group explains one group.
func (d *decision) group(g *model.TaskGroup) *insight.Group {
	out := &insight.Group{Name: g.Name, Count: g.Count, Missing: d.missing(g.Name)}
	for _, a := range d.allocs[g.Name] {
		if out.Live++; a.ClientStatus == model.ClientRunning {
			out.Running++
		}
	}
	for _, p := range d.plan.Groups {
		if p.TaskGroup == g.Name {
			out.Waiting = len(p.Placements)
		}
	}
	ask := place.NewAsk(d.job, g)
	d.survey(out, ask)
	d.choices(out, ask)
	if m := d.plan.Eval.FailedTGAllocs[g.Name]; m != nil {
		out.Waits = m.Waits
	}
	if out.Missing > 0 && len(out.Waits) == 0 {
		out.Remedies = d.Remedies(g.Name)
	}
	return out
}

// waiting is how many instances of all groups would be placed now.
func (d *decision) waiting() int {
	n := 0
	for _, g := range d.plan.Groups {
		n += len(g.Placements)
	}
	return n
}

// live is how many there are.
func (d *decision) live() int {
	n := 0
	for _, list := range d.allocs {
		n += len(list)
	}
	return n
}

func (d *decision) missing(group string) int {
	m := d.plan.Eval.FailedTGAllocs[group]
	if m == nil {
		return 0
	}
	return 1 + m.CoalescedFailures
}

// board is the job's board with what the decision would place on it.
func (d *decision) board() *place.Board {
	b := place.NewBoard(d.state.Fleet().Fork(), sched.Settings(d.eval, d.env))
	for _, a := range d.state.AllocsByJob(d.job.Namespace, d.job.ID) {
		b.Add(a)
	}
	for _, s := range d.plan.Stops {
		if a := d.state.Alloc(s.ID); a != nil && !s.KeepDesired {
			b.Free(a)
		}
	}
	for _, g := range d.plan.Groups {
		for _, p := range g.Placements {
			grant := p.Resources
			if grant == nil {
				grant = g.Resources
			}
			b.Book(p.NodeID, g.TaskGroup, grant)
		}
	}
	return b
}

// survey counts why nodes are not suitable, and what there is too little of.
func (d *decision) survey(out *insight.Group, ask *place.Ask) {
	if d.job.Type == model.JobTypeSystem || d.job.Type == model.JobTypeSysbatch {
		ask = ask.OncePerNode()
	}
	kinds := make(map[insight.Exclusion]*insight.Exclusion)
	binds := make(map[string]*insight.Binding)
	d.board().Survey(ask, func(o place.Outcome) {
		if o.Kind == "" {
			out.Fits++
			return
		}
		key := insight.Exclusion{Datacenter: o.Node.Datacenter, Pool: o.Node.NodePool, Class: o.Node.NodeClass, Kind: o.Kind, Reason: o.Reason}
		e := kinds[key]
		if e == nil {
			e = &insight.Exclusion{}
			*e = key
			kinds[key] = e
		}
		if e.Nodes++; e.Example == "" || o.Node.Name < e.Example {
			e.Example = o.Node.Name
		}
		if o.Kind == place.Exhausted {
			bind(binds, ask, o)
		}
	})
	for _, e := range kinds {
		out.Excluded = append(out.Excluded, e)
	}
	slices.SortFunc(out.Excluded, func(a, b *insight.Exclusion) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), strings.Compare(a.Reason, b.Reason), strings.Compare(a.Datacenter, b.Datacenter),
			strings.Compare(a.Pool, b.Pool), strings.Compare(a.Class, b.Class))
	})
	out.Excluded = out.Excluded[:min(len(out.Excluded), maxExclusions)]
	for _, b := range binds {
		out.Binds = append(out.Binds, b)
	}
	slices.SortFunc(out.Binds, func(a, b *insight.Binding) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), strings.Compare(a.Resource, b.Resource))
	})
}

// bind counts a node that is exhausted.
func bind(binds map[string]*insight.Binding, ask *place.Ask, o place.Outcome) {
	b := binds[o.Reason]
	if b == nil {
		b = &insight.Binding{Resource: o.Reason}
		binds[o.Reason] = b
	}
	b.Nodes++
	need, free := ask.Needs(), int64(0)
	switch o.Reason {
	case place.DimCPU:
		b.Asked, free = need.CPU, o.Free.CPU
	case place.DimMemory:
		b.Asked, free = need.Memory, o.Free.Memory
	case place.DimDisk:
		b.Asked, free = need.Disk, o.Free.Disk
	case place.DimCores:
		b.Asked, free = int64(need.Cores), int64(o.Free.Cores)
	default:
		return
	}
	if b.On == "" || free > b.MostFree || free == b.MostFree && o.Node.Name < b.On {
		b.MostFree, b.On = free, o.Node.Name
	}
}

// choices tell why instances are where they are: the newest of each node.
func (d *decision) choices(out *insight.Group, ask *place.Ask) {
	list := slices.Clone(d.allocs[out.Name])
	slices.SortFunc(list, func(a, b *model.Allocation) int {
		return cmp.Or(cmp.Compare(b.CreateIndex, a.CreateIndex), strings.Compare(a.ID, b.ID))
	})
	seen := make(map[string]bool)
	for _, a := range list {
		if len(out.Chosen) == MaxChosen {
			return
		}
		if !seen[a.NodeID] {
			seen[a.NodeID] = true
			out.Chosen = append(out.Chosen, d.choice(a, ask))
		}
	}
}

// Choose tells why one instance is where it is.
func Choose(s State, a *model.Allocation, env sched.Env) *insight.Choice {
	job := a.Job
	if job == nil {
		job = s.Job(a.Namespace, a.JobID)
	}
	g := reconcile.Find(job, a.TaskGroup)
	if g == nil {
		return nil
	}
	d := &decision{state: s, job: job, env: env, eval: &model.Evaluation{ID: "advice", Namespace: a.Namespace, JobID: a.JobID}}
	return d.choice(a, place.NewAsk(job, g))
}

func (d *decision) choice(a *model.Allocation, ask *place.Ask) *insight.Choice {
	c := &insight.Choice{AllocID: a.ID, Name: a.Name, NodeID: a.NodeID, NodeName: a.NodeName, Placed: time.Unix(0, a.CreateTime).UTC()}
	if a.Metrics != nil {
		c.Then = d.scores(a.Metrics.ScoreMetaData, a.NodeID)
	}
	b := place.NewBoard(d.state.Fleet().Fork(), sched.Settings(d.eval, d.env))
	for _, other := range d.state.AllocsByJob(a.Namespace, a.JobID) {
		b.Add(other)
	}
	b.Free(a)
	sel := b.Select(ask)
	c.Now = d.scores(sel.Scores(a.NodeID), a.NodeID)
	if !slices.ContainsFunc(c.Now, func(s *insight.Score) bool { return s.Chosen }) {
		c.Unfit = sel.Reason(a.NodeID)
	}
	return c
}

func (d *decision) scores(list []*model.NodeScoreMeta, chosen string) []*insight.Score {
	var out []*insight.Score
	for _, m := range list {
		s := &insight.Score{NodeID: m.NodeID, Chosen: m.NodeID == chosen, Components: m.Scores, Final: m.NormScore}
		if n := d.state.Node(m.NodeID); n != nil {
			s.NodeName = n.Name
		}
		out = append(out, s)
	}
	return out
}
