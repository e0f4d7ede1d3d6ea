package worker

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched"
)

// sink takes plans.
type sink chan *model.Plan

func (s sink) Submit(ctx context.Context, _ *model.Evaluation, plan *model.Plan) error {
	select {
	case s <- plan:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A scheduler that panics costs an attempt; the worker takes the next evaluation.
func TestPanic(t *testing.T) {
	log := memlog.New()
	evals := make(chan *model.Evaluation, 2)
	plans := make(sink, 2)
	w := New(Config{
		Count: 1, Evals: evals, View: fleet.New(log.Store), Planner: plans, Proposer: log, Now: log.Now,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	w.decide = func(s sched.State, e *model.Evaluation, env sched.Env) sched.Result {
		if e.ID == "bad" {
			panic("out of luck")
		}
		return sched.Process(s, e, env)
	}
	log.Must(&fsm.UpsertEvals{Evals: []*model.Evaluation{
		{ID: "bad", JobID: "a", Status: model.EvalPending}, {ID: "good", JobID: "b", Status: model.EvalPending},
	}})
	for _, id := range []string{"bad", "good"} {
		evals <- log.Store.Snapshot().Eval(id)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	select {
	case plan := <-plans:
		if plan.EvalID != "good" {
			t.Errorf("a plan for %s", plan.EvalID)
		}
	case <-ctx.Done():
		t.Fatal("no plan")
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	e := log.Store.Snapshot().Eval("bad")
	if e.Attempts != 1 || e.Status != model.EvalPending || e.StatusDescription != "the scheduler failed unexpectedly: out of luck" {
		t.Errorf("after the panic: %s, %d attempts, %q", e.Status, e.Attempts, e.StatusDescription)
	}
}
