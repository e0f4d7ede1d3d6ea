package whatif

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/model/stateful"
)

// maxMoments bounds what an answer tells of the course of things.
const maxMoments = 50

// chronicle is what is remembered of the course of things.
type chronicle struct {
	sub     *state.Subscription
	taken   map[string]time.Duration // when an instance's end, start or update was decided
	touched map[model.NamespacedID]bool
	waits   map[string]time.Duration // by trigger: when its last evaluation changed something
	last    time.Duration            // when something changed last
	moments map[insight.Moment]int   // with how many nodes
	held    bool                     // the brake engaged
	hurried bool                     // it would have, for too long to follow it
	down    time.Duration            // when the last lost node was given up
	first   time.Duration            // and the first
	drained time.Duration            // when the last drain was complete
}

func (c *chronicle) open(s *stage) {
	c.taken, c.touched = make(map[string]time.Duration), make(map[model.NamespacedID]bool)
	c.waits, c.moments = make(map[string]time.Duration), make(map[insight.Moment]int)
	_, c.sub = s.w.Store.Subscribe(state.TableNodes)
}

func (c *chronicle) close() {
	if c.sub != nil {
		c.sub.Close()
	}
}

// decided notes what a plan does.
func (c *chronicle) decided(s *stage, e *model.Evaluation, plan *model.Plan) {
	now, effects := s.now(), 0
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			c.taken[p.ID] = now
		}
		for _, u := range g.InPlace {
			c.taken[u.ID] = now
		}
		effects += len(g.Placements) + len(g.InPlace)
	}
	for _, stop := range plan.Stops {
		if !stop.KeepDesired {
			c.taken[stop.ID] = now
			effects++
		}
	}
	if effects > 0 || len(plan.Eval.FailedTGAllocs) > 0 {
		c.touched[model.NamespacedID{Namespace: plan.Namespace, ID: plan.JobID}] = true
	}
	if effects > 0 {
		c.waits[e.TriggeredBy], c.last = now, now
	}
}

// follow notes what becomes of nodes.
func (c *chronicle) follow(s *stage) error {
	changes, err := poll(c.sub)
	now := s.now()
	for i := range changes {
		before, _ := changes[i].Before.(*model.Node)
		after, _ := changes[i].After.(*model.Node)
		if before == nil || after == nil {
			continue
		}
		what := ""
		switch {
		case before.Status != after.Status && after.Status == model.NodeStatusDisconnected:
			what, c.held = "held by the brake", true
		case before.Status != after.Status && after.Status == model.NodeStatusDown:
			what, c.down = "given up", now
			if c.first == 0 {
				c.first = now
			}
		case before.DrainStrategy != nil && after.DrainStrategy == nil:
			what, c.drained = "drained", now
		default:
			continue
		}
		c.last = now
		c.moments[insight.Moment{At: now, What: what}]++
	}
	return err
}

// course tells it.
func (c *chronicle) course(s *stage) {
	a := s.answer
	for m, n := range c.moments {
		a.Moments = append(a.Moments, &insight.Moment{At: m.At, What: fmt.Sprintf("%s: %s", counted(n, "node"), m.What)})
	}
	slices.SortFunc(a.Moments, func(x, y *insight.Moment) int { return cmp.Or(cmp.Compare(x.At, y.At), cmp.Compare(x.What, y.What)) })
	a.Moments = a.Moments[:min(len(a.Moments), maxMoments)]
	a.Lasts = c.last
	if len(c.taken) > 0 {
		a.Lasts += StartTime // of what was placed last
	}
	c.brake(s)
	if c.down > 0 {
		a.MadeOf = append(a.MadeOf, fmt.Sprintf("%s until the leases of lost nodes are over and the first is given up", c.first.Round(time.Millisecond)))
	}
	if a.Brake != nil && a.Brake.Engages {
		a.MadeOf = append(a.MadeOf, c.brakeText(a.Brake))
	}
	if c.drained > 0 {
		a.MadeOf = append(a.MadeOf, fmt.Sprintf("%s until the last drain is complete, a few of a group at a time as its migrate block says", c.drained.Round(time.Millisecond)))
	}
	for _, w := range []struct{ trigger, text string }{
		{model.TriggerRollingUpdate, "replacing the last instances of an older version, a few at a time as the update block says"},
		{model.TriggerRetryFailed, "the end of the delays of failed or lost instances, as their reschedule and disconnect blocks say"},
		{stateful.Trigger, "what stateful instances wait for: the start, the health and the end of others, one after the other"},
		{model.TriggerQueuedAllocs, "the last room that became free for what waited"},
	} {
		if at := c.waits[w.trigger]; at > 0 {
			a.MadeOf = append(a.MadeOf, fmt.Sprintf("%s until %s", at.Round(time.Millisecond), w.text))
		}
	}
	a.MadeOf = append(a.MadeOf, fmt.Sprintf("%s for an instance to start and %s for one to end: assumed", StartTime, StopTime))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// brakeOf is what the brake on mass loss goes by; nil when nothing is lost.
func brakeOf(s *stage) *insight.BrakeWord {
	if len(s.answer.Lost) == 0 {
		return nil
	}
	set := lease.BrakeSettings(s.before.SchedulerConfig().MassLoss)
	b := &insight.BrakeWord{Threshold: set.Threshold, MinNodes: set.MinNodes, Rate: set.Rate, Nodes: len(s.answer.Added)}
	for _, n := range s.before.AllNodes() {
		if n.Status == model.NodeStatusDown {
			continue
		}
		b.Nodes++
		if s.dead[n.ID] {
			b.Vanished++
		}
	}
	return b
}

// brake tells whether it engages.
func (c *chronicle) brake(s *stage) {
	b := brakeOf(s)
	switch {
	case b == nil:
	case c.hurried:
		b.Engages, b.Lasts = true, c.first+time.Duration(b.Vanished)*time.Minute/time.Duration(b.Rate)
		s.answer.Lasts += b.Lasts
	case c.held:
		b.Engages, b.Lasts = true, c.down
	}
	s.answer.Brake = b
}

func (c *chronicle) brakeText(b *insight.BrakeWord) string {
	if b.Rate < 0 {
		return "for ever: the brake engages, and its rate lets no node be given up before it is released (steppe operator brake release)"
	}
	return fmt.Sprintf("%s until the last lost node is given up: the brake engages (%d of %d nodes vanish together) and gives up %d a minute; steppe operator brake release ends it",
		b.Lasts.Round(time.Second), b.Vanished, b.Nodes, b.Rate)
}
