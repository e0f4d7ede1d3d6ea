// Package dependents has jobs looked at again when what they depend on has become ready,
// and stopped jobs when what depended on the rest has ended: a pure component.
//
//	db healthy ──► the blocked evaluation of web, which waits for it, is due
//	web ended ───► the evaluation that waits to stop db is due
//
// Contract and invariants:
//
//   - What waits is known from the state: a blocked evaluation says of which group, the
//     job on what. Reset finds all of them, so a new leader goes on where the last was.
//   - A change costs a look only at the jobs that wait for the one that it is about.
//   - An evaluation is woken when a group of it does not wait any more, not before: what
//     is half ready wakes nobody.
//
// Example:
//
//	c := dependents.New()
//	c.Reset(snap)
//	c.Observe(changes)
//	cmds, wake := c.Step(now, snap)
package dependents

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/sched/readiness"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// maxEvals bounds the evaluations of one command, so that it stays far below the size
// limit of a log entry.
const maxEvals = 1024

// key names a job.
type key = model.NamespacedID

// Watcher is the component. Its methods must not be called concurrently.
type Watcher struct {
	// waiting are the evaluations that wait, with their jobs, by id.
	waiting map[string]key
	byJob   map[key]map[string]bool
	// on are the jobs that a waiting job depends on, of those whose evaluation was read;
	// for are the jobs that wait for one.
	on    map[key][]key
	of    map[key]map[key]bool
	dirty map[key]bool
	// due is when time alone may let a waiting job go on.
	due map[key]time.Time
}

// New makes the component.
func New() *Watcher {
	w := &Watcher{}
	w.clear()
	return w
}

func (w *Watcher) clear() {
	*w = Watcher{
		waiting: map[string]key{}, byJob: map[key]map[string]bool{}, on: map[key][]key{}, of: map[key]map[key]bool{},
		dirty: map[key]bool{}, due: map[key]time.Time{},
	}
}

// Name implements loop.Component.
func (w *Watcher) Name() string { return "dependents" }

// Reads implements loop.Component.
func (w *Watcher) Reads() []state.Table {
	return []state.Table{state.TableEvals, state.TableJobs, state.TableAllocs}
}

// Reset implements loop.Component.
func (w *Watcher) Reset(snap *state.Snapshot) {
	w.clear()
	for _, status := range []string{model.EvalBlocked, model.EvalPending} {
		for e := range snap.EvalsByStatus(status) {
			w.note(e.ID, e)
		}
	}
}

// Observe implements loop.Component.
func (w *Watcher) Observe(changes []state.Change) {
	for i := range changes {
		row := changes[i].After
		if row == nil {
			row = changes[i].Before
		}
		switch row := row.(type) {
		case *model.Evaluation:
			after, _ := changes[i].After.(*model.Evaluation)
			w.note(changes[i].Key, after)
		case *model.Job:
			w.touch(key{ID: row.ID, Namespace: row.Namespace})
		case *model.Allocation:
			w.touch(key{ID: row.JobID, Namespace: row.Namespace})
		}
	}
}

// waits tells whether an evaluation waits for what its job depends on, or for the end of
// what depends on it.
func waits(e *model.Evaluation) bool {
	switch e.Status {
	case model.EvalBlocked:
		return readiness.Waits(e)
	case model.EvalPending:
		return e.StatusDescription == reconcile.DescNeeded && !e.WaitUntil.IsZero()
	}
	return false
}

// note takes in an evaluation as it is now; nil when it is gone.
func (w *Watcher) note(id string, e *model.Evaluation) {
	if e != nil && waits(e) {
		k := key{ID: e.JobID, Namespace: e.Namespace}
		w.waiting[id] = k
		if w.byJob[k] == nil {
			w.byJob[k] = map[string]bool{}
		}
		w.byJob[k][id], w.dirty[k] = true, true
		w.forget(k) // what it depends on is read anew
		return
	}
	k, known := w.waiting[id]
	if !known {
		return
	}
	delete(w.waiting, id)
	if delete(w.byJob[k], id); len(w.byJob[k]) == 0 {
		delete(w.byJob, k)
		delete(w.due, k)
		delete(w.dirty, k)
		w.forget(k)
	}
}

