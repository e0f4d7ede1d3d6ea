package fsm

import (
	"time"

	"github.com/steppe-project/steppe/fsm/state/message"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/intern"
)

// subsystemCluster is the subsystem of node events that the servers record.
const subsystemCluster = "Cluster"

// Skipped is the result of commands on a batch: the ids that named nothing, or
// whose change came too late to be a step forward. The rest was done.
type Skipped struct{ IDs []string }

func (s *Skipped) add(id string) { s.IDs = append(s.IDs, id) }

// RegisterNode creates a node or renews what it says of itself. What the
// servers own is kept: eligibility, drain, events, and Status when Node.Status
// is empty (a new node is "initializing" then). A pool that does not exist is
// created. Fails with denied when the secret is not the one the node first
// registered with. No value.
type RegisterNode struct {
	Node  *model.Node
	Evals []*model.Evaluation
}

// Kind is KindRegisterNode.
func (*RegisterNode) Kind() Kind { return KindRegisterNode }

func (c *RegisterNode) apply(x *tx) (result, error) {
	if c.Node == nil || c.Node.ID == "" {
		return nil, model.Errorf(model.CodeInvalid, "a node needs an id")
	}
	next := *c.Node
	if x.FeatureLevel() < feature.Order {
		next.ReportsFrom = 0
	}
	if next.NodePool == "" {
		next.NodePool = model.DefaultNodePool
	}
	if x.NodePool(next.NodePool) == nil {
		x.Put(&model.NodePool{Name: next.NodePool, CreateIndex: x.index, ModifyIndex: x.index})
	}
	message := "Node registered"
	if now := x.Node(next.ID); now != nil {
		if now.SecretID != "" && now.SecretID != next.SecretID {
			return nil, model.Errorf(model.CodeDenied, "node %s: the secret is not the one it registered with", next.ID)
		}
		message = ""
		intern.Like(&next, now)
		if now.Status == model.NodeStatusDown && next.Status != model.NodeStatusDown {
			message = "Node reregistered"
		}
		keepServerFields(&next, now, x.seconds())
	} else {
		intern.Node(&next)
		next.CreateIndex = x.index
		next.Events = nil
		if next.Status == "" {
			next.Status = model.NodeStatusInit
		}
		if next.SchedulingEligibility == "" {
			next.SchedulingEligibility = model.NodeEligible
		}
		next.StatusUpdatedAt = x.seconds()
	}
	if message != "" {
		x.addNodeEvent(&next, message)
	}
	if err := x.putNode(&next); err != nil {
		return nil, err
	}
	return nil, x.putEvals(c.Evals, nil)
}

// putNode writes a registered node, unless it says what it said before: nodes
// register on every connection, and nobody should wake for that.
func (x *tx) putNode(next *model.Node) error {
	if now := x.Node(next.ID); now != nil {
		next.ModifyIndex = now.ModifyIndex
		old, err := now.MarshalMsg(nil)
		if err != nil {
			return model.Errorf(model.CodeInternal, "node %s cannot be compared: %w", now.ID, err)
		}
		renewed, err := next.MarshalMsg(nil)
		if err != nil {
			return model.Errorf(model.CodeInternal, "node %s cannot be compared: %w", next.ID, err)
		}
		if message.Digest(old) == message.Digest(renewed) {
			return nil
		}
	}
	next.ModifyIndex = x.index
	x.Put(next)
	return nil
}

// keepServerFields copies what the servers own from the present row; seconds is
// the time of a change of status.
func keepServerFields(next, now *model.Node, seconds int64) {
	next.CreateIndex = now.CreateIndex
	next.SchedulingEligibility = now.SchedulingEligibility
	next.Drain, next.DrainStrategy, next.LastDrain = now.Drain, now.DrainStrategy, now.LastDrain
	next.Events = now.Events
	if next.Status == "" || next.Status == now.Status {
		next.Status, next.StatusDescription = now.Status, now.StatusDescription
	}
	next.StatusUpdatedAt = now.StatusUpdatedAt
	if next.Status != now.Status {
		next.StatusUpdatedAt = seconds
	}
}

// NodeStatus changes the status of nodes. An update that changes nothing is
// done silently. Value: *Skipped, the unknown nodes.
type NodeStatus struct {
	Updates []NodeStatusUpdate
	Evals   []*model.Evaluation
}

// NodeStatusUpdate is one node's new status and, for people, why.
type NodeStatusUpdate struct {
	NodeID string
	Status string
	Reason string
}

// Kind is KindNodeStatus.
func (*NodeStatus) Kind() Kind { return KindNodeStatus }

