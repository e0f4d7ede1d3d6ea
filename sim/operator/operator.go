// Package operator has an operator of a simulated cluster close nodes, open them and
// drain them, and steer deployments.
//
// Contract: each call is one thing, carried until somebody knows how it ended; then
// next is called.
//
// Example:
//
//	o := operator.Operator{Engine: engine, Write: write}
//	o.Toggle(node, next)
package operator

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sim/engine"
)

// Operator acts.
type Operator struct {
	Engine *engine.Engine
	// Write carries a write to the leader, again and again with one request id, until
	// somebody knows how it ended.
	Write func(handle func(ctx context.Context, to rpc.Caller, rid string) error, done func(error))
}

// Toggle closes a node for new work, or opens it; or begins to drain it.
func (o Operator) Toggle(node string, next func()) {
	dice := o.Engine
	if !dice.Chance(0.4) {
		o.Open(node, next)
		return
	}
	if dice.Chance(0.5) {
		o.setEligibility(node, model.NodeIneligible, next)
		return
	}
	spec := &model.DrainSpec{IgnoreSystemJobs: dice.Chance(0.3)}
	spec.Deadline = []time.Duration{-1, 0, dice.Between(time.Second, 30*time.Second)}[dice.Rand.IntN(3)]
	o.drain(node, spec, next)
}

// Open calls off the drain of a node, if there is one, and opens it.
func (o Operator) Open(node string, next func()) {
	o.drain(node, nil, func() { o.setEligibility(node, model.NodeEligible, next) })
}

func (o Operator) setEligibility(node, to string, next func()) {
	o.Write(func(ctx context.Context, at rpc.Caller, rid string) error {
		r := &msg.NodeEligibilityRequest{NodeID: node, Eligibility: to}
		r.RequestID = rid
		_, err := msg.NodeEligibility.Call(ctx, at, r)
		return err
	}, func(error) { next() })
}

func (o Operator) drain(node string, spec *model.DrainSpec, next func()) {
	o.Write(func(ctx context.Context, at rpc.Caller, rid string) error {
		r := &msg.NodeDrainRequest{NodeID: node, Spec: spec, MarkEligible: spec == nil}
		r.RequestID = rid
		_, err := msg.NodeDrain.Call(ctx, at, r)
		return err
	}, func(error) { next() })
}
