// Package planner commits plans: one place where they are verified, one after
// the other, on the newest state and what is on its way into the log.
//
//	worker ──► queue ──► verify ──► hold ──► propose ──► release
//	                     plan n+1 while n commits
//
// Contract and invariants:
//
//   - What is committed fits: no node is given more than it has, whatever
//     decisions overlapped.
//   - A plan that fits in part is committed in part, and the same entry makes its
//     evaluation pending again; one that fits nowhere only does the latter.
//   - A plan for an evaluation that somebody else has changed since it was handed
//     out is dropped: that change has consequences of its own.
//   - At most maxFlights batches are on their way; plans that wait share one.
//
// Example:
//
//	p := planner.New(planner.Config{View: view, Proposer: host, Logger: log})
//	go p.Run(ctx)
//	err := p.Submit(ctx, eval, plan)
package planner

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/verify"
)

const (
	// queueLength bounds the plans that wait: more would only age.
	queueLength = 64
	// maxBatch and maxBatchPlacements bound what one proposal carries: about two
	// megabytes, so that a commit takes milliseconds.
	maxBatch           = 64
	maxBatchPlacements = 8192
	// maxFlights bounds the proposals on their way: one is being written, one
	// applied, one gathered, one spare.
	maxFlights = 4
)

// Proposer is the part of consensus.Proposer that the planner needs.
type Proposer interface {
	Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error)
}

// Config is what a Planner needs. All fields are required but OnBatch.
type Config struct {
	View     *fleet.View
	Proposer Proposer
	Logger   *slog.Logger
	// OnBatch, when set, is told of every verified batch. It must not block.
	OnBatch func(Batch)
}

// Batch is what one proposal carried, for metrics.
type Batch struct {
	Plans, Placements, RefusedNodes int
	Verifying                       time.Duration
}

// Planner is the pipeline.
type Planner struct {
	cfg   Config
	queue chan job
}

// job is a plan with the evaluation as it was handed out.
type job struct {
	eval *model.Evaluation
	plan *model.Plan
}

// New makes the planner of one term of leadership.
func New(cfg Config) *Planner { return &Planner{cfg: cfg, queue: make(chan job, queueLength)} }

// Waiting is how many plans wait to be verified.
func (p *Planner) Waiting() int { return len(p.queue) }

// Submit queues a plan for the evaluation as it was handed out. It blocks while
// the queue is full and fails only with ctx. The plan belongs to the planner then.
func (p *Planner) Submit(ctx context.Context, eval *model.Evaluation, plan *model.Plan) error {
	select {
	case p.queue <- job{eval, plan}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run verifies and commits until ctx ends; it waits for what is on its way.
func (p *Planner) Run(ctx context.Context) error {
	var flights errgroup.Group
	flights.SetLimit(maxFlights)
	for {
		select {
		case first := <-p.queue:
			jobs := p.gather(first)
			done, cmds, err := p.verify(ctx, jobs)
			if err != nil {
				return flights.Wait() // the term is over
			}
			if len(cmds) > 0 {
				flights.Go(func() error { p.commit(ctx, done, cmds); return nil })
			}
		case <-ctx.Done():
			return flights.Wait()
		}
	}
}

// Work verifies and commits one plan on the caller's goroutine, as Run does with
// those that are submitted: for the simulator, which has only one.
func (p *Planner) Work(ctx context.Context, eval *model.Evaluation, plan *model.Plan) error {
	done, cmds, err := p.verify(ctx, []job{{eval, plan}})
	if err == nil && len(cmds) > 0 {
		p.commit(ctx, done, cmds)
	}
	return err
}

// gather takes what waits besides first, as much as one proposal may carry.
func (p *Planner) gather(first job) []job {
	jobs := []job{first}
	n := placements(first.plan)
	for len(jobs) < maxBatch && n < maxBatchPlacements {
		select {
		case next := <-p.queue:
			jobs = append(jobs, next)
			n += placements(next.plan)
		default:
			return jobs
		}
	}
	return jobs
}

func placements(plan *model.Plan) int {
	n := 0
	for _, g := range plan.Groups {
		n += len(g.Placements)
	}
	return n
}

// verify keeps of each plan what fits, and holds it. The error is ctx's.
func (p *Planner) verify(ctx context.Context, jobs []job) (done []job, cmds []fsm.Command, err error) {
	began := time.Now()
	batch := Batch{}
	for _, j := range jobs {
		basis, err := p.cfg.View.At(ctx, 0)
		if err != nil {
			return nil, nil, err
		}
		now := basis.Eval(j.eval.ID)
		if now == nil || now.ModifyIndex != j.eval.ModifyIndex {
			p.cfg.Logger.Debug("a plan came too late", "eval", j.eval.ID, "job", j.eval.JobID)
			continue
		}
		plan, result := verify.Check(basis, j.plan)
		account(plan, result)
		cmd, err := fsm.NewCommand(&fsm.ApplyPlan{Plan: plan})
		if err != nil {
			return nil, nil, err
		}
		p.cfg.View.Hold(plan)
		done, cmds = append(done, job{j.eval, plan}), append(cmds, cmd)
		batch.Plans++
		batch.Placements += placements(plan)
		batch.RefusedNodes += len(result.RefusedNodes)
	}
	batch.Verifying = time.Since(began)
	if p.cfg.OnBatch != nil && batch.Plans > 0 {
		p.cfg.OnBatch(batch)
	}
	return done, cmds, nil
}

// account begins the count of attempts anew when a refused plan got somewhere.
func account(plan *model.Plan, result *model.PlanResult) {
	if len(result.RefusedNodes) > 0 && placements(plan) > 0 && plan.Eval != nil {
		plan.Eval.Attempts = 0
	}
}

// commit proposes a batch and settles what is held for it.
func (p *Planner) commit(ctx context.Context, jobs []job, cmds []fsm.Command) {
	outcomes, err := p.cfg.Proposer.Propose(ctx, cmds...)
	var again []*model.Evaluation
	for i, j := range jobs {
		p.cfg.View.Release(j.plan)
		cause := err
		if err == nil {
			cause = outcomes[i].Err
		}
		if model.CodeOf(cause) == model.CodeConflict {
			p.cfg.Logger.Debug("a plan came too late", "eval", j.eval.ID, "job", j.eval.JobID, "error", cause)
			continue // its evaluation has another's attention
		}
		if cause != nil {
			c := *j.eval
			c.Status, c.Attempts = model.EvalPending, j.eval.Attempts+1
			c.StatusDescription = "the plan could not be committed: " + cause.Error()
			again = append(again, &c)
		}
	}
	if len(again) == 0 || ctx.Err() != nil || model.CodeOf(err) == model.CodeNotLeader {
		return
	}
	p.cfg.Logger.Warn("plans could not be committed", "plans", len(again), "error", again[0].StatusDescription)
	if _, err := p.cfg.Proposer.Propose(ctx, proposal.Of(&fsm.UpsertEvals{Evals: again})); err != nil && ctx.Err() == nil {
		// The broker takes them back after its timeout.
		p.cfg.Logger.Warn("evaluations could not be given back", "error", err)
	}
}
