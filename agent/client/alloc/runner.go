package alloc

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/logpump"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// Runner runs one allocation. One goroutine (run) owns all fields below loop;
// others talk to it by post.
type Runner struct {
	deps *Deps
	id   string
	dir  *allocdir.Dir
	log  *slog.Logger

	events chan event
	quit   chan struct{} // closed when run has returned
	ended  chan struct{} // closed when all tasks have ended for good and are gone

	mu       sync.Mutex
	assigned *msg.AssignedAlloc // what the servers want; replaced, never changed
	hard     bool               // end at once: the agent removes everything
	last     *model.AllocUpdate // newest status; replaced, never changed
	endedAt  time.Time

	// saved is closed when the assignment is on disk; saveErr is set before.
	saved   chan struct{}
	saveErr error
	// after close when what the allocation has to wait for has ended.
	after []<-chan struct{}
	// built is whether what all tasks share has been prepared.
	buildMu sync.Mutex
	built   bool
	wg      sync.WaitGroup

	// loop
	ctx       context.Context // ends with the agent
	core      *Core
	tasks     []*taskRun // as core's, with what carrying out needs
	startCtx  context.Context
	haveState bool // restored: some task may run already
}

// event is something for the loop.
type event struct {
	task  int // index; -1 = none
	seen  task.Observed
	note  *model.TaskEvent // to add to the history
	apply func()           // to run on the loop
}

// taskRun is one task of the allocation.
type taskRun struct {
	*coreTask
	history  []*model.TaskEvent // at most MaxTaskEvents; replaced, not changed
	running  *instance          // the started instance, if any
	gone     chan struct{}
	cancel   context.CancelFunc // gives up the start under way
	recorder recorder
}

// instance is one start of a task as its goroutines see it.
type instance struct {
	id     string
	handle *plugins.TaskHandle
	pump   *logpump.Pump // of its output; nil when its driver needs none
	ended  chan struct{} // closed by the loop when its end was seen
}

// newRunner makes a runner for an assignment. records are what earlier runs
// of the agent knew of its tasks.
func newRunner(deps *Deps, a *msg.AssignedAlloc, records map[string]*db.TaskRecord) (*Runner, error) {
	dir, err := allocdir.New(deps.Base, a.Alloc.ID)
	if err != nil {
		return nil, err
	}
	core, err := NewCore(a, deps.MaxKillTimeout)
	if err != nil {
		return nil, err
	}
	r := &Runner{
		deps: deps, id: a.Alloc.ID, dir: dir, assigned: a, core: core,
		log:    deps.Logger.With("alloc_id", a.Alloc.ID),
		events: make(chan event, mailbox), quit: make(chan struct{}), ended: make(chan struct{}), saved: make(chan struct{}),
	}
	for i, ct := range core.tasks {
		t := ct.task
		tr := &taskRun{coreTask: ct, gone: closedChan()}
		if rec := records[t.Name]; rec != nil {
			r.haveState = true
			core.Resume(i, rec.Status)
			tr.history = rec.Events
			tr.recorder.record = *rec
		} else {
			tr.recorder.record.ID = r.newTaskID(t.Name)
			tr.history = []*model.TaskEvent{task.ReceivedEvent(time.Now())}
		}
		tr.recorder.record.Status, tr.recorder.record.Events = tr.status, tr.history
		tr.recorder.key = t.Name
		r.tasks = append(r.tasks, tr)
	}
	return r, nil
}

func groupOf(a *msg.AssignedAlloc) *model.TaskGroup {
	for _, g := range a.Job.TaskGroups {
		if g.Name == a.Alloc.TaskGroup {
			return g
		}
	}
	return nil
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// newTaskID makes the driver's id of one start.
func (r *Runner) newTaskID(name string) string {
	const digits = "0123456789abcdef"
	var b [8]byte
	for i := range b {
		b[i] = digits[rand.IntN(len(digits))]
	}
	return r.id + "/" + name + "/" + string(b[:])
}

// records are the first records of all tasks: written with the assignment,
// they mark that starts may be under way.
func (r *Runner) records() []db.Op {
	ops := make([]db.Op, 0, len(r.tasks))
	for _, t := range r.tasks {
		ops = append(ops, db.PutTask(r.id, t.task.Name, &t.recorder.record))
	}
	return ops
}

// post hands an event to the loop; it is dropped when the loop has ended.
func (r *Runner) post(e event) {
	select {
	case r.events <- e:
	case <-r.quit:
	}
}

// Assigned is what the servers want now.
func (r *Runner) Assigned() *msg.AssignedAlloc {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.assigned
}

// Status is the newest status, nil before the first.
func (r *Runner) Status() *model.AllocUpdate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Ended closes when every task has ended for good.
func (r *Runner) Ended() <-chan struct{} { return r.ended }

// EndedAt is when; zero while it runs.
func (r *Runner) EndedAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.endedAt
}

