package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

const (
	// backoffMin and backoffMax pace steps after a proposal that failed or was
	// refused: quick enough to ride out a hiccup, slow enough not to spin.
	backoffMin = 20 * time.Millisecond
	backoffMax = 2 * time.Second
	// minNap is the shortest sleep until a wake time, so that a component that
	// asks for the past does not spin.
	minNap = time.Millisecond
	// maxDrain bounds how many batches of changes are observed before a step, so
	// that a component under endless changes still decides.
	maxDrain = 64
)

// Config is what a Runner needs.
type Config struct {
	Source   Source
	Proposer Proposer
	Clock    Clock
	Logger   *slog.Logger
	// OnStep, when set, is told of every step, for metrics. It may be called by
	// several goroutines at once and must not block.
	OnStep func(Step)
}

// Step is what one step of a component did.
type Step struct {
	Component string
	// Changes were observed since the step before, Commands proposed, of which
	// Refused were refused by the state machine.
	Changes, Commands, Refused int
	// Thinking is the time in Observe and Step, Proposing that in the proposal.
	Thinking, Proposing time.Duration
	// Err is why the proposal failed, if it did; the component steps again.
	Err error
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Runner runs components; see the package comment.
type Runner struct{ cfg Config }

// New makes a Runner.
func New(cfg Config) *Runner { return &Runner{cfg: cfg} }

// Run runs the components until ctx ends (nil), or the source is closed. Call it
// when leadership begins, with a ctx that ends with it.
func (r *Runner) Run(ctx context.Context, components ...Component) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range components {
		g.Go(func() error { return r.runOne(gctx, c) })
	}
	err := g.Wait()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// runOne runs one component, from a new snapshot whenever the feed lost its place.
func (r *Runner) runOne(ctx context.Context, c Component) error {
	for {
		snap, sub := r.cfg.Source.Subscribe(c.Reads()...)
		c.Reset(snap)
		l := &looper{Config: r.cfg, c: c, sub: sub}
		err := l.loop(ctx)
		sub.Close()
		if !errors.Is(err, state.ErrLagged) {
			return fmt.Errorf("%s: %w", c.Name(), err)
		}
		r.cfg.Logger.Warn("component lagged behind the state and starts again from a snapshot", "component", c.Name())
	}
}

// looper is one component's run between two resets.
type looper struct {
	Config
	c       Component
	sub     *state.Subscription
	backoff time.Duration // zero while all is well
}

// loop steps until ctx ends or the feed fails.
func (l *looper) loop(ctx context.Context) error {
	due := true // the reset counts as a change
	var wake time.Time
	for {
		began := time.Now()
		n, err := l.observe()
		if err != nil {
			return err
		}
		if n > 0 || due {
			wake = l.step(ctx, Step{Component: l.c.Name(), Changes: n}, began)
		}
		if due, err = l.wait(ctx, wake); err != nil {
			return err
		}
	}
}

// observe hands over all changes that are there and counts them.
func (l *looper) observe() (int, error) {
	n := 0
	for range maxDrain {
		changes, err := l.sub.Poll()
		if err != nil || len(changes) == 0 {
			return n, err
		}
		l.c.Observe(changes)
		n += len(changes)
	}
	return n, nil
}

// step decides and proposes once. It returns when to step again at the latest.
func (l *looper) step(ctx context.Context, info Step, began time.Time) (wake time.Time) {
	// Taken after observing, so that it includes everything observed.
	snap := l.Source.Snapshot()
	cmds, wake := l.c.Step(l.Clock.Now(), snap)
	info.Thinking, info.Commands = time.Since(began), len(cmds)
	if len(cmds) > 0 {
		proposed := time.Now()
		info.Refused, info.Err = l.propose(ctx, cmds)
		info.Proposing = time.Since(proposed)
	}
	if info.Refused == 0 && info.Err == nil {
		l.backoff = 0
	} else {
		l.backoff = min(max(2*l.backoff, backoffMin), backoffMax)
		if again := l.Clock.Now().Add(l.backoff); wake.IsZero() || again.Before(wake) {
			wake = again
		}
	}
	if l.OnStep != nil {
		l.OnStep(info)
	}
	return wake
}

// propose proposes and tells the component what was refused.
func (l *looper) propose(ctx context.Context, cmds []fsm.Command) (refused int, err error) {
	outcomes, err := l.Proposer.Propose(ctx, cmds...)
	if err != nil {
		if ctx.Err() == nil && model.CodeOf(err) != model.CodeNotLeader {
			l.Logger.Warn("proposal failed; deciding again", "component", l.c.Name(), "commands", len(cmds), "error", err)
		}
		return 0, err
	}
	var first error
	for i := range outcomes {
		if outcomes[i].Err != nil {
			refused++
			if first == nil {
				first = outcomes[i].Err
			}
		}
	}
	if refused > 0 {
		l.Logger.Debug("commands refused", "component", l.c.Name(), "refused", refused, "of", len(cmds), "first", first)
		if c, ok := l.c.(Refused); ok {
			c.Refused(l.Clock.Now(), cmds, outcomes)
		}
	}
	return refused, nil
}

// wait blocks until changes may be there or wake is due; zero is never.
func (l *looper) wait(ctx context.Context, wake time.Time) (due bool, err error) {
	var rings <-chan time.Time
	if !wake.IsZero() {
		alarm := time.NewTimer(max(wake.Sub(l.Clock.Now()), minNap))
		defer alarm.Stop()
		rings = alarm.C
	}
	select {
	case <-l.sub.Ready():
		return false, nil
	case <-rings:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
