package fsm

import (
	"slices"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/scaling"
)

// MaxScalingEvents is how many scaling actions are kept of a group: what a
// scaler looks back on, while one that acts every few seconds does not fill
// memory.
const MaxScalingEvents = 20

// ScaleJob changes the count of one group (a new version when it differs) and
// records the action; with EventOnly it records only. Event brings message,
// error flag and meta data of the record, nil none at all; apply fills in the
// rest. Fails with not_found (job), invalid (group, or a count outside the
// group's scaling bounds) and conflict: when the quota has no room, or with
// EnforceIndex. Value: *JobResult.
type ScaleJob struct {
	Namespace      string
	ID             string
	Group          string
	Count          int
	EventOnly      bool // Count means nothing
	EnforceIndex   bool
	JobModifyIndex uint64
	Eval           *model.Evaluation // nil: none
	Event          *scaling.Event
}

// Kind is KindScaleJob.
func (*ScaleJob) Kind() Kind { return KindScaleJob }

func (c *ScaleJob) apply(x *tx) (result, error) {
	now := x.Job(c.Namespace, c.ID)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "job %q not found", c.ID)
	}
	if c.EnforceIndex {
		if err := enforceIndex(now, c.JobModifyIndex); err != nil {
			return nil, err
		}
	}
	at := slices.IndexFunc(now.TaskGroups, func(g *model.TaskGroup) bool { return g.Name == c.Group })
	if at < 0 {
		return nil, model.Errorf(model.CodeInvalid, "task group %q specified for scaling does not exist in job", c.Group)
	}
	next, eval := now, c.Eval
	if c.EventOnly {
		eval = nil
	} else {
		if err := scaling.CheckCount(now.TaskGroups[at], c.Count); err != nil {
			return nil, err
		}
		var err error
		if next, err = x.scale(now, at, c.Count); err != nil {
			return nil, err
		}
	}
	out, err := x.jobResult(next, eval)
	if err == nil && c.Event != nil {
		x.putScalingEvent(c, next, int64(now.TaskGroups[at].Count), eval)
	}
	return out, err
}

// scale writes the version of a job in which the group at that place has the
// count, unless it has it already; its quota may refuse that.
func (x *tx) scale(now *model.Job, at, count int) (*model.Job, error) {
	if now.TaskGroups[at].Count == count {
		return now, x.afford(now, now)
	}
	group := *now.TaskGroups[at]
	group.Count = count
	next := *now
	next.TaskGroups = slices.Clone(now.TaskGroups)
	next.TaskGroups[at] = &group
	if err := x.afford(&next, now); err != nil {
		return nil, err
	}
	next.SubmitTime = x.time
	x.putJob(&next, now)
	x.copySubmission(&next, now)
	return &next, nil
}

// putScalingEvent records an action. What is kept of groups that the job no
// longer has goes.
func (x *tx) putScalingEvent(c *ScaleJob, job *model.Job, previous int64, eval *model.Evaluation) {
	event := *c.Event
	event.Count, event.EvalID = nil, nil
	event.PreviousCount, event.Time, event.CreateIndex = previous, uint64(x.time), x.index
	if !c.EventOnly {
		count := int64(c.Count)
		event.Count = &count
	}
	if eval != nil {
		id := eval.ID
		event.EvalID = &id
	}
	next := &state.ScalingEvents{
		Namespace: job.Namespace, JobID: job.ID, Groups: make(map[string][]*scaling.Event), ModifyIndex: x.index,
	}
	if last := x.ScalingEvents(job.Namespace, job.ID); last != nil {
		for _, g := range job.TaskGroups {
			if events := last.Groups[g.Name]; len(events) > 0 {
				next.Groups[g.Name] = events
			}
		}
	}
	events := append([]*scaling.Event{&event}, next.Groups[c.Group]...)
	next.Groups[c.Group] = events[:min(len(events), MaxScalingEvents)]
	x.Put(next)
}
