package alloc

import (
	"context"
	"slices"
	"sync"

	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/model"
)

// carry carries out a step that the core has made.
func (r *Runner) carry(ctx context.Context, e Effect) {
	t, action := r.tasks[e.Task], e.Action
	for _, ev := range action.Events {
		t.note(ev)
	}
	if e.Before.Up() && !t.status.Up() || e.Seen == task.Vanished {
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
	r.report(e.Before.Phase != t.status.Phase && visible(e.Before) != visible(t.status))
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
	status, words := r.core.ClientStatus()
	if ended(status) && !r.finished() {
		return // the servers give its resources to others at this word: it is not true yet
	}
	u := &model.AllocUpdate{
		ID: r.id, ClientStatus: status, ClientDescription: words, TaskStates: make(map[string]*model.TaskState, len(r.tasks)),
		DeploymentStatus: r.core.Health(),
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
	return status == model.ClientComplete || status == model.ClientFailed || status == model.ClientLost
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
