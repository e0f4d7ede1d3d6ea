// Package worker turns evaluations into plans: optimistic, parallel, each on a
// snapshot of its own.
//
//	broker ──evaluations──► worker ──plans──► planner
//
// Contract and invariants:
//
//   - A worker hands its plan on and takes the next evaluation; it never waits
//     for a commit. What becomes of a plan shows in the store.
//   - A decision is made on a state that contains the evaluation, and is the
//     same for the same state: its seed follows from evaluation and index.
//   - A scheduler that panics costs its evaluation an attempt, not the server.
//
// Example:
//
//	w := worker.New(worker.Config{Evals: evals, View: view, Planner: planner, ...})
//	err := w.Run(ctx)
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/sched"
)

// Planner takes plans; it blocks while its queue is full.
type Planner interface {
	Submit(ctx context.Context, eval *model.Evaluation, plan *model.Plan) error
}

// Proposer is the part of consensus.Proposer that a worker needs, to tell that
// an attempt failed.
type Proposer interface {
	Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error)
}

// Config is what Workers need. All fields are required but OnDecision.
type Config struct {
	// Count is how many decide at once.
	Count int
	// Evals are handed out by the broker.
	Evals    <-chan *model.Evaluation
	View     *fleet.View
	Planner  Planner
	Proposer Proposer
	Now      func() time.Time
	Steady   func() lease.Steady // how even Now goes; nil: it does
	Logger   *slog.Logger
	// OnDecision, when set, is told how long a decision took. It must not block.
	OnDecision func(jobType string, took time.Duration)
}

// Workers decide.
type Workers struct {
	cfg Config
	// decide is sched.Process; tests put a faulty one here.
	decide func(sched.State, *model.Evaluation, sched.Env) sched.Result
}

// New makes the workers of one term of leadership.
func New(cfg Config) *Workers {
	if cfg.Steady == nil {
		cfg.Steady = func() lease.Steady { return lease.Steady{} }
	}
	return &Workers{cfg: cfg, decide: sched.Process}
}

// Run decides until ctx ends.
func (w *Workers) Run(ctx context.Context) error {
	var g errgroup.Group
	for range w.cfg.Count {
		g.Go(func() error { w.one(ctx); return nil })
	}
	return g.Wait()
}

// one is a worker's loop.
func (w *Workers) one(ctx context.Context) {
	for {
		select {
		case eval := <-w.cfg.Evals:
			w.Work(ctx, eval)
		case <-ctx.Done():
			return
		}
	}
}

// Work decides on one evaluation and hands its plan on, on the caller's
// goroutine: what Run does with each, and the simulator, which has only one.
func (w *Workers) Work(ctx context.Context, eval *model.Evaluation) {
	basis, err := w.cfg.View.At(ctx, eval.ModifyIndex)
	if err != nil {
		return // the term is over
	}
	began := time.Now()
	plan, err := w.plan(basis, eval)
	if w.cfg.OnDecision != nil {
		w.cfg.OnDecision(eval.Type, time.Since(began))
	}
	if err != nil {
		w.cfg.Logger.Error("a decision failed", "eval", eval.ID, "job", eval.JobID, "error", err)
		w.giveBack(ctx, eval, err)
		return
	}
	// The only error is the end of the term, and the next leader starts afresh.
	_ = w.cfg.Planner.Submit(ctx, eval, plan)
}

// plan calls the scheduler and survives its panics.
func (w *Workers) plan(basis *fleet.Basis, eval *model.Evaluation) (plan *model.Plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			w.cfg.Logger.Error("the scheduler panicked", "eval", eval.ID, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("the scheduler failed unexpectedly: %v", r)
		}
	}()
	env := basis.Env(eval, w.cfg.Now())
	env.Steady = w.cfg.Steady()
	return w.decide(basis, eval, env).Plan, nil
}

// giveBack makes the evaluation pending again, one attempt poorer.
func (w *Workers) giveBack(ctx context.Context, eval *model.Evaluation, cause error) {
	c := *eval
	c.Status, c.StatusDescription, c.Attempts = model.EvalPending, cause.Error(), eval.Attempts+1
	_, err := w.cfg.Proposer.Propose(ctx, proposal.Of(&fsm.UpsertEvals{Evals: []*model.Evaluation{&c}}))
	if err != nil && ctx.Err() == nil {
		// The broker takes it back after its timeout.
		w.cfg.Logger.Warn("an evaluation could not be given back", "eval", eval.ID, "error", err)
	}
}
