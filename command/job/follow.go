package job

import (
	"context"
	"errors"
	"flag"
	"sync"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

const (
	// followWait is one blocking query's wait: long, since changes wake it.
	followWait = 60 * time.Second
	// settle is how long new instances must have run before that is called a
	// success: what fails at once fails within it.
	settle = time.Second
	// quietAfter is when a follower without a terminal says what it waits for.
	quietAfter = 15 * time.Second
	// redraw is how often a terminal's clock moves.
	redraw = time.Second
	// pace is the least time between two blocking queries of the same list, so
	// that a job of a thousand instances is not read for every one of them.
	pace = 30 * time.Millisecond
	// firstRetry, lastRetry and giveUp bound how a server that does not answer is
	// asked again.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 2 * time.Second
	giveUp     = 5 * time.Minute
	// quietRetry is for how long that is not worth a word.
	quietRetry = 3 * time.Second
	// maxReads bounds the attempts to read a moment in which nothing changes.
	maxReads = 5
)

// following are the options of commands that cause an evaluation and follow it.
type following struct{ detach, verbose bool }

func (f *following) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&f.detach, "detach", false, "Return at once with the evaluation's id.")
	fs.BoolVar(&f.verbose, "verbose", false, "Print whole ids.")
}

// end follows what was registered, or prints its evaluation's id.
func (f *following) end(ctx context.Context, o *base.IO, out *api.Registered, jobID, namespace string) error {
	if out.EvalID == "" {
		o.Say("Job %q is registered; there is nothing to place now.", base.Clean(jobID))
		return nil
	}
	if f.detach {
		o.Print("Evaluation ID: %s", out.EvalID)
		return nil
	}
	return Follow(ctx, o, jobID, namespace, out.EvalID, f.verbose)
}

// Follow follows a job from an evaluation on, until its tasks run (batch: have
// completed) or cannot. It returns an Exit that says which.
func Follow(ctx context.Context, o *base.IO, jobID, namespace, evalID string, verbose bool) error {
	f := &follower{o: o, evalID: evalID, jobID: jobID, namespace: namespace, display: newDisplay(o, verbose)}
	return f.run(ctx)
}

// follower follows one evaluation's job.
type follower struct {
	o                        *base.IO
	evalID, jobID, namespace string
	display                  *display

	restarts map[string]uint64 // of tasks that ran before
	since    time.Time         // when all were first seen to run
	total    uint64            // restarts at that time
}

func (f *follower) run(ctx context.Context) error {
	watched, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	wake := make(chan struct{}, 1)
	for _, read := range []func(context.Context, *api.Query) (api.Meta, error){f.readAllocs, f.readEvals, f.readDeployments} {
		group.Go(func() { f.watch(watched, wake, read) })
	}
	err := f.loop(ctx, wake)
	if errors.Is(err, context.Canceled) {
		f.o.Say("Following has ended; the job goes on. See: steppe job status %s", f.jobID)
	}
	return err
}

// loop looks at the job whenever something has changed, until following ends.
func (f *follower) loop(ctx context.Context, wake <-chan struct{}) error {
	f.display.begin(f.jobID, f.evalID)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var v *view
	for look := true; ; {
		if look {
			next, err := f.look(ctx)
			if err != nil {
				return err
			}
			v = next
		}
		p := measure(v)
		rest := f.settling(p, v)
		if rest > 0 {
			p.outcome = waiting
		}
		f.display.show(p)
		if p.outcome != waiting {
			return f.conclude(ctx, v, p)
		}
		timer.Reset(f.pause(rest))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
			look = true
		case <-timer.C:
			look = rest > 0
		}
	}
}

// settling is how long new instances that run have yet to do so.
func (f *follower) settling(p *progress, v *view) time.Duration {
	n := total(v.allocs)
	if p.outcome != reached || batch(v.job) || !p.fresh {
		f.since = time.Time{}
		return 0
	}
	if f.since.IsZero() || n != f.total {
		f.since, f.total = time.Now(), n
	}
	return max(settle-time.Since(f.since), 0)
}

// pause is when to look or draw again though nothing has changed.
func (f *follower) pause(rest time.Duration) time.Duration {
	d := quietAfter
	if f.o.Live {
		d = redraw
	}
	if rest > 0 {
		d = min(d, rest)
	}
	return d
}

