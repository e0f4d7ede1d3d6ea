package fsm

import (
	"reflect"
	"time"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
)

// DispatchJob launches a parameterized job: a child with payload and meta, and the
// evaluation that starts it. With a Token of which the job has a child, that one is
// the answer, and nothing is launched. Value: *Launched.
//
// Fails with not_found, with invalid when the job does not allow such a dispatch or its
// namespace such a job, and with conflict when there is a job of the child's id, or no
// room in the quota.
type DispatchJob struct {
	Namespace string
	ParentID  string
	ID        string // the child's
	Payload   []byte
	Meta      map[string]string
	Token     string
	Priority  int               // 0: the parent's
	Eval      *model.Evaluation // apply fills in the child
}

// Launched tells what became of a launch.
type Launched struct {
	JobID           string // the child's
	JobCreateIndex  uint64
	EvalID          string // "" when nothing was launched
	EvalCreateIndex uint64
	// Existed: the child was there. Skipped: there is none, because another one is
	// alive, or its namespace does not admit it.
	Existed bool
	Skipped bool
}

// Kind is KindDispatchJob.
func (*DispatchJob) Kind() Kind { return KindDispatchJob }

func (c *DispatchJob) apply(x *tx) (result, error) {
	parent, err := x.template(c.Namespace, c.ParentID)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		if child := x.JobByToken(c.Namespace, c.ParentID, c.Token); child != nil {
			return &Launched{JobID: child.ID, JobCreateIndex: child.CreateIndex, Existed: true}, nil
		}
	}
	if err := launch.Check(parent, c.Payload, c.Meta); err != nil {
		return nil, err
	}
	if x.Job(c.Namespace, c.ID) != nil {
		return nil, model.Errorf(model.CodeConflict, "job %q exists: dispatch again", c.ID)
	}
	child := launch.Dispatched(parent, c.ID, c.Payload, c.Meta)
	child.DispatchIdempotencyToken = c.Token
	if c.Priority != 0 {
		child.Priority = c.Priority
	}
	return x.launch(child, c.Eval)
}

// LaunchJob launches a periodic job: for a Slot of the schedule that is in force, or
// without one because an operator wants it. Value: *Launched.
//
// A slot is decided on once: one that is not newer than the last one, or that comes
// from another schedule than that in force, fails with conflict. With prohibit_overlap
// it is skipped while a child is alive, and it is when the namespace or its quota do
// not admit the child. An operator's launch counts for no slot, and
// does not ask who is alive; in a second that has a child already it fails with
// conflict. Fails with not_found, and with invalid when the job is not periodic, is
// stopped, or the slot lies in the future.
type LaunchJob struct {
	Namespace string
	ParentID  string
	ID        string            // the child's
	Schedule  uint64            // which the slot is of; 0: no slot
	Slot      int64             // unix s
	Eval      *model.Evaluation // apply fills in the child
}

// Kind is KindLaunchJob.
func (*LaunchJob) Kind() Kind { return KindLaunchJob }

func (c *LaunchJob) apply(x *tx) (result, error) {
	parent, err := x.template(c.Namespace, c.ParentID)
	switch {
	case err != nil:
		return nil, err
	case parent.Periodic == nil:
		return nil, model.Errorf(model.CodeInvalid, "job %q is not periodic", c.ParentID)
	case parent.Stop:
		return nil, model.Errorf(model.CodeInvalid, "job %q is stopped", c.ParentID)
	}
	existing := x.Job(c.Namespace, c.ID)
	if c.Schedule == 0 {
		if existing != nil {
			return nil, model.Errorf(model.CodeConflict, "job %q was launched in this second already", c.ParentID)
		}
		return x.launch(launch.Periodic(parent, c.ID), c.Eval)
	}
	skip, err := x.decide(parent, c, existing == nil)
	switch {
	case err != nil:
		return nil, err
	case existing != nil: // an operator was faster
		return &Launched{JobID: existing.ID, JobCreateIndex: existing.CreateIndex, Existed: true}, nil
	case skip:
		return &Launched{JobID: c.ID, Skipped: true}, nil
	}
	return x.launch(launch.Periodic(parent, c.ID), c.Eval)
}

