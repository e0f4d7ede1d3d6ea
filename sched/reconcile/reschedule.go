package reconcile

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deadline"
)

const (
	// MaxRescheduleEvents bounds the history an instance carries when its policy
	// has no limit of attempts: enough to compute the next delay and to avoid the
	// nodes that failed lately.
	MaxRescheduleEvents = 5
	// maxDelay bounds growing delays of policies without max_delay.
	maxDelay = 24 * time.Hour
)

// LastReschedule value of a tracker whose instance could be placed.
const rescheduleOK = "ok"

// policyOf is the reschedule policy of a group, or nil when failed instances
// stay as they are.
func policyOf(job *model.Job, g *model.TaskGroup) *model.ReschedulePolicy {
	if job.Type != model.JobTypeService && job.Type != model.JobTypeBatch {
		return nil
	}
	p := g.ReschedulePolicy
	if p == nil {
		p = job.Reschedule
	}
	if p == nil || !p.Unlimited && (p.Attempts <= 0 || p.Interval <= 0) {
		return nil
	}
	return p
}

// reschedule tells whether and when a failed allocation is replaced.
func (r *run) reschedule(a *model.Allocation, p *model.ReschedulePolicy) (at time.Time, ok bool) {
	if flag(a.DesiredTransition.ForceReschedule) || flag(a.DesiredTransition.Reschedule) {
		return r.in.Now, true
	}
	if p == nil || deadline.Overran(a) { // time is over for the work, wherever it runs
		return time.Time{}, false
	}
	failed := endTime(a)
	if !p.Unlimited && attempts(a.RescheduleTracker, failed.Add(-p.Interval)) >= p.Attempts {
		return time.Time{}, false
	}
	if a.FollowupEvalID != "" && a.FollowupEvalID == r.in.Eval.ID {
		return r.in.Now, true // the evaluation that waited for just this
	}
	return failed.Add(nextDelay(a, p, failed)), true
}

// attempts counts the reschedules after a time.
func attempts(t *model.RescheduleTracker, after time.Time) int {
	n := 0
	if t != nil {
		for _, e := range t.Events {
			if e.RescheduleTime > after.UnixNano() {
				n++
			}
		}
	}
	return n
}

// nextDelay is how long after its failure an allocation is replaced. The delay
// grows from attempt to attempt as the policy says; an instance that ran longer
// than max_delay starts again with the first.
func nextDelay(a *model.Allocation, p *model.ReschedulePolicy, failed time.Time) time.Duration {
	limit := p.MaxDelay
	if limit <= 0 {
		limit = maxDelay
	}
	var events []*model.RescheduleEvent
	if a.RescheduleTracker != nil {
		events = a.RescheduleTracker.Events
	}
	n := len(events)
	delay := p.Delay
	switch {
	case p.DelayFunction != model.DelayExponential && p.DelayFunction != model.DelayFibonacci:
		return delay
	case n == 0 || failed.Sub(time.Unix(0, a.CreateTime)) > limit:
		return min(delay, limit)
	case p.DelayFunction == model.DelayExponential:
		delay = 2 * events[n-1].Delay
	case n > 1:
		delay = events[n-1].Delay + events[n-2].Delay
	}
	return min(max(delay, p.Delay), limit)
}

// endTime is when the last task of an allocation ended.
func endTime(a *model.Allocation) time.Time {
	var end time.Time
	for _, t := range a.TaskStates {
		if t != nil && t.FinishedAt.After(end) {
			end = t.FinishedAt
		}
	}
	if end.IsZero() {
		end = time.Unix(0, a.ModifyTime).UTC()
	}
	return end
}

// track is the history of the instance that replaces a failed one, and the
// nodes that it should avoid.
func (r *run) track(a *model.Allocation, p *model.ReschedulePolicy) (*model.RescheduleTracker, []string) {
	var events []*model.RescheduleEvent
	if a.RescheduleTracker != nil {
		events = a.RescheduleTracker.Events
	}
	keep := MaxRescheduleEvents - 1
	delay := time.Duration(0)
	if p != nil {
		delay = nextDelay(a, p, endTime(a))
		if !p.Unlimited {
			keep = max(keep, p.Attempts)
		}
	}
	events = append([]*model.RescheduleEvent(nil), events[max(0, len(events)-keep):]...)
	events = append(events, &model.RescheduleEvent{
		RescheduleTime: r.in.Now.UnixNano(), PrevAllocID: a.ID, PrevNodeID: a.NodeID, Delay: delay,
	})
	var avoid []string
	for _, e := range events[max(0, len(events)-MaxRescheduleEvents):] {
		avoid = append(avoid, e.PrevNodeID)
	}
	return &model.RescheduleTracker{Events: events, LastReschedule: rescheduleOK}, avoid
}

func flag(b *bool) bool { return b != nil && *b }
