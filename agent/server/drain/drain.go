// Package drain empties nodes that are to be drained: a pure component.
//
//	NodeDrain ──► services leave, a few of a group at a time    (migrate block)
//	              batch jobs end by themselves
//	                 │ deadline: whatever is left is stopped
//	              system jobs leave last, unless they are to stay
//	                 │
//	              nothing runs there ──► complete
//
// Contract and invariants:
//
//   - A service instance is stopped when it has another place, and not before,
//     until the deadline. Of a group no more than migrate.max_parallel fewer than its
//     count are healthy because of drains, however many nodes are drained at once.
//   - A drain is complete when every task has ended, as its node says: not when the
//     servers want it, and not while the node is down, where nobody knows.
//   - Everything follows from the state: a new leader goes on where the last one was.
//
// Example:
//
//	c := drain.New()
//	c.Reset(snap)
//	cmds, wake := c.Step(now, snap)
package drain

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	rules "github.com/steppe-project/steppe/model/drain"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// maxTransitions bounds the allocations of one command, so that it stays far below
// the size limit of a log entry.
const maxTransitions = 1024

// Drainer is the component.
type Drainer struct {
	draining map[string]bool
}

// New makes the component.
func New() *Drainer { return &Drainer{draining: make(map[string]bool)} }

// Name implements loop.Component.
func (d *Drainer) Name() string { return "drain" }

// Reads implements loop.Component.
func (d *Drainer) Reads() []state.Table {
	return []state.Table{state.TableNodes, state.TableAllocs, state.TableJobs}
}

// Reset implements loop.Component.
func (d *Drainer) Reset(snap *state.Snapshot) {
	clear(d.draining)
	for n := range snap.Nodes(state.Range{}) {
		d.note(n.ID, n)
	}
}

// Observe implements loop.Component.
func (d *Drainer) Observe(changes []state.Change) {
	for i := range changes {
		if changes[i].Table == state.TableNodes {
			n, _ := changes[i].After.(*model.Node)
			d.note(changes[i].Key, n)
		}
	}
}

func (d *Drainer) note(id string, n *model.Node) {
	if n != nil && n.DrainStrategy != nil {
		d.draining[id] = true
	} else {
		delete(d.draining, id)
	}
}

// Step implements loop.Component.
func (d *Drainer) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	if len(d.draining) == 0 {
		return nil, time.Time{}
	}
	p := &pass{now: now, snap: snap, groups: make(map[groupKey][]*model.Allocation), evals: make(map[model.NamespacedID]*model.Evaluation)}
	for _, id := range slices.Sorted(maps.Keys(d.draining)) {
		if n := snap.Node(id); n != nil && n.DrainStrategy != nil {
			p.node(n)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(p.groups), groupKey.compare) {
		p.group(key, p.groups[key])
	}
	return p.commands(), p.wake
}

// groupKey names a group of a job.
type groupKey struct{ namespace, job, group string }

func (k groupKey) compare(o groupKey) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.job, o.job), cmp.Compare(k.group, o.group))
}

// pass is one step.
type pass struct {
	now    time.Time
	snap   *state.Snapshot
	groups map[groupKey][]*model.Allocation // services that may have to wait for others
	moves  []fsm.AllocTransition
	evals  map[model.NamespacedID]*model.Evaluation
	done   []fsm.Command
	wake   time.Time
}

// wakeAt has the next step come no later than at.
func (p *pass) wakeAt(at time.Time) {
	if p.wake.IsZero() || at.Before(p.wake) {
		p.wake = at
	}
}

// node looks at what is still on a node.
func (p *pass) node(n *model.Node) {
	if n.Status == model.NodeStatusDown {
		return // what ran there is being replaced; whether it has ended, nobody knows
	}
	strategy := n.DrainStrategy
	forced := rules.Forced(strategy, p.now)
	if !forced && strategy.Deadline > 0 {
		p.wakeAt(strategy.ForceDeadline)
	}
	var system []*model.Allocation
	left := 0
	for a := range p.snap.AllocsByNode(n.ID) {
		if a.ClientTerminal() {
			continue
		}
		if perNode(a) {
			system = append(system, a)
			continue
		}
		left++
		p.alloc(a, forced)
	}
	if strategy.IgnoreSystemJobs {
		system = nil
	}
	if left == 0 || forced {
		for _, a := range system {
			p.move(a, forced)
		}
	}
	if left+len(system) == 0 {
		p.done = append(p.done, proposal.Of(&fsm.NodeDrain{NodeID: n.ID, Complete: true, StartedAt: strategy.StartedAt}))
	}
}

func perNode(a *model.Allocation) bool {
	return a.Job != nil && (a.Job.Type == model.JobTypeSystem || a.Job.Type == model.JobTypeSysbatch)
}

