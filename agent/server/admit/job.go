package admit

import (
	"context"
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/model/rules"
)

var errRegistration = model.Errorf(model.CodeDenied, "job registration, dispatch, and scale are disabled by the scheduler configuration")

// JobRegister creates or updates a job: the handler, and what a forecast begins with.
func (d *Desk) JobRegister(ctx context.Context, r *msg.JobRegisterRequest) (*msg.JobRegisterResponse, error) {
	if r.Job == nil {
		return nil, model.Errorf(model.CodeInvalid, "missing job for registration")
	}
	snap := d.cfg.Store.Snapshot()
	if snap.SchedulerConfig().RejectJobRegistration {
		return nil, errRegistration
	}
	if err := checkPriority(r.EvalPriority); err != nil {
		return nil, err
	}
	job := r.Job.Copy()
	if err := d.checkJob(snap, job); err != nil {
		return nil, err
	}
	if r.PreserveCounts {
		preserveCounts(job, snap.Job(job.Namespace, job.ID))
	}
	clearServerFields(job)
	job.SubmitTime = d.cfg.Now().UnixNano()
	out, err := d.propose(ctx, r.RequestID, &fsm.RegisterJob{
		Job: job, EnforceIndex: r.EnforceIndex, JobModifyIndex: r.JobModifyIndex,
		Eval: d.eval(job, model.TriggerJobRegister, r.EvalPriority, r.RequestID), Submission: r.Submission,
	})
	if err != nil {
		return nil, err
	}
	resp := registered(out)
	resp.Warnings = warningsText(jobWarnings(job, oversubscribes(snap, job)))
	return resp, nil
}

// registered is the answer to a write of a job.
func registered(out fsm.Outcome) *msg.JobRegisterResponse {
	resp := &msg.JobRegisterResponse{WriteMeta: msg.WriteMeta{Index: out.Index}}
	if r, ok := out.Value.(*fsm.JobResult); ok {
		resp.EvalID, resp.EvalCreateIndex, resp.JobModifyIndex = r.EvalID, r.EvalCreateIndex, r.JobModifyIndex
	}
	return resp
}

// checkJob makes a job canonical and finds what must be refused.
func (d *Desk) checkJob(snap *state.Snapshot, job *model.Job) error {
	// A job that names no region has the default one, whatever this one is called.
	if job.Region == "" || job.Region == model.DefaultRegion {
		job.Region = d.cfg.Region
	}
	defaultPool(snap, job)
	job.Canonicalize()
	if job.Region != d.cfg.Region {
		return model.Errorf(model.CodeInvalid, "No path to region: the job is for region %q, and this is %q: ask for that region (?region=, -region), or change the job's", job.Region, d.cfg.Region)
	}
	if err := model.ProblemsError(rules.Problems(job)); err != nil {
		return err
	}
	if err := d.checkLaunches(job, snap.FeatureLevel()); err != nil {
		return err
	}
	if err := fsm.Gate(fsm.Needs(&fsm.RegisterJob{Job: job}), snap.FeatureLevel()); err != nil {
		return err
	}
	if err := precedence.Misfits(job, snap.Job); err != nil {
		return err
	}
	return checkPlace(snap, job)
}

func checkPriority(p int) error {
	if p != 0 && (p < model.MinPriority || p > model.MaxPriority) {
		return model.Errorf(model.CodeInvalid, "eval priority must be between %d and %d, got %d",
			model.MinPriority, model.MaxPriority, p)
	}
	return nil
}

// clearServerFields forgets what only the servers say of a job; clients send
// back what they once read.
func clearServerFields(job *model.Job) {
	job.Stop = false
	job.Status, job.StatusDescription, job.Stable = "", "", false
	job.Version, job.VersionTag = 0, nil
	job.CreateIndex, job.ModifyIndex, job.JobModifyIndex = 0, 0, 0
	job.NomadTokenID = ""
}

// preserveCounts gives groups the count they have now.
func preserveCounts(job, now *model.Job) {
	if now == nil {
		return
	}
	counts := make(map[string]int, len(now.TaskGroups))
	for _, g := range now.TaskGroups {
		counts[g.Name] = g.Count
	}
	for _, g := range job.TaskGroups {
		if n, ok := counts[g.Name]; ok {
			g.Count = n
		}
	}
}

// jobWarnings are what is accepted but may not be what was meant.
func jobWarnings(job *model.Job, oversubscribe bool) []string {
	var list []string
	for _, g := range job.TaskGroups {
		for _, t := range g.Tasks {
			if t.Resources != nil && t.Resources.MemoryMaxMB > 0 && !oversubscribe {
				list = append(list, fmt.Sprintf(
					"memory_max of task %q in group %q has no effect: memory oversubscription is not enabled", t.Name, g.Name))
			}
		}
	}
	return list
}

// warningsText is the one text of an answer.
func warningsText(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return "1 warning:\n\n* " + list[0]
	}
	return fmt.Sprintf("%d warnings:\n\n* %s", len(list), strings.Join(list, "\n* "))
}

