package operator

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// Steer does one thing to what is being deployed: promotes it, pauses it, has it go on
// or fails it; or takes a job back to a version that is kept. What is refused is.
func (o Operator) Steer(snap *state.Snapshot, job string, next func()) {
	dice := o.Engine
	var active *model.Deployment
	for d := range snap.DeploymentsByJob(model.DefaultNamespace, job) {
		if deploy.Active(d) {
			active = d
		}
	}
	switch {
	case active == nil || dice.Chance(0.2):
		o.revert(snap, job, next)
	case active.Status == model.DeploymentPaused:
		o.set(active.ID, model.DeploymentRunning, next)
	case dice.Chance(0.5):
		o.promote(active.ID, next)
	case dice.Chance(0.6):
		o.set(active.ID, model.DeploymentPaused, next)
	default:
		o.set(active.ID, model.DeploymentFailed, next)
	}
}

// Lead has the deployments that wait for somebody go on; done is called when they do.
func (o Operator) Lead(snap *state.Snapshot, done func()) {
	left := 1
	over := func() {
		if left--; left == 0 {
			done()
		}
	}
	for d := range snap.Deployments(state.Range{}) {
		switch {
		case d.Status == model.DeploymentPaused:
			left++
			o.set(d.ID, model.DeploymentRunning, over)
		case deploy.Active(d) && len(deploy.Waiting(d)) > 0:
			left++
			o.promote(d.ID, over)
		}
	}
	over()
}

func (o Operator) set(id, status string, next func()) {
	o.Write(func(ctx context.Context, at rpc.Caller, rid string) error {
		r := &msg.DeploymentStatusRequest{DeploymentID: id, Status: status}
		r.RequestID = rid
		_, err := msg.DeploymentStatus.Call(ctx, at, r)
		return err
	}, func(error) { next() })
}

func (o Operator) promote(id string, next func()) {
	o.Write(func(ctx context.Context, at rpc.Caller, rid string) error {
		r := &msg.DeploymentPromoteRequest{DeploymentID: id, All: true}
		r.RequestID = rid
		_, err := msg.DeploymentPromote.Call(ctx, at, r)
		return err
	}, func(error) { next() })
}

func (o Operator) revert(snap *state.Snapshot, job string, next func()) {
	var versions []uint64
	for v := range snap.JobVersions(model.DefaultNamespace, job) {
		versions = append(versions, v.Version)
	}
	if len(versions) == 0 {
		next()
		return
	}
	version := versions[o.Engine.Rand.IntN(len(versions))]
	o.Write(func(ctx context.Context, at rpc.Caller, rid string) error {
		r := &msg.JobRevertRequest{JobID: job, Version: version}
		r.RequestID = rid
		_, err := msg.JobRevert.Call(ctx, at, r)
		return err
	}, func(error) { next() })
}
