package server

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/loop"
	"github.com/steppe-project/steppe/agent/server/broker"
	"github.com/steppe-project/steppe/agent/server/dependents"
	"github.com/steppe-project/steppe/agent/server/deployments"
	"github.com/steppe-project/steppe/agent/server/drain"
	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/gc"
	"github.com/steppe-project/steppe/agent/server/initial"
	"github.com/steppe-project/steppe/agent/server/keys"
	"github.com/steppe-project/steppe/agent/server/nodeevals"
	"github.com/steppe-project/steppe/agent/server/ordinals"
	"github.com/steppe-project/steppe/agent/server/periodic"
	"github.com/steppe-project/steppe/agent/server/planner"
	"github.com/steppe-project/steppe/agent/server/worker"
	"github.com/steppe-project/steppe/model"
)

// evalsAtHand is how many evaluations are handed out ahead of the workers. The
// broker hands out more only when something was committed, so there must be as
// many as are decided during one commit; the rest waits where its priority counts.
const evalsAtHand = 64

// term runs what only the leader runs, until leadership changes or ctx ends.
func (s *Server) term(ctx context.Context, lead consensus.Leadership) error {
	s.deps.Logger.Info("leading the cluster", "term", lead.Term)
	defer s.deps.Logger.Info("no longer leading the cluster", "term", lead.Term)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-lead.Changed:
			cancel()
		case <-ctx.Done():
		}
		return nil
	})
	g.Go(func() error { s.autopilot.Run(ctx); return nil })
	if err := s.pipeline(ctx, g); err != nil {
		cancel()
		return errors.Join(err, g.Wait())
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// pipeline starts the components, the workers and the planner.
//
//	broker ──evals──► workers ──plans──► planner ──► log
//	                     └──── view ───────┘
func (s *Server) pipeline(ctx context.Context, g *errgroup.Group) error {
	material, err := keys.Generate()
	if err != nil {
		return err
	}
	evals := make(chan *model.Evaluation, evalsAtHand)
	queue := broker.NewQueue(evals)
	s.metrics.queue.Store(queue)
	view := fleet.New(s.deps.Store)
	plans := planner.New(planner.Config{
		View: view, Proposer: s.deps.Host, Logger: s.deps.Logger, OnBatch: s.metrics.batch,
	})
	s.metrics.planner.Store(plans)
	workers := worker.New(worker.Config{
		Count: s.cfg.Schedulers, Evals: evals, View: view, Planner: plans, Proposer: s.deps.Host,
		Now: s.deps.Now, Steady: s.deps.Host.Steady, Logger: s.deps.Logger, OnDecision: s.metrics.decision,
	})
	runner := loop.New(loop.Config{
		Source: s.deps.Store, Proposer: s.deps.Host, Clock: clock(s.deps.Now), Logger: s.deps.Logger,
		OnStep: s.metrics.step,
	})
	g.Go(func() error { return view.Run(ctx) })
	g.Go(func() error { return plans.Run(ctx) })
	g.Go(func() error { return workers.Run(ctx) })
	g.Go(func() error {
		return runner.Run(ctx, queue, s.lease, nodeevals.New(), drain.New(), dependents.New(), deployments.New(), ordinals.New(), periodic.New(), gc.New(s.cfg.GC), keys.New(material), initial.New(s.cfg.Initial))
	})
	return nil
}