// alloc decides on an allocation of a service or batch job.
func (p *pass) alloc(a *model.Allocation, forced bool) {
	switch {
	case a.ServerTerminal():
	case forced:
		p.move(a, true)
	case a.Job != nil && a.Job.Type == model.JobTypeBatch:
	case !moving(a):
		key := groupKey{a.Namespace, a.JobID, a.TaskGroup}
		p.groups[key] = append(p.groups[key], a)
	}
}

func moving(a *model.Allocation) bool {
	return a.DesiredTransition.Migrate != nil && *a.DesiredTransition.Migrate
}

// move has an allocation leave. One that already was to leave is looked at again
// when its time is over, unless somebody is about to.
func (p *pass) move(a *model.Allocation, forced bool) {
	if a.ServerTerminal() {
		return
	}
	if !moving(a) {
		yes := true
		p.moves = append(p.moves, fsm.AllocTransition{ID: a.ID, Transition: model.DesiredTransition{Migrate: &yes}})
	} else if !forced || p.looked(a) {
		return
	}
	p.evaluate(a)
}

// looked tells whether an evaluation of an allocation's job is under way.
func (p *pass) looked(a *model.Allocation) bool {
	for e := range p.snap.EvalsByJob(a.Namespace, a.JobID) {
		if e.Status == model.EvalPending && !e.WaitUntil.After(p.now) {
			return true
		}
	}
	return false
}

func (p *pass) evaluate(a *model.Allocation) {
	key := model.NamespacedID{Namespace: a.Namespace, ID: a.JobID}
	if p.evals[key] != nil {
		return
	}
	e := &model.Evaluation{
		ID:        ident.From("drain", a.Namespace, a.JobID, strconv.FormatUint(p.snap.Index(), 10)),
		Namespace: a.Namespace, JobID: a.JobID, Type: model.JobTypeService, Priority: model.DefaultPriority,
		TriggeredBy: model.TriggerNodeDrain, NodeID: a.NodeID, Status: model.EvalPending,
		CreateTime: p.now.UnixNano(), ModifyTime: p.now.UnixNano(),
	}
	job := p.snap.Job(a.Namespace, a.JobID)
	if job == nil {
		job = a.Job
	}
	if job != nil {
		e.Type, e.Priority, e.JobModifyIndex = job.Type, job.Priority, job.JobModifyIndex
	}
	p.evals[key] = e
}

// group has as many of a group's instances leave as its migrate block lets be away
// at once.
func (p *pass) group(key groupKey, candidates []*model.Allocation) {
	job := p.snap.Job(key.namespace, key.job)
	g := reconcile.Find(job, key.group)
	if g == nil || job.Stop {
		for _, a := range candidates {
			p.move(a, false)
		}
		return
	}
	policy := g.Migrate
	if policy == nil {
		policy = model.NewMigrateStrategy()
	}
	healthy, away := 0, 0
	for a := range p.snap.AllocsByJob(key.namespace, key.job) {
		switch {
		case a.TaskGroup != key.group || a.Terminal():
		case moving(a):
			away++
		case p.healthy(a, g, policy):
			healthy++
		}
	}
	slices.SortFunc(candidates, func(a, b *model.Allocation) int {
		x, y := p.healthy(a, g, policy), p.healthy(b, g, policy)
		return cmp.Or(compareBools(x, y), cmp.Compare(a.Index(), b.Index()), cmp.Compare(a.ID, b.ID))
	})
	room := healthy - (g.Count - max(1, policy.MaxParallel))
	for _, a := range candidates {
		switch well := p.healthy(a, g, policy); {
		case well && room > 0:
			room--
		case !well && away < max(1, policy.MaxParallel): // nobody misses it
		default:
			continue
		}
		away++
		p.move(a, false)
	}
}

func compareBools(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

// healthy tells whether an instance has run long enough; one that will have is
// looked at again then.
func (p *pass) healthy(a *model.Allocation, g *model.TaskGroup, policy *model.MigrateStrategy) bool {
	since, ok := reconcile.StartedAt(a, g)
	if !ok {
		return false
	}
	at := since.Add(policy.MinHealthyTime)
	if at.After(p.now) {
		p.wakeAt(at)
		return false
	}
	return true
}

// commands are what the pass has found.
func (p *pass) commands() []fsm.Command {
	var cmds []fsm.Command
	var evals []*model.Evaluation
	for _, key := range slices.SortedFunc(maps.Keys(p.evals), func(a, b model.NamespacedID) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
	}) {
		evals = append(evals, p.evals[key])
	}
	for len(p.moves) > maxTransitions {
		cmds = append(cmds, proposal.Of(&fsm.TransitionAllocs{Transitions: p.moves[:maxTransitions]}))
		p.moves = p.moves[maxTransitions:]
	}
	if len(p.moves)+len(evals) > 0 {
		cmds = append(cmds, proposal.Of(&fsm.TransitionAllocs{Transitions: p.moves, Evals: evals}))
	}
	return append(cmds, p.done...)
}
