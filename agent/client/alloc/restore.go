package alloc

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
)

// restore takes up the tasks of an earlier run of the agent. Called on the
// loop before anything else.
func (r *Runner) restore(ctx context.Context) {
	for _, t := range r.tasks {
		rec := &t.recorder.record
		switch {
		case !t.status.Alive():
			if rec.Handle != nil {
				r.disposeLeftover(ctx, t)
			}
		case rec.Handle != nil:
			r.retake(ctx, t)
		default:
			r.restartUnclear(ctx, t)
		}
	}
}

// retake waits again for a task that was running.
func (r *Runner) retake(ctx context.Context, t *taskRun) {
	rec := &t.recorder.record
	if t.status.Phase == task.Starting { // it has started; only nobody could say so
		t.status.Phase, t.status.Started, t.status.StartedAt = task.Running, true, time.Now()
	}
	t.running = &instance{
		id: rec.Handle.Config.ID, handle: rec.Handle, pump: r.resumeOutput(t, rec.Handle), ended: make(chan struct{}),
	}
	t.gone = make(chan struct{})
	r.follow(t.index, t.task.Driver, t.running, true)
	if t.status.Phase == task.Killing {
		r.kill(ctx, t, r.core.stopping(r.order(), t.index, time.Now()))
	}
}

// restartUnclear is for a task whose start was under way when the agent died:
// whatever came of it is ended, and the task is started anew.
func (r *Runner) restartUnclear(ctx context.Context, t *taskRun) {
	index, driver, name, id := t.index, t.task.Driver, t.task.Name, t.recorder.record.ID
	t.status.Phase = task.Starting
	r.wg.Go(func() {
		r.destroy(ctx, driver, name, id)
		r.sweep(name)
		if ctx.Err() != nil {
			return
		}
		r.post(event{task: index, seen: task.Observed{Kind: task.Vanished, Err: fmt.Sprintf("the agent ended while %s was being started", name)}})
	})
}

// disposeLeftover is for a task that has ended, which its driver may remember.
func (r *Runner) disposeLeftover(ctx context.Context, t *taskRun) {
	handle := t.recorder.record.Handle
	in := &instance{id: handle.Config.ID, handle: handle}
	t.gone = make(chan struct{})
	gone, driver, name, rec := t.gone, t.task.Driver, t.task.Name, &t.recorder
	r.wg.Go(func() {
		defer r.post(event{task: -1})
		defer close(gone)
		r.retakeEnded(ctx, driver, in)
		r.forget(ctx, rec, driver, name, in.id)
	})
}

// retakeEnded lets a driver that has forgotten an ended task know of it once
// more, so that it can remove what is left.
func (r *Runner) retakeEnded(ctx context.Context, driver string, in *instance) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d, err := r.deps.Drivers.Get(ctx, driver)
	if err == nil {
		err = d.RecoverTask(ctx, in.handle)
	}
	if err != nil && ctx.Err() == nil {
		r.log.Debug("an ended task is not known to its driver", "task", in.id, "error", err)
	}
}
