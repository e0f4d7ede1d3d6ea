package fsm

import (
	"slices"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/fsm/state/message"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/launch"
)

// MaxJobVersions is how many versions of a job are kept, the current one
// included: enough to look and go back a few steps, while a job that is
// submitted every minute does not fill memory. A version that is dropped here
// lives on in its allocations.
const MaxJobVersions = 6

// RegisterJob creates a job or a new version of it, with the evaluation that
// puts it into effect and the text it came from. A specification equal to the
// current one makes no new version, only the evaluation. The job must be
// canonical and valid. Value: *JobResult.
//
// Fails with not_found when the namespace does not exist, invalid when the node
// pool does not, the namespace does not admit the job or it would become one of another
// kind (see launch.CheckUpdate), and with conflict when its quota has no room, or when
// EnforceIndex is set and the job's JobModifyIndex is not
// JobModifyIndex (0: the job must not exist).
type RegisterJob struct {
	Job            *model.Job
	EnforceIndex   bool
	JobModifyIndex uint64
	Eval           *model.Evaluation // nil: none
	Submission     *model.JobSubmission
}

// JobResult tells what became of a job.
type JobResult struct {
	JobModifyIndex  uint64
	Version         uint64
	EvalID          string // "" when the command had none
	EvalCreateIndex uint64
}

// Kind is KindRegisterJob.
func (*RegisterJob) Kind() Kind { return KindRegisterJob }

func (c *RegisterJob) apply(x *tx) (result, error) {
	if c.Job == nil || c.Job.ID == "" {
		return nil, model.Errorf(model.CodeInvalid, "a job needs an id")
	}
	if x.Namespace(c.Job.Namespace) == nil {
		return nil, model.Errorf(model.CodeNotFound, "job %q is in nonexistent namespace %q", c.Job.ID, c.Job.Namespace)
	}
	if c.Job.NodePool != "" && x.NodePool(c.Job.NodePool) == nil {
		return nil, model.Errorf(model.CodeInvalid, "job %q is in nonexistent node pool %q", c.Job.ID, c.Job.NodePool)
	}
	now := x.Job(c.Job.Namespace, c.Job.ID)
	if c.EnforceIndex {
		if err := enforceIndex(now, c.JobModifyIndex); err != nil {
			return nil, err
		}
	}
	if now != nil {
		if x.FeatureLevel() >= feature.Launches {
			if err := launch.CheckUpdate(now, c.Job); err != nil {
				return nil, err
			}
		}
		same, err := sameSpec(now, c.Job)
		if err != nil {
			return nil, err
		}
		if same {
			if err := x.admit(now, now); err != nil {
				return nil, err
			}
			return x.jobResult(now, c.Eval)
		}
	}
	if err := x.admit(c.Job, now); err != nil {
		return nil, err
	}
	next := *c.Job
	x.putJob(&next, now)
	if c.Submission != nil {
		x.Put(&state.Submission{Namespace: next.Namespace, JobID: next.ID, Version: next.Version, Index: x.index, Text: c.Submission})
	}
	return x.jobResult(&next, c.Eval)
}

// enforceIndex compares what the submitter knew with what is.
func enforceIndex(now *model.Job, index uint64) error {
	switch {
	case index == 0 && now != nil:
		return model.Errorf(model.CodeConflict, "Enforcing job modify index 0: job already exists")
	case index != 0 && now == nil:
		return model.Errorf(model.CodeConflict, "Enforcing job modify index %d: job does not exist", index)
	case now != nil && now.JobModifyIndex != index:
		return model.Errorf(model.CodeConflict, "Enforcing job modify index %d: job exists with conflicting job modify index: %d", index, now.JobModifyIndex)
	}
	return nil
}

// sameSpec tells whether two jobs ask for the same: they agree in everything
// that the servers do not set.
func sameSpec(a, b *model.Job) (bool, error) {
	x, err := specDigest(a)
	if err != nil {
		return false, err
	}
	y, err := specDigest(b)
	return x == y, err
}

func specDigest(j *model.Job) ([32]byte, error) {
	spec := *j
	spec.NomadTokenID, spec.Status, spec.StatusDescription = "", "", ""
	spec.Stable, spec.Version, spec.SubmitTime, spec.VersionTag = false, 0, 0, nil
	spec.CreateIndex, spec.ModifyIndex, spec.JobModifyIndex = 0, 0, 0
	b, err := spec.MarshalMsg(nil)
	if err != nil {
		return [32]byte{}, model.Errorf(model.CodeInternal, "job %q cannot be compared: %w", j.ID, err)
	}
	return message.Digest(b), nil
}

// putJob writes next as the new version of now (nil: a new job).
func (x *tx) putJob(next, now *model.Job) {
	next.CreateIndex, next.Version = x.index, 0
	if now != nil {
		next.CreateIndex, next.Version = now.CreateIndex, now.Version+1
	} else {
		next.Version = x.firstVersion(next.Namespace, next.ID)
	}
	next.ModifyIndex, next.JobModifyIndex = x.index, x.index
	next.Stable, next.VersionTag = false, nil
	next.Status, next.StatusDescription = model.JobStatusPending, ""
	if next.SubmitTime == 0 {
		next.SubmitTime = x.time
	}
	x.Put(next)
	x.PutVersion(next)
	x.dropOldVersions(next)
	x.schedule(next, now)
	x.supersede(next)
}

