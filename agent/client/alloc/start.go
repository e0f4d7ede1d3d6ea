package alloc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/client/hook"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// startPlan is what the goroutine of one start works with: copies, so that the
// loop may go on meanwhile.
type startPlan struct {
	r        *Runner
	index    int
	assigned build
	task     *model.Task
	id       string
	gone     <-chan struct{}
	recorder *recorder
	first    bool // the record with this id was written with the assignment
}

// build is the part of an assignment that a start needs.
type build struct {
	alloc *model.Allocation
	job   *model.Job
	group *model.TaskGroup
}

// start begins to start a task.
func (r *Runner) start(ctx context.Context, t *taskRun) {
	a := r.Assigned()
	p := &startPlan{
		r: r, index: t.index, assigned: build{a.Alloc, a.Job, r.core.group}, task: t.task,
		gone: t.gone, recorder: &t.recorder, first: !t.status.Started && t.status.Restarts == 0 && !r.haveState,
	}
	if p.first {
		p.id = t.recorder.record.ID
		t.note(task.SetupEvent(time.Now(), "Building Task Directory"))
	} else {
		p.id = r.newTaskID(t.task.Name)
	}
	wait, cancel := context.WithCancel(ctx)
	t.cancel = cancel
	r.wg.Go(func() {
		defer cancel()
		p.run(wait, r.startCtx)
	})
}

// run starts the task and posts the outcome. wait ends when the start is given
// up while it only waits; call outlives it, because a driver must not be cut off.
func (p *startPlan) run(wait, call context.Context) {
	if err := p.await(wait); err != nil {
		p.fail(task.SetupFailed, err)
		return
	}
	if err := p.r.deps.acquire(wait); err != nil {
		p.fail(task.SetupFailed, err)
		return
	}
	defer p.r.deps.release()
	driver, config, err := p.prepare(wait)
	if err != nil {
		p.fail(task.SetupFailed, err)
		return
	}
	pump, err := p.accommodate(driver, config)
	if err != nil {
		p.fail(task.SetupFailed, plugins.Recoverable(err))
		return
	}
	in := &instance{id: p.id, pump: pump, ended: make(chan struct{})}
	in.handle, _, err = driver.StartTask(call, config)
	if err != nil {
		in.hush(true)
		if !answers(call, driver, err) {
			err = plugins.Recoverable(fmt.Errorf("the driver's process ended during the start: %w", err))
		}
		p.abandon(call, driver)
		p.fail(task.StartFailed, err)
		return
	}
	started := time.Now()
	if err := p.keep(call, in.handle); err != nil {
		p.abandon(call, driver)
		in.hush(true)
		p.fail(task.StartFailed, plugins.Recoverable(fmt.Errorf("the started task could not be recorded and was ended: %w", err)))
		return
	}
	p.r.post(event{
		task: p.index, seen: task.Observed{Kind: task.Started, At: started},
		apply: func() { p.r.watch(p.index, in) },
	})
}

// await waits for all that must be over before the task may start.
func (p *startPlan) await(ctx context.Context) error {
	notice := time.NewTimer(waitNotice)
	defer notice.Stop()
	for _, c := range append([]<-chan struct{}{p.gone}, p.r.after...) {
		for over := false; !over; {
			select {
			case <-c:
				over = true
			case <-notice.C:
				words := "Waiting for an earlier allocation on this node to end"
				p.r.post(event{task: p.index, note: task.SetupEvent(time.Now(), words)})
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// prepare makes everything the driver needs, and waits for the mark on disk that
// a start is under way.
func (p *startPlan) prepare(ctx context.Context) (*driverset.Driver, *plugins.TaskConfig, error) {
	r := p.r
	if err := r.buildOnce(p.assigned.alloc); err != nil {
		return nil, nil, err
	}
	driver, err := r.deps.Drivers.Get(ctx, p.task.Driver)
	if err != nil {
		return nil, nil, err
	}
	b := &hook.Build{
		TaskID: p.id, Alloc: p.assigned.alloc, Job: p.assigned.job, Group: p.assigned.group, Task: p.task,
		Node: r.deps.Node(), Region: r.deps.Region, Dir: r.dir, Caps: driver.Caps, Schema: driver.Schema, HostEnv: r.deps.HostEnv,
	}
	if err := hook.Prepare(ctx, b); err != nil {
		return nil, nil, err
	}
	if err := p.mark(ctx); err != nil {
		return nil, nil, plugins.Recoverable(err)
	}
	return driver, b.Config, nil
}

// buildOnce prepares what all tasks share, before the first of them.
func (r *Runner) buildOnce(a *model.Allocation) error {
	r.buildMu.Lock()
	defer r.buildMu.Unlock()
	if r.built {
		return nil
	}
	if err := r.dir.Build(); err != nil {
		return plugins.Recoverable(err)
	}
	if !r.haveState { // else a task of it may hold the ports
		if err := checkPorts(a); err != nil {
			return err
		}
	}
	r.built = true
	return nil
}

// mark makes durable that a start with this id is under way, unless that was
// written with the assignment.
func (p *startPlan) mark(ctx context.Context) error {
	select {
	case <-p.r.saved:
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.first && p.r.saveErr == nil {
		return nil
	}
	done, err := p.recorder.change(ctx, p.r.deps.DB, p.r.id, func(rec *db.TaskRecord) { rec.ID, rec.Handle = p.id, nil })
	if err != nil {
		return err
	}
	return waitFor(ctx, done)
}

// keep makes the handle durable, in the state file and beside the task.
func (p *startPlan) keep(ctx context.Context, handle *plugins.TaskHandle) error {
	done, err := p.recorder.change(ctx, p.r.deps.DB, p.r.id, func(rec *db.TaskRecord) { rec.Handle = handle })
	if err != nil {
		return err
	}
	data, err := json.Marshal(strayTask{Driver: p.task.Driver, Handle: handle})
	if err != nil {
		return err
	}
	return errors.Join(p.r.dir.SaveRecord(p.task.Name, data), waitFor(ctx, done))
}

func waitFor(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// abandon makes sure that a start which failed left nothing behind.
func (p *startPlan) abandon(ctx context.Context, driver *driverset.Driver) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	err := driver.DestroyTask(ctx, p.id, true)
	if err != nil && !errors.Is(err, plugins.ErrTaskNotFound) {
		p.r.log.Warn("cannot clean up after a failed start", "task", p.task.Name, "error", err)
		p.r.sweep(p.task.Name)
	}
}

// fail posts that the start did not succeed.
func (p *startPlan) fail(kind task.Kind, err error) {
	if p.r.ctx.Err() != nil {
		return // it is the agent that ends, not the task
	}
	p.r.post(event{task: p.index, seen: task.Observed{
		Kind: kind, Err: err.Error(), Recoverable: plugins.IsRecoverable(err) || errors.Is(err, plugins.ErrUnavailable),
	}})
}

// watch follows a started task until its end. Called on the loop.
func (r *Runner) watch(index int, in *instance) {
	t := r.tasks[index]
	t.running = in
	t.gone = make(chan struct{})
	r.follow(index, t.task.Driver, in, false)
}