func (c *NodeStatus) apply(x *tx) (result, error) {
	out := &Skipped{}
	for i := range c.Updates {
		up := &c.Updates[i]
		switch up.Status {
		case model.NodeStatusInit, model.NodeStatusReady, model.NodeStatusDown, model.NodeStatusDisconnected:
		default:
			return nil, model.Errorf(model.CodeInvalid, "invalid node status %q", up.Status)
		}
		now := x.Node(up.NodeID)
		if now == nil {
			out.add(up.NodeID)
			continue
		}
		if now.Status == up.Status {
			continue
		}
		next := *now
		next.Status, next.StatusDescription = up.Status, up.Reason
		next.StatusUpdatedAt = x.seconds()
		next.ModifyIndex = x.index
		message := "Node is " + up.Status
		if up.Reason != "" {
			message += ": " + up.Reason
		}
		x.addNodeEvent(&next, message)
		x.Put(&next)
	}
	return out, x.putEvals(c.Evals, nil)
}

// NodeEligibility allows or forbids new work on a node. Fails with not_found,
// or with conflict when a draining node is to become eligible. No value.
type NodeEligibility struct {
	NodeID      string
	Eligibility string
	Evals       []*model.Evaluation
}

// Kind is KindNodeEligibility.
func (*NodeEligibility) Kind() Kind { return KindNodeEligibility }

func (c *NodeEligibility) apply(x *tx) (result, error) {
	now := x.Node(c.NodeID)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "node not found")
	}
	switch c.Eligibility {
	case model.NodeEligible:
		if now.DrainStrategy != nil {
			return nil, model.Errorf(model.CodeConflict, "can not set node's scheduling eligibility to eligible while it is draining")
		}
	case model.NodeIneligible:
	default:
		return nil, model.Errorf(model.CodeInvalid, "invalid scheduling eligibility %q", c.Eligibility)
	}
	if now.SchedulingEligibility != c.Eligibility {
		next := *now
		next.SchedulingEligibility = c.Eligibility
		next.ModifyIndex = x.index
		x.addNodeEvent(&next, "Node marked as "+c.Eligibility+" for scheduling")
		x.Put(&next)
	}
	return nil, x.putEvals(c.Evals, nil)
}

// DeregisterNodes removes nodes for good; their allocations stay until the
// scheduler replaces them. Value: *Skipped, the unknown nodes.
type DeregisterNodes struct {
	NodeIDs []string
	Evals   []*model.Evaluation
}

// Kind is KindDeregisterNodes.
func (*DeregisterNodes) Kind() Kind { return KindDeregisterNodes }

func (c *DeregisterNodes) apply(x *tx) (result, error) {
	out := &Skipped{}
	for _, id := range c.NodeIDs {
		node := x.Node(id)
		if node == nil {
			out.add(id)
			continue
		}
		x.Delete(node)
	}
	return out, x.putEvals(c.Evals, nil)
}

// NodeEvents appends events to nodes' histories. Value: *Skipped, the unknown
// nodes.
type NodeEvents struct{ Events []NodeEventOf }

// NodeEventOf is one event of one node.
type NodeEventOf struct {
	NodeID string
	Event  *model.NodeEvent
}

// Kind is KindNodeEvents.
func (*NodeEvents) Kind() Kind { return KindNodeEvents }

func (c *NodeEvents) apply(x *tx) (result, error) {
	out := &Skipped{}
	for i := range c.Events {
		e := &c.Events[i]
		now := x.Node(e.NodeID)
		if now == nil || e.Event == nil {
			out.add(e.NodeID)
			continue
		}
		next := *now
		event := *e.Event
		event.CreateIndex = x.index
		appendNodeEvent(&next, &event)
		next.ModifyIndex = x.index
		x.Put(&next)
	}
	return out, nil
}

// seconds is the entry's time in unix seconds.
func (x *tx) seconds() int64 { return x.time / int64(time.Second) }

// addNodeEvent records what the servers did to a node.
func (x *tx) addNodeEvent(n *model.Node, message string) {
	appendNodeEvent(n, &model.NodeEvent{
		Message: message, Subsystem: subsystemCluster, Timestamp: time.Unix(0, x.time).UTC(), CreateIndex: x.index,
	})
}

// appendNodeEvent keeps the newest MaxNodeEvents in a slice of the node's own.
func appendNodeEvent(n *model.Node, e *model.NodeEvent) {
	old := n.Events
	if len(old) >= model.MaxNodeEvents {
		old = old[len(old)-model.MaxNodeEvents+1:]
	}
	events := make([]*model.NodeEvent, 0, len(old)+1)
	n.Events = append(append(events, old...), e)
}
