package sim

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/loop"
	"github.com/steppe-project/steppe/agent/server/broker"
	"github.com/steppe-project/steppe/agent/server/dependents"
	"github.com/steppe-project/steppe/agent/server/deployments"
	"github.com/steppe-project/steppe/agent/server/drain"
	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/gc"
	"github.com/steppe-project/steppe/agent/server/keys"
	"github.com/steppe-project/steppe/agent/server/nodeevals"
	"github.com/steppe-project/steppe/agent/server/ordinals"
	"github.com/steppe-project/steppe/agent/server/periodic"
	"github.com/steppe-project/steppe/agent/server/planner"
	"github.com/steppe-project/steppe/agent/server/worker"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sim/engine"
	"github.com/steppe-project/steppe/sim/workload"
)

const (
	// evalsAtHand is small, so that priorities and order matter.
	evalsAtHand = 4
	// stepPause is how long a component needs to notice a change, at most.
	stepPause = 3 * time.Millisecond
	// backoffMin and backoffMax are the runner's after a failed proposal.
	backoffMin = 20 * time.Millisecond
	backoffMax = 2 * time.Second
)

// lead is what a server runs while it leads. It has a life of its own: a term.
type lead struct {
	s       *server
	life    *engine.Life
	evals   chan *model.Evaluation
	view    *fleet.View
	workers *worker.Workers
	plans   *planner.Planner
	loops   []*looper
}

func newLead(s *server) *lead {
	w := s.w
	w.Tracef("%s leads term %d from index %d", s.name, s.term, s.applied)
	l := &lead{s: s, life: w.NewLife(), evals: make(chan *model.Evaluation, evalsAtHand)}
	if s.life.Paused() {
		l.life.Pause()
	}
	l.view = fleet.New(s.store)
	l.plans = planner.New(planner.Config{View: l.view, Proposer: proposer{s}, Logger: quiet})
	l.workers = worker.New(worker.Config{Count: 1, Evals: l.evals, View: l.view, Planner: l, Proposer: proposer{s}, Now: s.clock, Steady: s.time.Steady, Logger: quiet})
	material := keys.Material{ClusterID: w.ID(), KeyID: w.ID(), Public: []byte("public"), Private: []byte("private")}
	cfg := gc.Defaults()
	cfg.Interval, cfg.Eval, cfg.BatchEval, cfg.Job, cfg.Node = time.Minute, 2*time.Minute, 3*time.Minute, 2*time.Minute, 4*time.Minute
	for _, c := range []loop.Component{workload.Levels{Preempt: w.cfg.Seed%2 == 0}, broker.NewQueue(l.evals), s.desk, nodeevals.New(), drain.New(), dependents.New(), deployments.New(), ordinals.New(), gc.New(cfg), keys.New(material), periodic.New()} {
		l.loops = append(l.loops, newLooper(l, c))
	}
	return l
}

// end ends the term.
func (l *lead) end() {
	l.life.End()
	for _, c := range l.loops {
		c.sub.Close()
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = l.view.Run(over) // closes it
}

// poke lets the components see what has changed.
func (l *lead) poke() {
	for _, c := range l.loops {
		c.poke()
	}
}

// Submit implements worker.Planner: the planner works on plans when it comes to
// them, and some are lost with the worker that made them.
func (l *lead) Submit(_ context.Context, eval *model.Evaluation, plan *model.Plan) error {
	if !l.s.w.calm && l.s.w.Chance(l.s.w.checks.loseplans) {
		l.s.w.Tracef("a plan of %s is lost", eval.JobID)
		return nil
	}
	l.life.After(l.s.w.Between(0, 5*time.Millisecond), func() {
		l.life.Spawn(func(ctx context.Context) {
			for _, g := range plan.Groups {
				l.s.w.report.Placements += len(g.Placements)
			}
			_ = l.plans.Work(ctx, eval, plan) // the error is the end of the term
		})
	})
	return nil
}

// work gives the workers what the broker has handed out.
func (l *lead) work() {
	for {
		select {
		case e := <-l.evals:
			l.life.After(l.s.w.Between(100*time.Microsecond, 10*time.Millisecond), func() {
				l.life.Spawn(func(ctx context.Context) { l.workers.Work(ctx, e) })
			})
		default:
			return
		}
	}
}

// looper is loop.Runner for one component, as events.
type looper struct {
	l       *lead
	c       loop.Component
	sub     *state.Subscription
	poked   bool
	busy    bool // a proposal is under way
	missed  bool // something changed meanwhile
	backoff time.Duration
	alarm   uint64
}

func newLooper(l *lead, c loop.Component) *looper {
	p := &looper{l: l, c: c}
	p.reset()
	p.poke()
	return p
}

func (p *looper) reset() {
	if p.sub != nil {
		p.sub.Close()
	}
	snap, sub := p.l.s.store.Subscribe(p.c.Reads()...)
	p.sub = sub
	p.c.Reset(snap)
}

// poke has the component step soon.
func (p *looper) poke() {
	if p.busy {
		p.missed = true
		return
	}
	if p.poked {
		return
	}
	p.poked = true
	p.l.life.After(p.l.s.w.Between(0, stepPause), func() { p.poked = false; p.step() })
}

// step observes, decides and proposes once.
func (p *looper) step() {
	if p.busy {
		p.missed = true
		return
	}
	for {
		changes, err := p.sub.Poll()
		if err != nil {
			p.reset()
			break
		}
		if len(changes) == 0 {
			break
		}
		p.c.Observe(changes)
	}
	cmds, wake := p.c.Step(p.l.s.clock(), p.l.s.store.Snapshot())
	p.l.work()
	if len(cmds) == 0 {
		p.backoff = 0
		p.wakeAt(wake)
		return
	}
	p.busy = true
	p.l.s.w.ledger.propose(p.l.s, cmds, func(got proposed) {
		p.l.life.Run(func() { p.settle(cmds, got, wake) })
	})
}

// settle follows the fate of a proposal, as loop.Runner does.
func (p *looper) settle(cmds []fsm.Command, got proposed, wake time.Time) {
	p.busy = false
	refused := 0
	for i := range got.outcomes {
		if got.outcomes[i].Err != nil {
			refused++
		}
	}
	if r, ok := p.c.(loop.Refused); ok && refused > 0 {
		r.Refused(p.l.s.clock(), cmds, got.outcomes)
	}
	if refused == 0 && got.err == nil {
		p.backoff = 0
	} else {
		p.backoff = min(max(2*p.backoff, backoffMin), backoffMax)
		if again := p.l.s.clock().Add(p.backoff); wake.IsZero() || again.Before(wake) {
			wake = again
		}
	}
	p.wakeAt(wake)
	if p.missed {
		p.missed = false
		p.poke()
	}
}

// wakeAt sets the component's alarm, on its server's clock.
func (p *looper) wakeAt(at time.Time) {
	p.alarm++
	if at.IsZero() {
		return
	}
	mine := p.alarm
	p.l.life.After(max(at.Sub(p.l.s.clock()), time.Millisecond), func() {
		if p.alarm == mine {
			p.step()
		}
	})
}
