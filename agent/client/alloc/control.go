package alloc

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// ask runs f on the runner's goroutine and waits for it.
func (r *Runner) ask(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case r.events <- event{task: -1, apply: func() { f(); close(done) }}:
	case <-r.quit:
		return model.Errorf(model.CodeInvalid, "allocation %s has ended", r.id)
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-r.quit:
		return model.Errorf(model.CodeInvalid, "allocation %s has ended", r.id)
	}
}

// Restart restarts one task, or all that run ("" ); with all also those that
// have ended. It returns when the restarts are under way.
func (r *Runner) Restart(ctx context.Context, name string, all bool) error {
	var refused error
	err := r.ask(ctx, func() {
		t, err := r.find(name)
		if err != nil {
			refused = err
			return
		}
		if t != nil {
			if !t.status.Up() && !all {
				refused = model.Errorf(model.CodeInvalid, "Task not running")
				return
			}
			t.nonce, t.revive = t.nonce+1, all
			return
		}
		for _, t := range r.tasks {
			if t.role != rolePoststop && (all || t.status.Up()) {
				t.nonce, t.revive = t.nonce+1, all
			}
		}
	})
	if err != nil {
		return err
	}
	return refused
}

// find finds a task by name; nil for "" (all).
func (r *Runner) find(name string) (*taskRun, error) {
	if name == "" {
		return nil, nil
	}
	for _, t := range r.tasks {
		if t.task.Name == name {
			return t, nil
		}
	}
	return nil, model.Errorf(model.CodeNotFound, "Could not find task named %q in allocation %s", name, r.id)
}

// Live is a running task and where its driver knows it by.
type Live struct {
	Task   string
	Driver string
	ID     string
}

// Live lists the running tasks: one, or all ("").
func (r *Runner) Live(ctx context.Context, name string) ([]Live, error) {
	var out []Live
	var refused error
	err := r.ask(ctx, func() {
		if _, refused = r.find(name); refused != nil {
			return
		}
		for _, t := range r.tasks {
			if t.running != nil && (name == "" || t.task.Name == name) {
				out = append(out, Live{Task: t.task.Name, Driver: t.task.Driver, ID: t.running.id})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return out, refused
}

// Driver is the running driver of a task.
func (r *Runner) Driver(ctx context.Context, l Live) (*driverset.Driver, error) {
	return r.deps.Drivers.Get(ctx, l.Driver)
}

// Signal sends a signal to one task, or to all ("").
func (r *Runner) Signal(ctx context.Context, name, signal string) error {
	live, err := r.Live(ctx, name)
	if err != nil {
		return err
	}
	if len(live) == 0 {
		return model.Errorf(model.CodeInvalid, "Task not running")
	}
	for _, l := range live {
		d, err := r.Driver(ctx, l)
		if err != nil {
			return err
		}
		s, ok := d.Driver.(plugins.SignalTasker)
		if !ok || !d.Caps.SendSignals {
			return model.Errorf(model.CodeInvalid, "driver %s of task %s cannot send signals", l.Driver, l.Task)
		}
		if err := s.SignalTask(ctx, l.ID, signal); err != nil {
			return model.Errorf(model.CodeInvalid, "signal %s to task %s: %w", signal, l.Task, err)
		}
		r.noteFor(l.Task, task.SignalEvent(time.Now(), signal))
	}
	return nil
}

// noteFor adds an event to a task's history. The order of tasks never changes.
func (r *Runner) noteFor(name string, e *model.TaskEvent) {
	for i := range r.tasks {
		if r.tasks[i].recorder.key == name {
			r.post(event{task: i, note: e})
		}
	}
}

// noteDriver adds a driver's message to the history of its task.
func (r *Runner) noteDriver(e *plugins.TaskEvent) {
	r.noteFor(e.TaskName, task.DriverEvent(e.Timestamp, e.Message, e.Annotations))
}

// Has tells whether the allocation has a task of that name.
func (r *Runner) Has(name string) bool {
	for i := range r.tasks {
		if r.tasks[i].recorder.key == name {
			return true
		}
	}
	return false
}

// Dead tells whether a task has ended for good.
func (r *Runner) Dead(name string) bool {
	if !r.EndedAt().IsZero() {
		return true
	}
	u := r.Status()
	return u != nil && u.TaskStates[name] != nil && u.TaskStates[name].State == model.TaskDead
}