func (f *follower) query() *api.Query { return &api.Query{Namespace: f.namespace} }

func (f *follower) readAllocs(ctx context.Context, q *api.Query) (api.Meta, error) {
	_, meta, err := f.o.Client.Jobs().Allocations(ctx, f.jobID, false, q)
	return meta, err
}

func (f *follower) readEvals(ctx context.Context, q *api.Query) (api.Meta, error) {
	_, meta, err := f.o.Client.Jobs().Evaluations(ctx, f.jobID, q)
	return meta, err
}

func (f *follower) readDeployments(ctx context.Context, q *api.Query) (api.Meta, error) {
	_, meta, err := f.o.Client.Jobs().Deployments(ctx, f.jobID, false, q)
	return meta, err
}

// deployment finds the deployment of the version that an evaluation is of.
func (f *follower) deployment(ctx context.Context, e *model.Evaluation) (*model.Deployment, error) {
	list, _, err := f.o.Client.Jobs().Deployments(ctx, f.jobID, false, f.query())
	if err != nil && model.CodeOf(err) != model.CodeNotFound {
		return nil, err
	}
	for _, d := range list {
		if d != nil && d.JobSpecModifyIndex == e.JobModifyIndex {
			return d, nil
		}
	}
	return nil, nil
}

// watch wakes the loop when the answer of read changes, and when there is none,
// which the loop then finds out itself.
func (f *follower) watch(ctx context.Context, wake chan<- struct{}, read func(context.Context, *api.Query) (api.Meta, error)) {
	var index uint64
	for ctx.Err() == nil {
		q := f.query()
		q.Index, q.Wait = index, followWait
		meta, err := read(ctx, q)
		wait := pace
		if err != nil {
			meta.Index, wait = 0, lastRetry
		}
		if err != nil || meta.Index != index {
			select {
			case wake <- struct{}{}:
			default: // it is awake
			}
		}
		index = meta.Index
		sleep(ctx, wait)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// look reads the job's present state, and asks again while no server answers.
func (f *follower) look(ctx context.Context) (*view, error) {
	began, wait, said := time.Now(), firstRetry, false
	for {
		v, err := f.read(ctx)
		if err == nil || !passing(err) || time.Since(began) > giveUp {
			if err == nil && said {
				f.display.say("It answers again.")
			}
			return v, err
		}
		if !said && time.Since(began) > quietRetry {
			said = true
			f.display.say("No answer from %s, asking again: %s", f.o.Client.Config().Address, base.Clean(err.Error()))
		}
		sleep(ctx, wait)
		wait = min(2*wait, lastRetry)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// passing tells whether the same question may be answered later.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	switch model.CodeOf(err) {
	case model.CodeUnavailable, model.CodeNotLeader, model.CodeInternal:
		return true
	}
	return false
}

// read reads everything of one moment: evaluations before and after the
// allocations must be the same, else what one says has not come to the other.
func (f *follower) read(ctx context.Context) (*view, error) {
	jobs := f.o.Client.Jobs()
	evals, before, err := jobs.Evaluations(ctx, f.jobID, f.query())
	if err != nil {
		return nil, err
	}
	v := &view{}
	for range maxReads {
		v.job, _, err = jobs.Get(ctx, f.jobID, f.query())
		if model.CodeOf(err) == model.CodeNotFound {
			v.job, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		if v.allocs, _, err = jobs.Allocations(ctx, f.jobID, v.job == nil, f.query()); err != nil {
			return nil, err
		}
		var after api.Meta
		if evals, after, err = jobs.Evaluations(ctx, f.jobID, f.query()); err != nil {
			return nil, err
		}
		if before.Index == after.Index {
			break
		}
		before = after
	}
	v.evals = evals
	for _, e := range evals {
		if e.ID == f.evalID {
			v.eval = e
		}
	}
	if v.eval == nil {
		if v.eval, _, err = f.o.Client.Evaluations().Get(ctx, f.evalID, f.query()); err != nil {
			return nil, err
		}
	}
	if v.deployment, err = f.deployment(ctx, v.eval); err != nil {
		return nil, err
	}
	if f.restarts == nil {
		f.restarts = restartCounts(v.allocs, v.eval.CreateIndex)
	}
	v.restarts = f.restarts
	return v, nil
}
