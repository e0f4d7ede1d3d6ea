package admit

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// Limits of what is kept with a drain for people.
const (
	maxDrainMeta      = 64
	maxDrainMetaBytes = 4 << 10
)

// nodeDrain begins a drain, changes it, or calls it off. What becomes of it follows
// from the change.
func (d *Desk) nodeDrain(ctx context.Context, r *msg.NodeDrainRequest) (*msg.NodeWriteResponse, error) {
	_, n, err := d.node(r.NodeID)
	if err != nil {
		return nil, err
	}
	size := 0
	for k, v := range r.Meta {
		size += len(k) + len(v)
	}
	if len(r.Meta) > maxDrainMeta || size > maxDrainMetaBytes {
		return nil, model.Errorf(model.CodeInvalid, "the metadata of a drain has at most %d keys and %d bytes", maxDrainMeta, maxDrainMetaBytes)
	}
	if r.Spec == nil && n.DrainStrategy == nil && !r.MarkEligible {
		return nil, model.Errorf(model.CodeInvalid, "node %s (%s) is not being drained", n.Name, n.ID)
	}
	out, err := d.propose(ctx, r.RequestID, &fsm.NodeDrain{NodeID: n.ID, Spec: r.Spec, MarkEligible: r.MarkEligible, Meta: r.Meta})
	if err != nil {
		return nil, err
	}
	return &msg.NodeWriteResponse{WriteMeta: msg.WriteMeta{Index: out.Index}, NodeModifyIndex: out.Index}, nil
}
