package fsm

import (
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// DeploymentResult is what became of a deployment.
type DeploymentResult struct {
	ModifyIndex     uint64
	EvalID          string // "" when nothing is to be looked at
	EvalCreateIndex uint64
	// Reverted tells that the job went back to version RevertedTo, as a new version.
	Reverted   bool
	RevertedTo uint64
}

// DeploymentStatus pauses a deployment, has it go on, or ends it: successful, failed
// or cancelled, with everything that follows. A successful one makes its version of the
// job stable. A failed one of which a group has auto_revert takes the job back to its
// newest stable version, if that asks for something else: as a new version with the
// deployment RevertID, which has no canary phase.
//
// With IfIndex it is a decision on the deployment as it was then. Fails with not_found,
// with conflict when IfIndex is not its ModifyIndex any more, and with invalid when it
// has ended or is what it is to be. Value: *DeploymentResult.
type DeploymentStatus struct {
	ID          string
	Status      string
	Description string // "" for what deployments say of themselves
	IfIndex     uint64
	RevertID    string
	Eval        *model.Evaluation // nil: none
}

// Kind is KindDeploymentStatus.
func (*DeploymentStatus) Kind() Kind { return KindDeploymentStatus }

func (c *DeploymentStatus) apply(x *tx) (result, error) {
	now, err := x.active(c.ID)
	if err != nil {
		return nil, err
	}
	if c.IfIndex != 0 && now.ModifyIndex != c.IfIndex {
		return nil, model.Errorf(model.CodeConflict, "deployment %s has changed", c.ID)
	}
	if now.Status == c.Status {
		return nil, model.Errorf(model.CodeInvalid, "deployment %s is %s already", c.ID, c.Status)
	}
	next := deploy.Copy(now)
	next.Status, next.StatusDescription = c.Status, c.Description
	out, eval := &DeploymentResult{ModifyIndex: x.index}, c.Eval
	switch c.Status {
	case model.DeploymentPaused:
		next.StatusDescription, eval = deploy.Describe(next), nil
	case model.DeploymentRunning:
		next.StatusDescription = deploy.Describe(next)
		for _, s := range next.TaskGroups {
			deploy.Progressed(s, x.now())
		}
	case model.DeploymentSuccessful:
		x.settled(next)
	case model.DeploymentFailed:
		stable := x.wayBack(next, c.RevertID)
		x.putDeployment(next)
		if stable != nil {
			x.goBack(x.Job(next.Namespace, next.JobID), stable, c.RevertID)
			out.Reverted, out.RevertedTo = true, stable.Version
		}
		return out, x.follow(next, eval, out)
	case model.DeploymentCancelled:
	default:
		return nil, model.Errorf(model.CodeInvalid, "%q is not a status of deployments", c.Status)
	}
	x.putDeployment(next)
	return out, x.follow(next, eval, out)
}

func (x *tx) now() time.Time { return time.Unix(0, x.time).UTC() }

// active is a deployment that has not ended.
func (x *tx) active(id string) (*model.Deployment, error) {
	d := x.Deployment(id)
	switch {
	case d == nil:
		return nil, model.Errorf(model.CodeNotFound, "deployment not found")
	case !deploy.Active(d):
		return nil, model.Errorf(model.CodeInvalid, "deployment %s has ended: it is %s", id, d.Status)
	}
	return d, nil
}

func (x *tx) putDeployment(d *model.Deployment) {
	d.ModifyIndex, d.ModifyTime = x.index, x.time
	x.Put(d)
}

// deployed is the deployment of a job's present version; nil for none.
func (x *tx) deployed(job *model.Job) *model.Deployment {
	for d := range x.DeploymentsByJob(job.Namespace, job.ID) {
		if deploy.Of(d, job) {
			return d
		}
	}
	return nil
}

// follow writes the evaluation that a change of a deployment calls for, of the job as
// it is now.
func (x *tx) follow(d *model.Deployment, eval *model.Evaluation, out *DeploymentResult) error {
	job := x.Job(d.Namespace, d.JobID)
	if eval == nil || job == nil {
		return nil
	}
	eval.Namespace, eval.JobID, eval.Type, eval.Priority, eval.JobModifyIndex = job.Namespace, job.ID, job.Type, job.Priority, job.JobModifyIndex
	eval.DeploymentID = d.ID
	if err := x.putEvals([]*model.Evaluation{eval}, nil); err != nil {
		return err
	}
	out.EvalID, out.EvalCreateIndex = eval.ID, eval.CreateIndex
	return nil
}

// settled marks the version that a deployment brought as one to go back to.
func (x *tx) settled(d *model.Deployment) {
	if v := x.JobVersion(d.Namespace, d.JobID, d.JobVersion); v != nil && v.CreateIndex == d.JobCreateIndex {
		x.changeVersion(v, func(j *model.Job) { j.Stable = true })
	}
}

// wayBack is the version that a job goes back to because its deployment has failed; nil
// for none. The deployment says which, or why none.
func (x *tx) wayBack(d *model.Deployment, revertID string) *model.Job {
	wanted := slices.ContainsFunc(deploy.Groups(d), func(g string) bool { return d.TaskGroups[g].AutoRevert })
	job := x.Job(d.Namespace, d.JobID)
	if !wanted || revertID == "" || !deploy.Of(d, job) || job.Stop {
		return nil
	}
	stable := x.stableBefore(job)
	if stable == nil {
		d.StatusDescription += ": there is no stable version to go back to"
		return nil
	}
	if same, err := sameSpec(stable, job); err != nil || same {
		d.StatusDescription += ": the newest stable version asks for the same, so there is nothing to go back to"
		return nil
	}
	if err := x.admit(stable, job); err != nil {
		d.StatusDescription += ": the job does not go back to version " + number(stable.Version) + ": " + err.Error()
		return nil
	}
	d.StatusDescription += ": the job goes back to version " + number(stable.Version)
	return stable
}

// stableBefore is the newest stable version that is older than a job's present one.
func (x *tx) stableBefore(job *model.Job) *model.Job {
	for v := range x.JobVersions(job.Namespace, job.ID) {
		if v.Stable && v.Version < job.Version && !v.Stop {
			return v
		}
	}
	return nil
}

// supersede ends what is being deployed of a job that has a new version.
func (x *tx) supersede(job *model.Job) {
	description := deploy.DescNewer
	if job.Stop {
		description = deploy.DescStopped
	}
	for _, d := range slices.Collect(x.DeploymentsByJob(job.Namespace, job.ID)) {
		if deploy.Active(d) {
			next := deploy.Copy(d)
			next.Status, next.StatusDescription = model.DeploymentCancelled, description
			x.putDeployment(next)
		}
	}
}

// PromoteDeployment lets groups that wait with their canaries go on: all of them, or
// those that are named. Each must have its canaries, and they must be healthy. Fails
// with not_found, and invalid. Value: *DeploymentResult.
type PromoteDeployment struct {
	ID     string
	Groups []string          // nil: all that wait
	Eval   *model.Evaluation // nil: none
}

// Kind is KindPromoteDeployment.
func (*PromoteDeployment) Kind() Kind { return KindPromoteDeployment }

func (c *PromoteDeployment) apply(x *tx) (result, error) {
	now, err := x.active(c.ID)
	if err != nil {
		return nil, err
	}
	groups := c.Groups
	if len(groups) == 0 {
		groups = deploy.Waiting(now)
	}
	if len(groups) == 0 {
		return nil, model.Errorf(model.CodeInvalid, "deployment %s has no canaries to promote", c.ID)
	}
	next := deploy.Copy(now)
	for _, name := range groups {
		s := next.TaskGroups[name]
		if s == nil || !deploy.Waits(s) {
			return nil, model.Errorf(model.CodeInvalid, "group %q of deployment %s has no canaries to promote", name, c.ID)
		}
		if n := deploy.HealthyCanaries(s, x.Alloc); n < s.DesiredCanaries {
			return nil, model.Errorf(model.CodeInvalid, "group %q of deployment %s cannot be promoted: %d of %d canaries are healthy", name, c.ID, n, s.DesiredCanaries)
		}
		s.Promoted = true
		deploy.Progressed(s, x.now())
		x.promote(s)
	}
	next.StatusDescription, next.HealthIndex = deploy.Describe(next), x.index
	x.putDeployment(next)
	out := &DeploymentResult{ModifyIndex: x.index}
	return out, x.follow(next, c.Eval, out)
}

// promote makes the canaries of a group instances as all others.
func (x *tx) promote(s *model.DeploymentState) {
	for _, id := range s.PlacedCanaries {
		a := x.Alloc(id)
		if a == nil || !deploy.Canary(a) {
			continue
		}
		next, status := *a, *a.DeploymentStatus
		status.Canary, status.ModifyIndex = false, x.index
		next.DeploymentStatus = &status
		next.ModifyIndex, next.ModifyTime = x.index, x.time
		x.Put(&next)
	}
}

// AllocHealth is an operator's word on the health of a deployment's allocations, which
// counts more than their node's. Fails with not_found and invalid. Value:
// *DeploymentResult.
type AllocHealth struct {
	ID        string // the deployment's
	Healthy   []string
	Unhealthy []string
	Eval      *model.Evaluation // nil: none
}

// Kind is KindAllocHealth.
func (*AllocHealth) Kind() Kind { return KindAllocHealth }

func (c *AllocHealth) apply(x *tx) (result, error) {
	d, err := x.active(c.ID)
	if err != nil {
		return nil, err
	}
	if len(c.Healthy)+len(c.Unhealthy) == 0 {
		return nil, model.Errorf(model.CodeInvalid, "name at least one healthy or unhealthy allocation")
	}
	tally := &tally{tx: x}
	for i, id := range slices.Concat(c.Healthy, c.Unhealthy) {
		a := x.Alloc(id)
		switch {
		case a == nil || a.DeploymentID != c.ID:
			return nil, model.Errorf(model.CodeInvalid, "allocation %s is not one of deployment %s", id, c.ID)
		case a.Terminal():
			return nil, model.Errorf(model.CodeInvalid, "allocation %s has ended", id)
		}
		next := *a
		next.DeploymentStatus = deploy.Verdict(a, i < len(c.Healthy), x.now(), x.index)
		next.ModifyIndex, next.ModifyTime = x.index, x.time
		x.Put(&next)
		tally.count(a, &next)
	}
	tally.put()
	out := &DeploymentResult{ModifyIndex: x.index}
	return out, x.follow(d, c.Eval, out)
}

// tally carries changes of allocations over to the counts of their deployments. It
// gathers, so that a command writes a deployment once.
type tally struct {
	*tx
	rows []*model.Deployment
}

// row is a deployment that is still counted; nil for none.
func (t *tally) row(id string) *model.Deployment {
	for _, d := range t.rows {
		if d.ID == id {
			return d
		}
	}
	d := t.Deployment(id)
	if !deploy.Active(d) {
		return nil
	}
	d = deploy.Copy(d)
	t.rows = append(t.rows, d)
	return d
}

// count counts a change of an allocation; before is nil for one that is placed.
func (t *tally) count(before, after *model.Allocation) {
	if !deploy.Counts(before, after) {
		return
	}
	if d := t.row(after.DeploymentID); d != nil {
		deploy.Count(d, before, after, t.now(), t.index)
	}
}

// put writes what was counted.
func (t *tally) put() {
	slices.SortFunc(t.rows, func(a, b *model.Deployment) int { return strings.Compare(a.ID, b.ID) })
	for _, d := range t.rows {
		t.putDeployment(d)
	}
}
