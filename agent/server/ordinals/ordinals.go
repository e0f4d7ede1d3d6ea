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
	jobs  map[model.NamespacedID]noted    // those with news
	of    map[model.NamespacedID]struct{} // those whose newest version has stateful groups
	nodes map[string]uint64               // those that were lost or came back, and when
}

// noted is how new the news of a job is, and whether some is of a stateful instance.
type noted struct {
	index    uint64
	stateful bool
}

// New makes the component.
func New() *Ordinals {
	return &Ordinals{
		jobs: make(map[model.NamespacedID]noted), of: make(map[model.NamespacedID]struct{}), nodes: make(map[string]uint64),
	}
}

// Name implements loop.Component.
func (c *Ordinals) Name() string { return "ordinals" }

// Reads implements loop.Component.
func (c *Ordinals) Reads() []state.Table {
	return []state.Table{state.TableJobs, state.TableAllocs, state.TableNodes, state.TableEvals}
}

// Reset implements loop.Component.
func (c *Ordinals) Reset(snap *state.Snapshot) {
	clear(c.jobs)
	clear(c.of)
	clear(c.nodes)
	for job := range snap.Jobs(state.Range{}) {
		if !stateful.Any(job) {
			continue
		}
		c.of[name(job)] = struct{}{}
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
		if changes[i].Table == state.TableJobs {
			c.observeJob(&changes[i])
			continue
		}
		switch after := changes[i].After.(type) {
		case *model.Allocation:
			if before, _ := changes[i].Before.(*model.Allocation); before != nil && c.news(before, after) {
				c.note(after, changes[i].Index)
			}
		case *model.Node:
			if before, _ := changes[i].Before.(*model.Node); before == nil || before.Status != after.Status {
				c.nodes[after.ID] = changes[i].Index
			}
		}
	}
}

func name(job *model.Job) model.NamespacedID {
	return model.NamespacedID{Namespace: job.Namespace, ID: job.ID}
}

func (c *Ordinals) observeJob(ch *state.Change) {
	after, _ := ch.After.(*model.Job)
	if after != nil && stateful.Any(after) {
		c.of[name(after)] = struct{}{}
	} else if before, _ := ch.Before.(*model.Job); before != nil {
		delete(c.of, name(before))
	}
}

// news tells whether a change of an allocation is one that others may wait for: of a
// version without stateful groups, too, where the newest one has some.
func (c *Ordinals) news(before, after *model.Allocation) bool {
	if before.ClientTerminal() != after.ClientTerminal() {
		// Of an older version of its job, too: what takes its place may be stateful.
		return after.Job == nil || after.Job.Type == model.JobTypeService
	}
	if _, of := c.of[model.NamespacedID{Namespace: after.Namespace, ID: after.JobID}]; !of && !stateful.Is(after) {
		return false
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
