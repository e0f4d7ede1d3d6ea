package alloc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/plugins"
)

// follower waits for the end of one instance, over any number of lives of its
// driver's process.
type follower struct {
	r       *Runner
	index   int
	name    string // of the task
	driver  string
	in      *instance
	recover bool // the driver must be told of the task first
	tried   int  // recoveries that ended in "no such task"
}

// follow begins to wait for the end of an instance.
func (r *Runner) follow(index int, driver string, in *instance, recover bool) {
	f := &follower{r: r, index: index, name: r.tasks[index].task.Name, driver: driver, in: in, recover: recover}
	ctx := r.ctx
	r.wg.Go(func() { f.run(ctx) })
}

func (f *follower) run(ctx context.Context) {
	for {
		seen, over := f.once(ctx)
		if ctx.Err() != nil {
			f.in.hush(false)
			return
		}
		if over {
			f.in.hush(true)
			f.r.post(event{task: f.index, seen: seen})
			return
		}
	}
}

// once waits with one driver process. over is false when it has to be tried
// again.
func (f *follower) once(ctx context.Context) (seen task.Observed, over bool) {
	d, err := f.r.deps.Drivers.Get(ctx, f.driver)
	switch {
	case errors.Is(err, driverset.ErrUnknown):
		return f.lost(err), true
	case err != nil:
		pause(ctx, retryPause)
		return seen, false
	}
	if f.recover {
		if again, err := f.retake(ctx, d); again {
			return seen, false
		} else if err != nil {
			return f.vanished(ctx, d, err), true
		}
	}
	result, err := d.WaitTask(ctx, f.in.id)
	if err == nil {
		return task.Observed{Kind: task.Exited, Exit: result, At: time.Now()}, true
	}
	f.recover = true
	if errors.Is(err, plugins.ErrTaskNotFound) {
		f.tried++
		if f.tried > 1 {
			return f.vanished(ctx, d, err), true
		}
		return seen, false
	}
	f.settle(ctx, d)
	return seen, false
}

// settle waits, after a call that failed for no clear reason, for the driver's
// end or a moment.
func (f *follower) settle(ctx context.Context, d *driverset.Driver) {
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	select {
	case <-d.Gone:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// retake tells a new driver process of the task. again is true when that has
// to be repeated, err when the task is lost.
func (f *follower) retake(ctx context.Context, d *driverset.Driver) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = d.RecoverTask(ctx, f.in.handle)
	switch {
	case err == nil:
		f.recover = false
		return false, nil
	case ctx.Err() != nil || !answers(ctx, d, err):
		f.settle(ctx, d)
		return true, nil
	}
	return false, err
}

// answers tells whether an error is the driver's own word, and not that of a
// broken connection to its process.
func answers(ctx context.Context, d *driverset.Driver, err error) bool {
	if errors.Is(err, plugins.ErrUnavailable) || isClosed(d.Gone) {
		return false
	}
	_, err = d.Capabilities(ctx)
	return err == nil
}

// vanished is for a task that its driver cannot take over: what is left of it
// is removed, and it is started anew.
func (f *follower) vanished(ctx context.Context, d *driverset.Driver, why error) task.Observed {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := d.DestroyTask(ctx, f.in.id, true)
	if err != nil && !errors.Is(err, plugins.ErrTaskNotFound) {
		f.r.log.Warn("cannot destroy a lost task", "task", f.name, "error", err)
	}
	f.r.sweep(f.name)
	return task.Observed{Kind: task.Vanished, Err: fmt.Sprintf("task could not be found again: %v", why)}
}

// lost is for a task whose driver this node does not have any more.
func (f *follower) lost(why error) task.Observed {
	f.r.sweep(f.name)
	return task.Observed{Kind: task.Exited, Err: fmt.Sprintf("task was ended: %v", why)}
}

// sweep ends what is left of a task by its labels.
func (r *Runner) sweep(name string) {
	if r.deps.Sweep == nil {
		return
	}
	if err := r.deps.Sweep(r.id, name); err != nil {
		r.log.Warn("cannot end what is left of a task", "task", name, "error", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// kill begins to stop a task. Its end is seen by its follower.
func (r *Runner) kill(ctx context.Context, t *taskRun, a task.Action) {
	in, driver, name := t.running, t.task.Driver, t.task.Name
	if in == nil {
		return // a start under way has just been seen; it cannot be without instance
	}
	r.wg.Go(func() {
		for ctx.Err() == nil {
			err := r.stopOnce(ctx, driver, in, a)
			if err == nil || errors.Is(err, driverset.ErrUnknown) || isClosed(in.ended) {
				return
			}
			if errors.Is(err, plugins.ErrTaskNotFound) {
				// A new driver process that its follower has not told of the task
				// yet; if the task is gone, the follower says so.
				pause(ctx, recoverPause)
				continue
			}
			if ctx.Err() == nil {
				r.log.Warn("cannot stop a task, trying again", "task", name, "error", err)
			}
			pause(ctx, retryPause)
		}
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (r *Runner) stopOnce(ctx context.Context, driver string, in *instance, a task.Action) error {
	d, err := r.deps.Drivers.Get(ctx, driver)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout+callTimeout)
	defer cancel()
	return d.StopTask(ctx, in.id, a.Timeout, a.Signal)
}

// dispose follows the end of an instance: the end is made durable, then the
// driver forgets the task. Called on the loop.
func (r *Runner) dispose(ctx context.Context, t *taskRun) {
	in := t.running
	t.running = nil
	done, err := t.recorder.change(ctx, r.deps.DB, r.id, func(rec *db.TaskRecord) { rec.Status, rec.Events = t.status, t.history })
	if in == nil {
		return
	}
	close(in.ended)
	driver, name, gone, rec := t.task.Driver, t.task.Name, t.gone, &t.recorder
	r.wg.Go(func() {
		defer r.post(event{task: -1}) // someone may wait for gone
		defer close(gone)
		if err == nil {
			err = waitFor(ctx, done)
		}
		if err != nil {
			if ctx.Err() == nil {
				r.log.Error("cannot keep how a task ended", "task", name, "error", err)
			}
			return // the driver keeps it, for a restarted agent to ask again
		}
		r.forget(ctx, rec, driver, name, in.id)
	})
}

// forget makes driver and disk forget an ended instance.
func (r *Runner) forget(ctx context.Context, rec *recorder, driver, name, id string) {
	r.destroy(ctx, driver, name, id)
	err := rec.changeLater(ctx, r.deps.DB, r.id, func(rec *db.TaskRecord) {
		if rec.ID == id {
			rec.Handle = nil
		}
	})
	if err != nil && ctx.Err() == nil {
		r.log.Error("cannot keep the task's state", "task", name, "error", err)
	}
}

// destroy makes the driver forget an ended task.
func (r *Runner) destroy(ctx context.Context, driver, name, id string) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d, err := r.deps.Drivers.Get(ctx, driver)
	if err == nil {
		err = d.DestroyTask(ctx, id, true)
		if !d.Caps.RotatesLogs {
			r.sweep(name) // the control groups are of the agent's making
		}
	}
	if err != nil && !errors.Is(err, plugins.ErrTaskNotFound) && ctx.Err() == nil {
		r.log.Warn("cannot clean up an ended task", "task", name, "error", err)
	}
	if err := r.dir.DropRecord(name); err != nil {
		r.log.Warn("cannot remove a task's record", "task", name, "error", err)
	}
}