// firstVersion is the first version of a new job: 0, unless allocations of an
// earlier, purged job of that name are still there, which must not be taken for
// instances of this one.
func (x *tx) firstVersion(namespace, id string) uint64 {
	version := uint64(0)
	for a := range x.AllocsByJob(namespace, id) {
		version = max(version, a.JobVersion+1)
	}
	return version
}

// dropOldVersions keeps MaxJobVersions versions and their texts. A tagged
// version and the newest stable one are kept beyond that.
func (x *tx) dropOldVersions(job *model.Job) {
	kept, stable := 0, false
	for _, v := range slices.Collect(x.JobVersions(job.Namespace, job.ID)) {
		newestStable := v.Stable && !stable
		stable = stable || v.Stable
		if kept < MaxJobVersions || newestStable || v.VersionTag != nil {
			kept++
			continue
		}
		x.DeleteVersion(v)
		if text := x.Submission(v.Namespace, v.ID, v.Version); text != nil {
			x.Delete(text)
		}
	}
}

// jobResult writes the evaluation of a job's change and answers. A job that only
// launches others has nothing to be evaluated.
func (x *tx) jobResult(job *model.Job, eval *model.Evaluation) (result, error) {
	out := &JobResult{JobModifyIndex: job.JobModifyIndex, Version: job.Version}
	if eval == nil || launch.IsTemplate(job) {
		return out, nil
	}
	eval.JobModifyIndex = job.JobModifyIndex
	if err := x.putEvals([]*model.Evaluation{eval}, nil); err != nil {
		return nil, err
	}
	out.EvalID, out.EvalCreateIndex = eval.ID, eval.CreateIndex
	return out, nil
}

// DeregisterJob stops a job: a new version with Stop set, or with Purge no job
// at all. The evaluation takes its allocations down. Fails with not_found.
// Value: *JobResult.
type DeregisterJob struct {
	Namespace string
	ID        string
	Purge     bool
	Eval      *model.Evaluation // nil: none
}

// Kind is KindDeregisterJob.
func (*DeregisterJob) Kind() Kind { return KindDeregisterJob }

func (c *DeregisterJob) apply(x *tx) (result, error) {
	now := x.Job(c.Namespace, c.ID)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "job not found")
	}
	if c.Purge {
		x.purgeJob(now)
		gone := *now
		gone.JobModifyIndex = x.index
		return x.jobResult(&gone, c.Eval)
	}
	queued := make(map[string]int, len(now.TaskGroups))
	for _, g := range now.TaskGroups {
		queued[g.Name] = 0
	}
	x.SetQueued(c.Namespace, c.ID, queued)
	if now.Stop {
		return x.jobResult(now, c.Eval)
	}
	next := *now
	next.Stop = true
	next.SubmitTime = x.time
	x.putJob(&next, now)
	return x.jobResult(&next, c.Eval)
}

// purgeJob removes a job with its versions, texts, deployments, scaling events and
// what is kept of its launches.
func (x *tx) purgeJob(job *model.Job) {
	for _, v := range slices.Collect(x.JobVersions(job.Namespace, job.ID)) {
		x.DeleteVersion(v)
	}
	for _, text := range slices.Collect(x.Submissions(job.Namespace, job.ID)) {
		x.Delete(text)
	}
	for _, d := range slices.Collect(x.DeploymentsByJob(job.Namespace, job.ID)) {
		x.Delete(d)
	}
	if events := x.ScalingEvents(job.Namespace, job.ID); events != nil {
		x.Delete(events)
	}
	if row := x.Launches(job.Namespace, job.ID); row != nil {
		x.Delete(row)
	}
	x.Delete(job)
}

// copySubmission keeps the text with a version that was derived from the last.
func (x *tx) copySubmission(next, last *model.Job) {
	if text := x.Submission(last.Namespace, last.ID, last.Version); text != nil {
		copied := *text
		copied.Version, copied.Index = next.Version, x.index
		x.Put(&copied)
	}
}

// JobStability marks a version of a job as stable (one to go back to) or not.
// Fails with not_found. No value.
type JobStability struct {
	Namespace string
	ID        string
	Version   uint64
	Stable    bool
}

// Kind is KindJobStability.
func (*JobStability) Kind() Kind { return KindJobStability }

func (c *JobStability) apply(x *tx) (result, error) {
	version := x.JobVersion(c.Namespace, c.ID, c.Version)
	if version == nil {
		return nil, model.Errorf(model.CodeNotFound, "job %q at version %d not found", c.ID, c.Version)
	}
	if version.Stable != c.Stable {
		x.changeVersion(version, func(j *model.Job) { j.Stable = c.Stable })
	}
	return nil, nil
}
