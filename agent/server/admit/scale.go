package admit

import (
	"context"
	"encoding/json"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/scaling"
)

// Limits of a scaling event: twenty of each group are kept in every server's
// memory.
const (
	// MaxScalingMessageBytes bounds the message: some sentences.
	MaxScalingMessageBytes = 4 << 10
	// MaxScalingMetaBytes bounds the meta data: scalers write their reasons.
	MaxScalingMetaBytes = 16 << 10
)

// jobScale changes the count of one group and records that and why, or only
// records what a scaler has to say.
func (d *Desk) jobScale(ctx context.Context, r *msg.JobScaleRequest) (*msg.JobRegisterResponse, error) {
	snap := d.cfg.Store.Snapshot()
	if snap.SchedulerConfig().RejectJobRegistration {
		return nil, errRegistration
	}
	if err := checkScaling(r); err != nil {
		return nil, err
	}
	ns := r.RequestNamespace()
	job := snap.Job(ns, r.JobID)
	if job == nil {
		return nil, model.Errorf(model.CodeNotFound, "job %q not found", r.JobID)
	}
	if job.Type == model.JobTypeSystem || job.Type == model.JobTypeSysbatch {
		return nil, model.Errorf(model.CodeInvalid, "cannot scale jobs of type %q: they run once on every node", job.Type)
	}
	scale := &fsm.ScaleJob{
		Namespace: ns, ID: r.JobID, Group: r.Group, EnforceIndex: r.EnforceIndex, JobModifyIndex: r.JobModifyIndex,
		Event: &scaling.Event{Message: r.Message, Error: r.Error, Meta: r.Meta},
	}
	if r.Count == nil {
		scale.EventOnly = true
	} else {
		scale.Count = int(*r.Count)
		scale.Eval = d.eval(job, model.TriggerScaling, 0, r.RequestID)
	}
	out, err := d.propose(ctx, r.RequestID, scale)
	if err != nil {
		return nil, err
	}
	return registered(out), nil
}

// checkScaling finds what must be refused whatever the job is.
func checkScaling(r *msg.JobScaleRequest) error {
	switch {
	case r.Group == "":
		return model.Errorf(model.CodeInvalid, "missing task group name for scaling action")
	case len(r.Message) > MaxScalingMessageBytes:
		return model.Errorf(model.CodeInvalid, "the message of a scaling action has %d bytes; at most %d", len(r.Message), MaxScalingMessageBytes)
	case len(r.Meta) > MaxScalingMetaBytes:
		return model.Errorf(model.CodeInvalid, "the meta data of a scaling action has %d bytes; at most %d", len(r.Meta), MaxScalingMetaBytes)
	case len(r.Meta) > 0 && (r.Meta[0] != '{' || !json.Valid(r.Meta)):
		return model.Errorf(model.CodeInvalid, "the meta data of a scaling action is not an object")
	case r.Count == nil:
		return nil
	case r.Error:
		return model.Errorf(model.CodeInvalid, "scaling action should not contain count if error is true")
	case *r.Count < 0:
		return model.Errorf(model.CodeInvalid, "scaling action count can't be negative")
	case *r.Count > model.MaxCount:
		return model.Errorf(model.CodeInvalid, "scaling action count is %d; at most %d", *r.Count, model.MaxCount)
	}
	return nil
}
