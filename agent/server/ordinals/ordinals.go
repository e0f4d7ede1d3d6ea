// Package ordinals has jobs with stateful groups looked at when something has changed
// that an ordinal may wait for: a pure component.
//
//	an instance started, became healthy, or ended ──► an evaluation of its job
//	a node was lost, or is back                    ──► one of each that has something there
//
// Contract and invariants:
//
//   - Of a job with stateful groups, a decision is made on a state that has the newest
//     news of its instances, or is about to be.
//   - As many changes as there are at once make one evaluation of a job.
//   - When leadership begins, all jobs with stateful groups are looked at of which an
//     allocation has changed since their newest decision. (Those that were purged have
//     evaluations that wait for a time.)
//
// Example:
//
//	c := ordinals.New()
//	c.Reset(snap)
//	c.Observe(changes)
//	cmds, _ := c.Step(now, snap)
package ordinals

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
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/stateful"
)

// maxEvals bounds the evaluations of one command, so that it stays far below the size
// limit of a log entry.
const maxEvals = 1024

// Ordinals is the component.
type Ordinals struct {
	jobs  map[model.NamespacedID]noted // those with news
	nodes map[string]uint64            // those that were lost or came back, and when
	// older are groups with news of an instance of a version in which they are not stateful,
	// and when: in the newest one they may be.
	older map[group]uint64
}

// group names a group of a job.
type group struct{ namespace, job, name string }

// noted is how new the news of a job is, and whether some is of a stateful instance.
type noted struct {
	index    uint64
	stateful bool
}

// New makes the component.
func New() *Ordinals {
	return &Ordinals{jobs: make(map[model.NamespacedID]noted), nodes: make(map[string]uint64), older: make(map[group]uint64)}
}

// Name implements loop.Component.
func (c *Ordinals) Name() string { return "ordinals" }

// Reads implements loop.Component.
func (c *Ordinals) Reads() []state.Table {
	return []state.Table{state.TableAllocs, state.TableNodes, state.TableEvals}
}

// Reset implements loop.Component.
func (c *Ordinals) Reset(snap *state.Snapshot) {
	clear(c.jobs)
	clear(c.nodes)
	clear(c.older)
	for job := range snap.Jobs(state.Range{}) {
		if !stateful.Any(job) {
			continue
		}
		for a := range snap.AllocsByJob(job.Namespace, job.ID) {
			c.note(a, a.ModifyIndex)
			if n := snap.Node(a.NodeID); n != nil && !a.ClientTerminal() {
				c.note(a, n.ModifyIndex)
			}
		}
	}
}

func (c *Ordinals) note(a *model.Allocation, index uint64) {
	key := model.NamespacedID{Namespace: a.Namespace, ID: a.JobID}
	c.jobs[key] = noted{max(c.jobs[key].index, index), c.jobs[key].stateful || stateful.Is(a)}
}

// Observe implements loop.Component.
func (c *Ordinals) Observe(changes []state.Change) {
	for i := range changes {
		switch after := changes[i].After.(type) {
		case *model.Allocation:
			before, _ := changes[i].Before.(*model.Allocation)
			switch {
			case before == nil || after.Job != nil && after.Job.Type != model.JobTypeService || !news(before, after):
				// nobody waits for it
			case stateful.Is(after) || after.ClientTerminal():
				c.note(after, changes[i].Index)
			default:
				c.older[group{after.Namespace, after.JobID, after.TaskGroup}] = changes[i].Index
			}
		case *model.Node:
			if before, _ := changes[i].Before.(*model.Node); before == nil || before.Status != after.Status {
				c.nodes[after.ID] = changes[i].Index
			}
		}
	}
}

// news tells whether a change of a service's allocation is one that others may wait for.
// It may be of a version in which its group is not stateful: what takes its place may be,
// or what waits for it.
func news(before, after *model.Allocation) bool {
	if before.ClientTerminal() != after.ClientTerminal() {
		return true
	}
	return !after.ClientTerminal() &&
		(before.ClientStatus != after.ClientStatus || deploy.Healthy(before) != deploy.Healthy(after) ||
			deploy.Unhealthy(before) != deploy.Unhealthy(after) || !maps.EqualFunc(before.TaskStates, after.TaskStates, sameState))
}

func sameState(a, b *model.TaskState) bool {
	return a == b || a != nil && b != nil && a.State == b.State && a.StartedAt.Equal(b.StartedAt) && a.Failed == b.Failed
}

// Step implements loop.Component. A job stays noted until a decision has seen the news.
func (c *Ordinals) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		for a := range snap.AllocsByNode(id) {
			if (stateful.Is(a) || stateful.Of(snap.Job(a.Namespace, a.JobID), a.TaskGroup) != nil) && !a.ClientTerminal() {
				c.note(a, c.nodes[id])
			}
		}
	}
	clear(c.nodes)
	for g, at := range c.older {
		if key := (model.NamespacedID{Namespace: g.namespace, ID: g.job}); stateful.Of(snap.Job(g.namespace, g.job), g.name) != nil {
			c.jobs[key] = noted{max(c.jobs[key].index, at), c.jobs[key].stateful}
		}
	}
	clear(c.older)
	var evals []*model.Evaluation
	for _, key := range slices.SortedFunc(maps.Keys(c.jobs), func(a, b model.NamespacedID) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
	}) {
		job, at := concerned(snap, key, c.jobs[key].stateful), c.jobs[key].index
		if job == nil {
			delete(c.jobs, key)
			continue
		}
		seen, soon := false, false
		for e := range snap.EvalsByJob(key.Namespace, key.ID) {
			seen = seen || e.SnapshotIndex >= at
			soon = soon || e.Status == model.EvalPending && !e.WaitUntil.After(now)
		}
		switch {
		case seen && !soon:
			delete(c.jobs, key)
		case !soon && len(evals) < maxEvals:
			evals = append(evals, newEval(now, job, at))
		}
	}
	if len(evals) == 0 {
		return nil, time.Time{}
	}
	return []fsm.Command{proposal.Of(&fsm.UpsertEvals{Evals: evals})}, time.Time{}
}

// concerned is a job with stateful groups, or one of which something stateful is still
// to end; else nil.
func concerned(snap *state.Snapshot, key model.NamespacedID, had bool) *model.Job {
	job := snap.Job(key.Namespace, key.ID)
	if stateful.Any(job) {
		return job
	}
	if !had {
		return nil
	}
	for a := range snap.AllocsByJob(key.Namespace, key.ID) {
		if !a.ClientTerminal() && stateful.Is(a) {
			return cmp.Or(job, a.Job)
		}
	}
	return nil
}

func newEval(now time.Time, job *model.Job, at uint64) *model.Evaluation {
	return &model.Evaluation{
		ID:        ident.From("ordinals", job.Namespace, job.ID, strconv.FormatUint(at, 10)),
		Namespace: job.Namespace, JobID: job.ID, Type: job.Type, Priority: job.Priority,
		TriggeredBy: stateful.Trigger, JobModifyIndex: job.JobModifyIndex,
		Status: model.EvalPending, CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(),
	}
}
