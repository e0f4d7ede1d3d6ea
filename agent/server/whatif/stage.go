package whatif

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/loop"
	"github.com/steppe-project/steppe/agent/server/broker"
	"github.com/steppe-project/steppe/agent/server/dependents"
	"github.com/steppe-project/steppe/agent/server/deployments"
	"github.com/steppe-project/steppe/agent/server/drain"
	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/forecast"
	"github.com/steppe-project/steppe/agent/server/liveness"
	"github.com/steppe-project/steppe/agent/server/nodeevals"
	"github.com/steppe-project/steppe/agent/server/ordinals"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/verify"
)

const (
	// atOnce is how many evaluations are handed out at a time.
	atOnce = 64
	// much is from how many that wait on some are decided side by side: the number is
	// fixed, so that an answer does not depend on the machine's cores.
	much, sideBySide = 16, 2
)

// stage is a world in which things happen.
type stage struct {
	Params
	w        *forecast.World
	question *insight.Question
	began    time.Time
	before   *fleet.Basis
	answer   *insight.Answer
	dead     map[string]bool // nodes that nobody hears of

	loops     []*looper
	queue     *broker.Broker
	nodes     reactions
	decisions int
	chronicle
}

// looper is a component with what it has to see.
type looper struct {
	c     loop.Component
	sub   *state.Subscription
	fresh bool // has not stepped since its reset
	wake  time.Time
}

// lost is the word of gossip.
type lost map[string]bool

// Dead implements liveness.Members.
func (l lost) Dead(id string) bool { return l[id] }

// watched is liveness with the leases of all that live renewed for good.
type watched struct {
	*liveness.Liveness
	dead map[string]bool
	snap *state.Snapshot
}

// Reset implements loop.Component.
func (c *watched) Reset(snap *state.Snapshot) {
	c.Liveness.Reset(snap)
	c.snap = snap
}

// Step implements loop.Component.
func (c *watched) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	cmds, wake := c.Liveness.Step(now, snap)
	if c.snap == nil {
		return cmds, wake
	}
	// Leases begin with the first step; those of all that live are renewed once.
	var alive []string
	for n := range c.snap.Nodes(state.Range{}) {
		if !c.dead[n.ID] {
			alive = append(alive, n.ID)
		}
	}
	c.Renew(now.Add(2*maxHorizon), alive...)
	c.snap = nil
	return cmds, wake
}

// open starts the components.
func (s *stage) open() {
	s.queue = broker.New()
	list := []loop.Component{s.queue, nodeevals.New(), drain.New(), dependents.New(), deployments.New(), ordinals.New()}
	if len(s.dead) > 0 {
		list = append(list, &watched{Liveness: liveness.New(s.LeaseTTL, lost(s.dead)), dead: s.dead})
	}
	for _, c := range list {
		snap, sub := s.w.Store.Subscribe(c.Reads()...)
		c.Reset(snap)
		s.loops = append(s.loops, &looper{c: c, sub: sub, fresh: true})
	}
	s.nodes.open(s)
	s.chronicle.open(s)
}

func (s *stage) close() {
	for _, l := range s.loops {
		l.sub.Close()
	}
	s.nodes.close()
	s.chronicle.close()
}

// now is the time since the beginning.
func (s *stage) now() time.Duration { return s.w.Now().Sub(s.began) }

// run lets the clock go until nothing changes any more.
func (s *stage) run(ctx context.Context) error {
	horizon := s.question.Horizon
	if horizon == 0 {
		horizon = defaultHorizon
	}
	end := s.began.Add(horizon)
	nodes := s.before.Fleet().Len() + len(s.answer.Added)
	limit := min(maxDecisions, max(minDecisions, workRows/(nodes+100)))
	for range maxSteps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.decisions > limit {
			s.answer.Unended = fmt.Sprintf("more than %d evaluations in a cluster of %d nodes: what comes after is not part of the answer", limit, nodes)
			return nil
		}
		moved, err := s.move(ctx)
		if err != nil {
			return err
		}
		if moved {
			continue
		}
		next := s.next()
		if next.IsZero() || next.After(end) {
			return s.ended(horizon)
		}
		s.w.Set(next)
	}
	s.answer.Unended = fmt.Sprintf("more than %d steps: what comes after is not part of the answer", maxSteps)
	return nil
}

