package admit

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// maxHealth bounds the allocations that an operator judges in one request.
const maxHealth = 4096

// deployment finds what an operator's write is about.
func (d *Desk) deployment(id string) (*state.Snapshot, *model.Deployment, error) {
	snap := d.cfg.Store.Snapshot()
	if err := fsm.Gate(deploy.Level, snap.FeatureLevel()); err != nil {
		return nil, nil, err
	}
	row := snap.Deployment(id)
	if row == nil {
		return nil, nil, model.Errorf(model.CodeNotFound, "deployment not found")
	}
	return snap, row, nil
}

// deploymentEval has the scheduler look at a deployment's job; what it takes from the
// job is filled in with the change.
func (d *Desk) deploymentEval(row *model.Deployment, requestID string) *model.Evaluation {
	job := &model.Job{Namespace: row.Namespace, ID: row.JobID, Type: model.JobTypeService, Priority: model.DefaultPriority}
	e := d.eval(job, model.TriggerDeployment, 0, requestID)
	e.DeploymentID = row.ID
	return e
}

// deploymentStatus fails a deployment, pauses it, or has it go on.
func (d *Desk) deploymentStatus(ctx context.Context, r *msg.DeploymentStatusRequest) (*msg.DeploymentWriteResponse, error) {
	_, row, err := d.deployment(r.DeploymentID)
	if err != nil {
		return nil, err
	}
	c := &fsm.DeploymentStatus{ID: row.ID, Status: r.Status, Eval: d.deploymentEval(row, r.RequestID)}
	switch r.Status {
	case model.DeploymentFailed:
		c.Description, c.RevertID = deploy.DescOperator, ident.From("revert of deployment", row.ID)
	case model.DeploymentPaused, model.DeploymentRunning:
	default:
		return nil, model.Errorf(model.CodeInvalid, "an operator can set a deployment failed, paused or running, not %q", r.Status)
	}
	out, err := d.propose(ctx, r.RequestID, c)
	return deploymentWritten(out, err)
}

func deploymentWritten(out fsm.Outcome, err error) (*msg.DeploymentWriteResponse, error) {
	if err != nil {
		return nil, err
	}
	resp := &msg.DeploymentWriteResponse{WriteMeta: msg.WriteMeta{Index: out.Index}}
	if r, ok := out.Value.(*fsm.DeploymentResult); ok {
		resp.ModifyIndex, resp.EvalID, resp.EvalCreateIndex = r.ModifyIndex, r.EvalID, r.EvalCreateIndex
		resp.Reverted, resp.RevertedTo = r.Reverted, r.RevertedTo
	}
	return resp, nil
}

// deploymentPromote promotes canaries.
func (d *Desk) deploymentPromote(ctx context.Context, r *msg.DeploymentPromoteRequest) (*msg.DeploymentWriteResponse, error) {
	_, row, err := d.deployment(r.DeploymentID)
	if err != nil {
		return nil, err
	}
	if r.All == (len(r.Groups) > 0) {
		return nil, model.Errorf(model.CodeInvalid, "promote all groups, or name some of them")
	}
	out, err := d.propose(ctx, r.RequestID, &fsm.PromoteDeployment{ID: row.ID, Groups: r.Groups, Eval: d.deploymentEval(row, r.RequestID)})
	return deploymentWritten(out, err)
}

// allocHealth takes an operator's word on health.
func (d *Desk) allocHealth(ctx context.Context, r *msg.AllocHealthRequest) (*msg.DeploymentWriteResponse, error) {
	_, row, err := d.deployment(r.DeploymentID)
	if err != nil {
		return nil, err
	}
	if len(r.Healthy)+len(r.Unhealthy) > maxHealth {
		return nil, model.Errorf(model.CodeInvalid, "at most %d allocations in one request", maxHealth)
	}
	out, err := d.propose(ctx, r.RequestID, &fsm.AllocHealth{
		ID: row.ID, Healthy: r.Healthy, Unhealthy: r.Unhealthy, Eval: d.deploymentEval(row, r.RequestID),
	})
	return deploymentWritten(out, err)
}

// jobRevert takes a job back to an older version.
func (d *Desk) jobRevert(ctx context.Context, r *msg.JobRevertRequest) (*msg.JobRegisterResponse, error) {
	snap, job, err := d.versioned(r.RequestNamespace(), r.JobID)
	if err != nil {
		return nil, err
	}
	if snap.SchedulerConfig().RejectJobRegistration {
		return nil, errRegistration
	}
	version := r.Version
	if r.Tag != "" {
		tagged := taggedVersion(snap, job, r.Tag)
		if tagged == nil {
			return nil, model.Errorf(model.CodeInvalid, "job %q has no version with the tag %q", job.ID, r.Tag)
		}
		version = tagged.Version
	}
	eval := d.eval(job, model.TriggerJobRegister, 0, r.RequestID)
	out, err := d.propose(ctx, r.RequestID, &fsm.RevertJob{
		Namespace: job.Namespace, ID: job.ID, Version: version, EnforcePrior: r.EnforcePrior, IfVersion: r.PriorVersion,
		DeploymentID: ident.From("deployment of evaluation", eval.ID), Eval: eval,
	})
	if err != nil {
		return nil, err
	}
	return registered(out), nil
}

// versioned finds a job of which versions are written.
func (d *Desk) versioned(namespace, id string) (*state.Snapshot, *model.Job, error) {
	snap := d.cfg.Store.Snapshot()
	if err := fsm.Gate(deploy.Level, snap.FeatureLevel()); err != nil {
		return nil, nil, err
	}
	job := snap.Job(namespace, id)
	if job == nil {
		return nil, nil, model.Errorf(model.CodeNotFound, "job not found")
	}
	return snap, job, nil
}

func taggedVersion(snap *state.Snapshot, job *model.Job, tag string) *model.Job {
	for v := range snap.JobVersions(job.Namespace, job.ID) {
		if v.VersionTag != nil && v.VersionTag.Name == tag {
			return v
		}
	}
	return nil
}

// jobStable marks a version as stable, or not.
func (d *Desk) jobStable(ctx context.Context, r *msg.JobStableRequest) (*msg.WriteMeta, error) {
	_, job, err := d.versioned(r.RequestNamespace(), r.JobID)
	if err != nil {
		return nil, err
	}
	out, err := d.propose(ctx, r.RequestID, &fsm.JobStability{Namespace: job.Namespace, ID: job.ID, Version: r.Version, Stable: r.Stable})
	return &msg.WriteMeta{Index: out.Index}, err
}

// jobTag gives a version a name, or takes it away.
func (d *Desk) jobTag(ctx context.Context, r *msg.JobTagRequest) (*msg.WriteMeta, error) {
	_, job, err := d.versioned(r.RequestNamespace(), r.JobID)
	if err != nil {
		return nil, err
	}
	c := &fsm.TagVersion{Namespace: job.Namespace, ID: job.ID, Version: r.Version, Name: r.Tag, Description: r.Description, Remove: r.Remove}
	if r.Newest {
		c.Version = job.Version
	}
	out, err := d.propose(ctx, r.RequestID, c)
	return &msg.WriteMeta{Index: out.Index}, err
}
