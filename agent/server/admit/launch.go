package admit

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/launch"
)

// idLength is how much of a random id tells dispatches of one second apart.
const idLength = 8

// jobDispatch launches a parameterized job. Whether the job allows it, and whether the
// token has a child, is decided with the launch: what was read here may be old by then.
func (d *Desk) jobDispatch(ctx context.Context, r *msg.JobDispatchRequest) (*msg.JobLaunchResponse, error) {
	if err := d.mayLaunch(); err != nil {
		return nil, err
	}
	if err := checkPriority(r.Priority); err != nil {
		return nil, err
	}
	switch {
	case len(r.Payload) > launch.MaxPayloadBytes: // before it is in the log
		return nil, model.Errorf(model.CodeInvalid, "the payload has %d bytes; at most %d are allowed", len(r.Payload), launch.MaxPayloadBytes)
	case len(r.Token) > launch.MaxTokenBytes:
		return nil, model.Errorf(model.CodeInvalid, "the idempotency token has %d bytes; at most %d are allowed", len(r.Token), launch.MaxTokenBytes)
	case r.IDPrefix != "" && !model.PlainName(r.IDPrefix, launch.MaxPrefixBytes, "-_."):
		return nil, model.Errorf(model.CodeInvalid, "the id prefix %q is not 1 to %d letters, digits, -, _ and .", r.IDPrefix, launch.MaxPrefixBytes)
	}
	id := launch.DispatchID(r.JobID, r.IDPrefix, d.cfg.Now().Unix(), d.cfg.NewID()[:idLength])
	return d.launched(d.propose(ctx, r.RequestID, &fsm.DispatchJob{
		Namespace: r.RequestNamespace(), ParentID: r.JobID, ID: id, Payload: r.Payload, Meta: r.Meta, Token: r.Token, Priority: r.Priority,
		Eval: d.launchEval(r.RequestNamespace(), id, model.TriggerJobRegister),
	}))
}

// jobForce launches a periodic job now.
func (d *Desk) jobForce(ctx context.Context, r *msg.JobForceRequest) (*msg.JobLaunchResponse, error) {
	if err := d.mayLaunch(); err != nil {
		return nil, err
	}
	id := launch.PeriodicID(r.JobID, d.cfg.Now().Unix())
	return d.launched(d.propose(ctx, r.RequestID, &fsm.LaunchJob{
		Namespace: r.RequestNamespace(), ParentID: r.JobID, ID: id,
		Eval: d.launchEval(r.RequestNamespace(), id, model.TriggerPeriodicJob),
	}))
}

// mayLaunch tells why nothing may be launched.
func (d *Desk) mayLaunch() error {
	snap := d.cfg.Store.Snapshot()
	if snap.SchedulerConfig().RejectJobRegistration {
		return errRegistration
	}
	return fsm.Gate(feature.Launches, snap.FeatureLevel())
}

// launchEval is the evaluation of a child to be; what it takes from the child is filled
// in with the launch.
func (d *Desk) launchEval(namespace, id, trigger string) *model.Evaluation {
	now := d.cfg.Now().UnixNano()
	return &model.Evaluation{
		ID: ident.From("launch", namespace, id, d.cfg.NewID()), TriggeredBy: trigger, Status: model.EvalPending, CreateTime: now, ModifyTime: now,
	}
}

func (d *Desk) launched(out fsm.Outcome, err error) (*msg.JobLaunchResponse, error) {
	if err != nil {
		return nil, err
	}
	resp := &msg.JobLaunchResponse{WriteMeta: msg.WriteMeta{Index: out.Index}}
	if r, ok := out.Value.(*fsm.Launched); ok {
		resp.JobID, resp.JobCreateIndex, resp.EvalID, resp.EvalCreateIndex = r.JobID, r.JobCreateIndex, r.EvalID, r.EvalCreateIndex
	}
	return resp, nil
}

// checkLaunches refuses what can never be launched.
func (d *Desk) checkLaunches(job *model.Job, level feature.Level) error {
	if job.ParentID != "" || job.Dispatched || len(job.Payload) > 0 || job.DispatchIdempotencyToken != "" {
		return model.Errorf(model.CodeInvalid, "job %q is a child of %q: children come from dispatches and launches, and cannot be registered", job.ID, job.ParentID)
	}
	if !launch.IsTemplate(job) {
		return nil
	}
	if err := fsm.Gate(feature.Launches, level); err != nil {
		return err
	}
	if job.Periodic == nil {
		return nil
	}
	schedule, err := cron.Of(job.Periodic)
	if err == nil && schedule.Next(d.cfg.Now()).IsZero() { // such as one with a year
		return model.Errorf(model.CodeInvalid, "job %q is never launched: its cron expression does not come true any more", job.ID)
	}
	return err
}
