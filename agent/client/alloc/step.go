package alloc

import (
	"context"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/model"
)

// desired words a wish for one task in terms of task.Step.
func (r *Runner) desired(t *taskRun, w wish) task.Desired {
	a := r.Assigned()
	d := task.Desired{
		Start: w.start, Stop: w.stop != causeNone, NoDelay: r.noDelay() || w.stop == causeNever,
		RestartNonce: t.nonce, Revive: t.revive,
		RestartOnSuccess: t.role.restartsOnSuccess(a.Job.Type),
		KillTimeout:      t.task.KillTimeout, KillSignal: t.task.KillSignal, ShutdownDelay: t.task.ShutdownDelay,
		Seed: seedOf(r.id, t.task.Name),
	}
	if limit := r.deps.MaxKillTimeout; limit > 0 {
		d.KillTimeout = min(d.KillTimeout, limit)
	}
	switch {
	case t.task.RestartPolicy != nil:
		d.Policy = *t.task.RestartPolicy
	case r.group.RestartPolicy != nil:
		d.Policy = *r.group.RestartPolicy
	default:
		d.Policy = *model.NewRestartPolicy(a.Job.Type)
	}
	switch w.stop {
	case causeSibling:
		d.StopEvent = task.SiblingFailedEvent(time.Now(), w.sibling)
	case causeLeader:
		d.StopEvent = task.LeaderDeadEvent(time.Now())
	case causeMain:
		d.StopEvent = task.MainTasksDeadEvent(time.Now())
	}
	return d
}

// seedOf makes the jitter of each task its own, and the same after a restart.
func seedOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// step makes one step of one task and carries it out. It tells whether
// anything changed.
func (r *Runner) step(ctx context.Context, t *taskRun, d task.Desired, o task.Observed) bool {
	before := t.status
	next, action := task.Step(before, d, o, time.Now())
	if next == before && action.Verb == task.VerbNone && len(action.Events) == 0 {
		return false
	}
	t.status = next
	for _, e := range action.Events {
		t.note(e)
	}
	if before.Up() && !next.Up() || o.Kind == task.Vanished {
		r.dispose(ctx, t)
	} else {
		r.persist(ctx, t)
	}
	switch action.Verb {
	case task.VerbStart:
		r.start(ctx, t)
	case task.VerbCancel:
		if t.cancel != nil {
			t.cancel()
		}
	case task.VerbKill:
		r.kill(ctx, t, action)
	}
	r.report(before.Phase != next.Phase && visible(before) != visible(next))
	return true
}

// visible is the part of a status that others wait for.
func visible(s task.Status) string { return s.State(nil).State }

// note adds an event to the history, which is bounded.
func (t *taskRun) note(e *model.TaskEvent) {
	t.history = append(slices.Clone(t.history), e)
	if extra := len(t.history) - model.MaxTaskEvents; extra > 0 {
		t.history = slices.Clone(t.history[extra:])
	}
}

// report publishes the statuses as they are now.
func (r *Runner) report(urgent bool) {
	status, words := clientStatus(r.members())
	if ended(status) && !r.finished() {
		return // the servers give its resources to others at this word: it is not true yet
	}
	u := &model.AllocUpdate{
		ID: r.id, ClientStatus: status, ClientDescription: words, TaskStates: make(map[string]*model.TaskState, len(r.tasks)),
	}
	for _, t := range r.tasks {
		u.TaskStates[t.task.Name] = t.status.State(t.history)
	}
	r.mu.Lock()
	urgent = urgent || r.last != nil && r.last.ClientStatus != status
	r.last = u
	r.mu.Unlock()
	r.deps.Reports.Put(u, urgent)
}

func ended(status string) bool {
	return status == model.ClientComplete || status == model.ClientFailed
}

// recorder keeps a task's record on disk. The loop changes status and history,
// the goroutine of a start changes id and handle; writes are in order.
type recorder struct {
	key    string
	mu     sync.Mutex
	record db.TaskRecord
}

// change changes the record and begins to write it.
func (c *recorder) change(ctx context.Context, store *db.DB, allocID string, f func(*db.TaskRecord)) (<-chan error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.record)
	return store.Begin(ctx, db.PutTask(allocID, c.key, &c.record))
}

// changeLater is change for what need not be durable at once.
func (c *recorder) changeLater(ctx context.Context, store *db.DB, allocID string, f func(*db.TaskRecord)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.record)
	return store.WriteLater(ctx, db.PutTask(allocID, c.key, &c.record))
}

// persist keeps a task's status soon.
func (r *Runner) persist(ctx context.Context, t *taskRun) {
	err := t.recorder.changeLater(ctx, r.deps.DB, r.id, func(rec *db.TaskRecord) {
		rec.Status, rec.Events = t.status, t.history
	})
	if err != nil && ctx.Err() == nil {
		r.log.Error("cannot keep the task's state", "task", t.task.Name, "error", err)
	}
}