// jobDeregister stops a job, or forgets it.
func (d *Desk) jobDeregister(ctx context.Context, r *msg.JobDeregisterRequest) (*msg.JobRegisterResponse, error) {
	if err := checkPriority(r.EvalPriority); err != nil {
		return nil, err
	}
	snap := d.cfg.Store.Snapshot()
	ns := r.RequestNamespace()
	job := snap.Job(ns, r.JobID)
	if job == nil && wasDone(snap, r.RequestID) {
		job = &model.Job{Namespace: ns, ID: r.JobID} // the first time removed it: its outcome is repeated
	}
	if job == nil {
		return nil, model.Errorf(model.CodeNotFound, "job not found")
	}
	var before []fsm.Body
	if r.NoShutdownDelay {
		yes := true
		var list []fsm.AllocTransition
		for a := range snap.AllocsByJob(ns, r.JobID) {
			if !a.Terminal() {
				list = append(list, fsm.AllocTransition{ID: a.ID, Transition: model.DesiredTransition{NoShutdownDelay: &yes}})
			}
		}
		if len(list) > 0 {
			before = append(before, &fsm.TransitionAllocs{Transitions: list})
		}
	}
	out, err := d.propose(ctx, r.RequestID, &fsm.DeregisterJob{
		Namespace: ns, ID: r.JobID, Purge: r.Purge, Eval: d.eval(job, model.TriggerJobDeregister, r.EvalPriority, r.RequestID),
	}, before...)
	if err != nil {
		return nil, err
	}
	resp := registered(out)
	resp.Warnings = warningsText(dependentsOf(snap, job))
	return resp, nil
}

// maxDependents bounds the groups that a warning names.
const maxDependents = 10

// dependentsOf warns of groups of other jobs that depend on one that is stopped.
func dependentsOf(snap *state.Snapshot, job *model.Job) []string {
	list := precedence.Dependents(job, snap.Jobs(state.Range{}), maxDependents)
	if len(list) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("other jobs depend on %q, and go on without it; what of them is started anew waits for it: %s", job.ID, strings.Join(list, ", "))}
}

// jobEvaluate has a job looked at again; with ForceReschedule its failed
// instances are replaced now, whatever their policy says.
func (d *Desk) jobEvaluate(ctx context.Context, r *msg.JobEvaluateRequest) (*msg.JobRegisterResponse, error) {
	snap := d.cfg.Store.Snapshot()
	ns := r.RequestNamespace()
	job := snap.Job(ns, r.JobID)
	if job == nil {
		return nil, model.Errorf(model.CodeNotFound, "job not found")
	}
	if job.Periodic != nil {
		return nil, model.Errorf(model.CodeInvalid, "can't evaluate periodic job")
	}
	if job.ParameterizedJob != nil && !job.Dispatched {
		return nil, model.Errorf(model.CodeInvalid, "can't evaluate parameterized job")
	}
	eval := d.eval(job, model.TriggerJobRegister, 0, r.RequestID)
	var list []fsm.AllocTransition
	if r.ForceReschedule {
		yes := true
		for a := range snap.AllocsByJob(ns, r.JobID) {
			if a.ClientStatus == model.ClientFailed && a.DesiredStatus == model.DesiredRun && a.NextAllocation == "" {
				list = append(list, fsm.AllocTransition{ID: a.ID, Transition: model.DesiredTransition{ForceReschedule: &yes}})
			}
		}
	}
	out, err := d.propose(ctx, r.RequestID, &fsm.TransitionAllocs{Transitions: list, Evals: []*model.Evaluation{eval}})
	if err != nil {
		return nil, err
	}
	return &msg.JobRegisterResponse{
		WriteMeta: msg.WriteMeta{Index: out.Index}, EvalID: eval.ID, EvalCreateIndex: out.Index,
		JobModifyIndex: job.JobModifyIndex,
	}, nil
}

// allocStop stops an allocation and has another one placed.
func (d *Desk) allocStop(ctx context.Context, r *msg.AllocStopRequest) (*msg.EvalIDResponse, error) {
	snap := d.cfg.Store.Snapshot()
	a := snap.Alloc(r.AllocID)
	if a == nil {
		return nil, model.Errorf(model.CodeNotFound, "alloc not found")
	}
	job := snap.Job(a.Namespace, a.JobID)
	if job == nil {
		job = a.Job
	}
	yes := true
	transition := model.DesiredTransition{Migrate: &yes}
	if r.NoShutdownDelay {
		transition.NoShutdownDelay = &yes
	}
	eval := d.eval(job, model.TriggerAllocStop, 0, r.RequestID)
	out, err := d.propose(ctx, r.RequestID, &fsm.TransitionAllocs{
		Transitions: []fsm.AllocTransition{{ID: a.ID, Transition: transition}}, Evals: []*model.Evaluation{eval},
	})
	if err != nil {
		return nil, err
	}
	return &msg.EvalIDResponse{WriteMeta: msg.WriteMeta{Index: out.Index}, EvalID: eval.ID}, nil
}