// decide notes that a slot of the schedule is decided on, and how: fresh when there is
// no child for it yet. What its namespace does not admit is skipped.
func (x *tx) decide(parent *model.Job, c *LaunchJob, fresh bool) (skip bool, err error) {
	row := x.Launches(c.Namespace, c.ParentID)
	switch {
	case row == nil || row.Schedule != c.Schedule || !parent.Periodic.Enabled:
		return false, model.Errorf(model.CodeConflict, "the schedule of job %q is another one by now", c.ParentID)
	case c.Slot <= row.Slot:
		return false, model.Errorf(model.CodeConflict, "what job %q does at %d was decided before", c.ParentID, c.Slot)
	case c.Slot > x.time/int64(time.Second):
		return false, model.Errorf(model.CodeInvalid, "job %q is launched at %d, and not before", c.ParentID, c.Slot)
	}
	next := *row
	next.Slot, next.ModifyIndex = c.Slot, x.index
	children := x.JobSummary(c.Namespace, c.ParentID).Children
	why := ""
	if parent.Periodic.ProhibitOverlap && children.Pending+children.Running > 0 {
		why = "a child is alive, and overlap is prohibited"
	} else if fresh {
		if err := x.admit(launch.Periodic(parent, c.ID), nil); err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		next.Skipped++
	}
	x.Put(&next)
	x.describe(parent, why, c.Slot)
	return why != "", nil
}

// describe says with the job when and why its newest slot was skipped.
func (x *tx) describe(parent *model.Job, why string, slot int64) {
	text := ""
	if why != "" {
		text = "not launched at " + time.Unix(slot, 0).UTC().Format(time.RFC3339) + ": " + why
	}
	if parent.StatusDescription == text {
		return
	}
	next := *parent
	next.StatusDescription, next.ModifyIndex = text, x.index
	x.Put(&next)
}

// template returns a job that is to be launched.
func (x *tx) template(namespace, id string) (*model.Job, error) {
	if job := x.Job(namespace, id); job != nil {
		return job, nil
	}
	return nil, model.Errorf(model.CodeNotFound, "job not found")
}

// launch writes a child with its evaluation.
func (x *tx) launch(child *model.Job, eval *model.Evaluation) (result, error) {
	if eval == nil {
		return nil, model.Errorf(model.CodeInvalid, "a launch needs an evaluation")
	}
	if err := x.admit(child, nil); err != nil {
		return nil, err
	}
	x.putJob(child, nil)
	eval.Namespace, eval.JobID, eval.Type, eval.Priority = child.Namespace, child.ID, child.Type, child.Priority
	out, err := x.jobResult(child, eval)
	if err != nil {
		return nil, err
	}
	done := out.(*JobResult)
	return &Launched{JobID: child.ID, JobCreateIndex: child.CreateIndex, EvalID: done.EvalID, EvalCreateIndex: done.EvalCreateIndex}, nil
}

// schedule keeps the row of a periodic job: a schedule that is new, or in force again,
// begins now, and knows nothing of slots before.
func (x *tx) schedule(next, now *model.Job) {
	row := x.Launches(next.Namespace, next.ID)
	if next.Periodic == nil {
		if row != nil {
			x.Delete(row)
		}
		return
	}
	if row != nil && now != nil && inForce(now) && sameSlots(now.Periodic, next.Periodic) {
		return
	}
	x.Put(&state.Launches{
		Namespace: next.Namespace, JobID: next.ID, Schedule: x.index, Slot: x.time / int64(time.Second), ModifyIndex: x.index,
	})
}

// inForce tells whether slots of a job's schedule are launched.
func inForce(j *model.Job) bool { return j.Periodic != nil && j.Periodic.Enabled && !j.Stop }

// sameSlots tells whether two blocks mean the same slots.
func sameSlots(a, b *model.PeriodicConfig) bool {
	return a.Spec == b.Spec && a.TimeZone == b.TimeZone && reflect.DeepEqual(a.Specs, b.Specs)
}
