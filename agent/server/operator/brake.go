package operator

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// brakeRelease has the nodes that the brake holds given up at once. The release
// is a time in the scheduler configuration, so that the next leader knows of it.
func (d *Desk) brakeRelease(ctx context.Context, r *msg.BrakeReleaseRequest) (*msg.CASResponse, error) {
	config := *d.cfg.Store.Snapshot().SchedulerConfig()
	config.MassLoss.ReleasedAt = d.cfg.Host.Now().UnixNano()
	out, err := d.set(ctx, r.RequestID, &fsm.SchedulerConfig{Config: &config, CAS: true, Index: config.ModifyIndex})
	if err == nil && !out.Updated {
		err = model.Errorf(model.CodeConflict, "the scheduler configuration was changed meanwhile; try again")
	}
	return out, err
}

// checkMassLoss refuses settings of the brake that mean nothing.
func checkMassLoss(m model.MassLossConfig) error {
	switch {
	case m.Threshold < 0 || m.Threshold > 1:
		return model.Errorf(model.CodeInvalid, "invalid MassLoss.Threshold %v: it is a share of the nodes, from 0 (the default) to 1", m.Threshold)
	case m.MinNodes < 0:
		return model.Errorf(model.CodeInvalid, "invalid MassLoss.MinNodes %d: 0 means the default", m.MinNodes)
	case m.Rate > 60_000:
		return model.Errorf(model.CodeInvalid, "invalid MassLoss.Rate %d: at most 60000 nodes a minute", m.Rate)
	}
	return nil
}