// forget drops what is known of the jobs that k depends on.
func (w *Watcher) forget(k key) {
	for _, t := range w.on[k] {
		if delete(w.of[t], k); len(w.of[t]) == 0 {
			delete(w.of, t)
		}
	}
	delete(w.on, k)
}

// touch notes a change of a job, or of what it runs.
func (w *Watcher) touch(k key) {
	for d := range w.of[k] {
		w.dirty[d] = true
	}
}

// learn reads what a waiting job depends on; the job itself is always part of it.
func (w *Watcher) learn(k key, job *model.Job) {
	w.forget(k)
	targets := []key{k}
	if job != nil {
		for _, g := range job.TaskGroups {
			for _, d := range precedence.Of(job, g) {
				if t := precedence.Target(job, d); !slices.Contains(targets, t) {
					targets = append(targets, t)
				}
			}
		}
	}
	w.on[k] = targets
	for _, t := range targets {
		if w.of[t] == nil {
			w.of[t] = map[key]bool{}
		}
		w.of[t][k] = true
	}
}

// Step implements loop.Component.
func (w *Watcher) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	for k, at := range w.due {
		if !at.After(now) {
			w.dirty[k] = true
		}
	}
	var evals []*model.Evaluation
	for _, k := range slices.SortedFunc(maps.Keys(w.dirty), byName) {
		woken := w.look(k, now, snap)
		if len(woken) == 0 {
			delete(w.dirty, k) // else it stays until its evaluation is seen to be due
		}
		evals = append(evals, woken...)
	}
	var cmds []fsm.Command
	for list := range slices.Chunk(evals, maxEvals) {
		cmds = append(cmds, proposal.Of(&fsm.UpsertEvals{Evals: list}))
	}
	return cmds, w.next()
}

func byName(a, b key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
}

// next is when to step again though nothing is observed.
func (w *Watcher) next() time.Time {
	var at time.Time
	for _, t := range w.due {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// look returns the evaluations of a job that need not wait any more, made due.
func (w *Watcher) look(k key, now time.Time, snap *state.Snapshot) []*model.Evaluation {
	job := snap.Job(k.Namespace, k.ID)
	if w.on[k] == nil {
		w.learn(k, job)
	}
	delete(w.due, k)
	waits := readiness.Of(&fleet.Basis{Snapshot: snap}, job, now)
	var out []*model.Evaluation
	for _, id := range slices.Sorted(maps.Keys(w.byJob[k])) {
		e := snap.Eval(id)
		switch {
		case e == nil:
		case e.Status == model.EvalBlocked && over(e, waits), e.Status == model.EvalPending && e.WaitUntil.After(now) && ended(snap, k):
			c := *e
			c.Status, c.StatusDescription, c.ModifyTime = model.EvalPending, "", now.UnixNano()
			c.Attempts, c.WaitUntil = 0, time.Time{}
			out = append(out, &c)
		}
	}
	for _, wait := range waits {
		if at := wait.At; !at.IsZero() && (w.due[k].IsZero() || at.Before(w.due[k])) {
			w.due[k] = at
		}
	}
	return out
}

// over tells whether a group of a blocked evaluation does not wait any more.
func over(e *model.Evaluation, waits map[string]*readiness.Wait) bool {
	for group, m := range e.FailedTGAllocs {
		if m != nil && len(m.Waits) > 0 && waits[group] == nil {
			return true
		}
	}
	return false
}

// ended tells whether a group of a stopped job has ended whose end was not seen by any
// decision: another one may be stopped.
func ended(snap *state.Snapshot, k key) bool {
	newest := map[string]uint64{} // by group: the last change; 0 for one that has not ended
	for a := range snap.AllocsByJob(k.Namespace, k.ID) {
		switch last, known := newest[a.TaskGroup]; {
		case !a.ClientTerminal():
			newest[a.TaskGroup] = 0
		case !known || last > 0:
			newest[a.TaskGroup] = max(last, a.ModifyIndex)
		}
	}
	seen := uint64(0)
	for e := range snap.EvalsByJob(k.Namespace, k.ID) {
		seen = max(seen, e.SnapshotIndex)
	}
	for _, at := range newest {
		if at > seen {
			return true
		}
	}
	return false
}