// move does what is to be done at this moment; false when nothing is.
func (s *stage) move(ctx context.Context) (bool, error) {
	moved := false
	for _, l := range s.loops {
		did, err := s.step(ctx, l)
		if err != nil {
			return false, err
		}
		moved = moved || did
	}
	decided, err := s.decide(ctx)
	if err != nil {
		return false, err
	}
	reacted, err := s.nodes.react(ctx, s)
	if err != nil {
		return false, err
	}
	return moved || decided || reacted, s.chronicle.follow(s)
}

// step has a component see what has changed, and decide.
func (s *stage) step(ctx context.Context, l *looper) (bool, error) {
	changes, err := poll(l.sub)
	if err != nil {
		return false, err
	}
	due := !l.wake.IsZero() && !l.wake.After(s.w.Now())
	if len(changes) == 0 && !due && !l.fresh {
		return false, nil
	}
	l.c.Observe(changes)
	cmds, wake := l.c.Step(s.w.Now(), s.w.Store.Snapshot())
	l.wake, l.fresh = wake, false
	if len(cmds) == 0 {
		return len(changes) > 0, nil
	}
	return true, s.propose(ctx, cmds...)
}

// poll is all that has changed.
func poll(sub *state.Subscription) ([]state.Change, error) {
	var all []state.Change
	for {
		changes, err := sub.Poll()
		if errors.Is(err, state.ErrLagged) {
			return nil, model.Errorf(model.CodeInternal, "too much changes at once to follow it: ask about less")
		}
		if err != nil || len(changes) == 0 {
			return all, err
		}
		all = append(all, changes...)
	}
}

// decide has the scheduler decide what is ready: one after the other, or a few at a
// time when it is much, as workers do.
func (s *stage) decide(ctx context.Context) (bool, error) {
	evals := s.queue.Deliver(s.w.Now(), atOnce)
	for rest := evals; len(rest) > 0; {
		n := 1
		if len(rest) >= much {
			n = sideBySide
		}
		if err := s.few(ctx, rest[:n]); err != nil {
			return false, err
		}
		rest = rest[n:]
	}
	return len(evals) > 0, nil
}

// few decides some evaluations on one state, and commits one plan after the other as
// far as it fits.
func (s *stage) few(ctx context.Context, evals []*model.Evaluation) error {
	basis, err := s.w.Basis(ctx)
	if err != nil {
		return err
	}
	plans := make([]*model.Plan, len(evals))
	var wg sync.WaitGroup
	for i, e := range evals {
		decide := func() {
			env := basis.Env(e, s.w.Now())
			env.Terse = true
			plans[i] = sched.Process(basis, e, env).Plan
		}
		if len(evals) == 1 {
			decide()
		} else {
			wg.Go(decide)
		}
	}
	wg.Wait()
	for i, e := range evals {
		s.decisions++
		if basis, err = s.w.Basis(ctx); err != nil {
			return err
		}
		if now := basis.Eval(e.ID); now == nil || now.ModifyIndex != e.ModifyIndex {
			continue
		}
		plan, _ := verify.Check(basis, plans[i])
		s.chronicle.decided(s, e, plan)
		cmd, err := fsm.NewCommand(&fsm.ApplyPlan{Plan: plan})
		if err != nil {
			return err
		}
		if err := s.propose(ctx, cmd); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) propose(ctx context.Context, cmds ...fsm.Command) error {
	outcomes, err := s.w.Propose(ctx, cmds...)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		if o.Err != nil {
			return o.Err
		}
	}
	return nil
}

// next is when something happens next; zero for never.
func (s *stage) next() time.Time {
	at := s.nodes.next()
	for _, l := range s.loops {
		if !l.wake.IsZero() && (at.IsZero() || l.wake.Before(at)) {
			at = l.wake
		}
	}
	return at
}

// ended says what goes on when nothing more is looked at.
func (s *stage) ended(horizon time.Duration) error {
	snap := s.w.Store.Snapshot()
	for _, n := range s.answer.Drained {
		if now := snap.Node(n.ID); now != nil && now.DrainStrategy != nil {
			left := 0
			for a := range snap.AllocsByNode(n.ID) {
				if !a.ClientTerminal() {
					left++
				}
			}
			s.answer.Unended = fmt.Sprintf("after %s node %s is still being drained, with %d instances there: batch tasks leave when they end or at the deadline, the others when there is a place for them", horizon, n.Name, left)
		}
	}
	return nil
}
