package fsm

import (
	"strconv"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/stateful"
)

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// RevertJob makes an older version of a job its newest again, at once: what is being
// deployed is over, and there is no canary phase. A job that is stopped runs again.
//
// Fails with not_found when there is no such job, with invalid when the version is not
// kept, is the present one or asks for the same, and with conflict when IfVersion is not
// the present one. Value: *JobResult.
type RevertJob struct {
	Namespace    string
	ID           string
	Version      uint64
	EnforcePrior bool
	IfVersion    uint64 // with EnforcePrior
	DeploymentID string // of the deployment to be
	Eval         *model.Evaluation
}

// Kind is KindRevertJob.
func (*RevertJob) Kind() Kind { return KindRevertJob }

func (c *RevertJob) apply(x *tx) (result, error) {
	now := x.Job(c.Namespace, c.ID)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "job not found")
	}
	if c.EnforcePrior && now.Version != c.IfVersion {
		return nil, model.Errorf(model.CodeConflict, "job %q is at version %d, not %d", c.ID, now.Version, c.IfVersion)
	}
	to := x.JobVersion(c.Namespace, c.ID, c.Version)
	if err := deploy.CheckRevert(now, to, c.Version); err != nil {
		return nil, err
	}
	if err := launch.CheckUpdate(now, to); err != nil {
		return nil, err
	}
	same, err := sameSpec(now, to)
	if err != nil {
		return nil, err
	}
	if same {
		return nil, model.Errorf(model.CodeInvalid, "version %d of job %q asks for the same as its present version %d: there is nothing to revert", c.Version, c.ID, now.Version)
	}
	if err := x.admit(to, now); err != nil {
		return nil, err
	}
	return x.jobResult(x.goBack(now, to, c.DeploymentID), c.Eval)
}

// goBack writes an older version of a job as its newest, with the deployment that
// brings it: one without a canary phase, because what it goes back to is known.
func (x *tx) goBack(now, to *model.Job, deployment string) *model.Job {
	next := *to
	next.Stop, next.SubmitTime = false, x.time
	x.putJob(&next, now)
	x.copySubmission(&next, to)
	d := deploy.New(deployment, &next, x.now(), func(*model.TaskGroup) bool { return false })
	d = stateful.Narrow(d, &next, x.AllocsByJob(next.Namespace, next.ID))
	if d != nil {
		d.CreateIndex = x.index
		x.putDeployment(d)
	}
	return &next
}

// changeVersion changes what the servers say of a version of a job.
func (x *tx) changeVersion(v *model.Job, change func(*model.Job)) {
	next := *v
	change(&next)
	next.ModifyIndex = x.index
	x.PutVersion(&next)
	if now := x.Job(v.Namespace, v.ID); now != nil && now.Version == v.Version {
		own := *now
		change(&own)
		own.ModifyIndex = x.index
		x.Put(&own)
	}
}

// TagVersion gives a version of a job a name under which it is kept, or with Remove
// takes the name away. Fails with not_found, with invalid when the name is none, and
// with conflict when another version has it, or too many have one. No value.
type TagVersion struct {
	Namespace   string
	ID          string
	Version     uint64
	Name        string
	Description string
	Remove      bool // Version means nothing
}

// Kind is KindTagVersion.
func (*TagVersion) Kind() Kind { return KindTagVersion }

func (c *TagVersion) apply(x *tx) (result, error) {
	job := x.Job(c.Namespace, c.ID)
	if job == nil {
		return nil, model.Errorf(model.CodeNotFound, "job not found")
	}
	tags := deploy.TagsOf(x.JobVersions(c.Namespace, c.ID), c.Name, c.Version)
	if c.Remove {
		if tags.Named == nil {
			return nil, model.Errorf(model.CodeNotFound, "job %q has no version with the tag %q", c.ID, c.Name)
		}
		x.changeVersion(tags.Named, func(j *model.Job) { j.VersionTag = nil })
		x.dropOldVersions(job)
		return nil, nil
	}
	tag := &model.JobVersionTag{Name: c.Name, Description: c.Description, TaggedTime: x.time}
	if err := tags.Check(job, c.Version, tag); err != nil {
		return nil, err
	}
	x.changeVersion(tags.Wanted, func(j *model.Job) { j.VersionTag = tag })
	return nil, nil
}
