package fsm

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/drain"
)

// NodeDrain begins a drain of a node (Spec set), calls it off, or says that it is
// complete (Complete set): then only if the drain in progress is the one that began
// at StartedAt, so that a later one is not taken for done. A drain that begins makes
// the node ineligible; beginning again changes spec and deadline. Fails with
// not_found. No value.
type NodeDrain struct {
	NodeID       string
	Spec         *model.DrainSpec
	MarkEligible bool // of a drain that is called off: take new work again
	Complete     bool
	StartedAt    time.Time
	Meta         map[string]string // kept with the drain, for people
	Evals        []*model.Evaluation
}

// Kind is KindNodeDrain.
func (*NodeDrain) Kind() Kind { return KindNodeDrain }

// What a node's history says of drains.
const (
	eventDrainBegins   = "Node drain strategy set"
	eventDrainEnds     = "Node drain complete"
	eventDrainCanceled = "Node drain disabled"
)

func (c *NodeDrain) apply(x *tx) (result, error) {
	now := x.Node(c.NodeID)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "node not found")
	}
	next := *now
	event := ""
	switch running := now.DrainStrategy; {
	case c.Spec != nil && !c.Complete:
		event = eventDrainBegins
		c.begin(&next, time.Unix(0, x.time).UTC())
	case running == nil && c.MarkEligible && !c.Complete && now.SchedulingEligibility != model.NodeEligible:
		event = "Node marked as eligible for scheduling"
		next.SchedulingEligibility = model.NodeEligible
	case running == nil, c.Complete && !running.StartedAt.Equal(c.StartedAt):
		return nil, x.putEvals(c.Evals, nil)
	default:
		event = c.end(&next, time.Unix(0, x.time).UTC())
	}
	if next.DrainStrategy == nil {
		x.stay(next.ID)
	}
	next.ModifyIndex = x.index
	x.addNodeEvent(&next, event)
	x.Put(&next)
	return nil, x.putEvals(c.Evals, nil)
}

// stay takes back that what still runs on a node is to leave it.
func (x *tx) stay(node string) {
	var wanted []*model.Allocation
	for a := range x.AllocsByNode(node) {
		if m := a.DesiredTransition.Migrate; m != nil && *m && !a.Terminal() {
			wanted = append(wanted, a)
		}
	}
	for _, a := range wanted {
		next, no := *a, false
		next.DesiredTransition.Migrate = &no
		x.touch(&next)
		x.Put(&next)
	}
}

func (c *NodeDrain) begin(n *model.Node, at time.Time) {
	strategy := &model.DrainStrategy{DrainSpec: *c.Spec, StartedAt: at}
	if c.Spec.Deadline != 0 {
		strategy.ForceDeadline = at.Add(max(0, c.Spec.Deadline))
	}
	last := &model.DrainMetadata{StartedAt: at, UpdatedAt: at, Status: drain.Draining, Meta: c.Meta}
	if n.DrainStrategy != nil {
		strategy.StartedAt = n.DrainStrategy.StartedAt
		last.StartedAt = strategy.StartedAt
	}
	n.Drain, n.DrainStrategy, n.LastDrain = true, strategy, last
	n.SchedulingEligibility = model.NodeIneligible
}

// end is the node without its drain, and what its history says.
func (c *NodeDrain) end(n *model.Node, at time.Time) (event string) {
	last := model.DrainMetadata{StartedAt: n.DrainStrategy.StartedAt}
	if n.LastDrain != nil {
		last = *n.LastDrain
	}
	last.UpdatedAt, last.Status, event = at, drain.Canceled, eventDrainCanceled
	if c.Complete {
		last.Status, event = drain.Complete, eventDrainEnds
	} else if c.MarkEligible {
		n.SchedulingEligibility = model.NodeEligible
	}
	if len(c.Meta) > 0 {
		last.Meta = c.Meta
	}
	n.Drain, n.DrainStrategy, n.LastDrain = false, nil, &last
	return event
}