// Dir is the allocation's directory.
func (r *Runner) Dir() *allocdir.Dir { return r.dir }

// update takes a newer wish of the servers in.
func (r *Runner) update(a *msg.AssignedAlloc) {
	r.mu.Lock()
	r.assigned = a
	r.mu.Unlock()
	r.post(event{task: -1, apply: func() { r.core.Adopt(a) }})
}

// end makes the allocation end at once, whatever the servers say.
func (r *Runner) end() {
	r.mu.Lock()
	r.hard = true
	r.mu.Unlock()
	r.post(event{task: -1})
}

// run is the life of the runner. It returns when the allocation has ended or
// ctx does; tasks are left alone in that case.
func (r *Runner) run(ctx context.Context) {
	startCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r.ctx, r.startCtx = ctx, startCtx
	r.loop(ctx)
	close(r.quit)
	cut := time.AfterFunc(startGrace, cancel)
	r.wg.Wait()
	cut.Stop()
}

func (r *Runner) loop(ctx context.Context) {
	if r.haveState {
		r.restore(ctx)
		r.report(true) // the servers may not have heard the last word
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wake := r.settle(ctx)
		if r.finished() {
			r.lastWords(ctx)
			r.conclude()
			return
		}
		timer.Reset(wake)
		select {
		case e := <-r.events:
			r.take(ctx, e)
		case <-timer.C:
		case <-ctx.Done():
			return // what waits to start gives up with ctx; what starts goes on
		}
	}
}

// lastWords takes in what drivers have said of ended tasks and nobody has read.
func (r *Runner) lastWords(ctx context.Context) {
	for {
		select {
		case e := <-r.events:
			r.take(ctx, e)
		default:
			return
		}
	}
}

// take handles one event.
func (r *Runner) take(ctx context.Context, e event) {
	if e.apply != nil {
		e.apply()
	}
	if e.task < 0 {
		return
	}
	t := r.tasks[e.task]
	if e.note != nil {
		t.note(e.note)
		r.persist(ctx, t)
		r.report(false)
	}
	if e.seen.Kind != task.Nothing {
		r.core.See(r.order(), t.index, e.seen, time.Now(), func(e Effect) { r.carry(ctx, e) })
	}
}

// settle lets all tasks react on each other until nothing changes, and returns
// how long the loop may sleep.
func (r *Runner) settle(ctx context.Context) time.Duration {
	r.core.Settle(r.order(), time.Now(), func(e Effect) { r.carry(ctx, e) })
	if r.core.Judge(r.order(), time.Now()) {
		r.report(true)
	}
	wake := r.core.WakeAt(r.order(), time.Now())
	if wake.IsZero() {
		return time.Hour // nothing but events
	}
	return max(time.Until(wake), 0)
}

// order is what the servers and the agent want of the allocation as a whole.
func (r *Runner) order() Order {
	r.mu.Lock()
	defer r.mu.Unlock()
	silent, lasts := r.deps.Lease()
	return Order{Assigned: r.assigned, Hard: r.hard, Silent: silent, Lasts: lasts}
}

// finished tells whether every task has ended for good and left its driver.
func (r *Runner) finished() bool {
	for _, t := range r.tasks {
		if t.status.Phase != task.Dead || !isClosed(t.gone) {
			return false
		}
	}
	return true
}

// conclude notes the end.
func (r *Runner) conclude() {
	r.report(true)
	var at time.Time
	for _, t := range r.tasks {
		if t.status.FinishedAt.After(at) {
			at = t.status.FinishedAt
		}
	}
	if at.IsZero() {
		at = time.Now()
	}
	r.mu.Lock()
	r.endedAt = at
	r.mu.Unlock()
	close(r.ended)
}
