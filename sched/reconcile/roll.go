package reconcile

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

const (
	// minRollWait is the least time between two looks at a roll, so that a short
	// min_healthy_time does not become a busy loop.
	minRollWait = time.Second
	// rollGrace is added when the start of a replacement has yet to be seen: most
	// have started within it, and one look at the end of min_healthy_time is enough.
	rollGrace = 500 * time.Millisecond
)

// roll replaces the instances of an older version, a few at a time.
type roll struct {
	*run
	group     *model.TaskGroup
	onNode    bool                // replacements stay on their node
	mode      mode                // what says when to go on
	mixed     bool                // the group has instances of an older version
	moves     int                 // instances that leave a node that is drained, now
	old       []*model.Allocation // to be replaced
	unhealthy int                 // instances of the present version that are not healthy yet
	starting  bool                // one of them has not even started
	paused    bool                // one of them failed
	broken    bool                // one has failed for good
	healthyAt time.Time           // when the last of those that run will be healthy
}

// update is the group's update strategy; nil replaces all at once: a gang, too.
func (r *roll) update() *model.UpdateStrategy {
	if r.batch || r.group.Gang != nil {
		return nil
	}
	u := r.group.Update
	if u == nil {
		u = r.in.Job.Update
	}
	if u == nil || u.MaxParallel <= 0 {
		return nil
	}
	return u
}

// observe takes in a live instance of the present version.
func (r *roll) observe(a *model.Allocation) {
	u := r.update()
	if u == nil {
		return
	}
	if r.mode != byTime {
		r.judge(a)
		return
	}
	started, ok := StartedAt(a, r.group)
	at := started.Add(max(u.MinHealthyTime, r.stagger(u)))
	if ok && !at.After(r.in.Now) {
		return
	}
	r.unhealthy++
	if a.RescheduleTracker != nil && len(a.RescheduleTracker.Events) > 0 {
		r.paused = true // it replaces one that failed
	}
	if !ok {
		r.starting = true
	} else if at.After(r.healthyAt) {
		r.healthyAt = at
	}
}

// replace places as many replacements as may be in the works at once, and says
// when to look again if that is not all.
func (r *roll) replace(out *Group) {
	limit := len(r.old)
	u := r.update()
	switch {
	case r.in.Waits[r.group.Name] == ToUpdate:
		out.Held += len(r.old)
		limit = 0
	case u == nil && r.mode != held:
	case r.paused || r.mode == held:
		limit = 0
	case r.mode == byHealth:
		limit = r.room(u.MaxParallel)
	default:
		limit = max(0, min(limit, u.MaxParallel-r.unhealthy))
	}
	for i, a := range r.old {
		if i >= limit {
			out.Ignored++
			continue
		}
		p := Place{Index: max(0, a.Index()), Previous: a, Stop: &Stop{Alloc: a, Description: DescUpdating}, Frees: true}
		if r.onNode {
			p.Index, p.NodeID = 0, a.NodeID
		}
		out.Places = append(out.Places, p)
	}
	if u == nil || limit == len(r.old) || r.mode != byTime {
		return
	}
	// Those that wait for room wait for that, not for a time.
	soon := r.in.Now.Add(max(u.MinHealthyTime, r.stagger(u)) + rollGrace)
	at := r.healthyAt
	if r.starting {
		at = later(at, soon)
	}
	if !at.IsZero() {
		out.Roll = later(at, r.in.Now.Add(minRollWait))
	}
	out.RollOn = later(later(at, soon), r.in.Now.Add(minRollWait))
}

// stagger is how long a system job waits between two steps of its update.
func (r *roll) stagger(u *model.UpdateStrategy) time.Duration {
	if r.onNode {
		return u.Stagger
	}
	return 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// StartedAt is since when all tasks of an allocation that should run do, by the
// cluster's clock at the latest when that was reported; false when one does not.
func StartedAt(a *model.Allocation, g *model.TaskGroup) (time.Time, bool) {
	if a.ClientStatus != model.ClientRunning {
		return time.Time{}, false
	}
	var since time.Time
	for _, t := range g.Tasks {
		if l := t.Lifecycle; l != nil && (l.Hook == model.HookPoststop || l.Hook == model.HookPoststart && !l.Sidecar) {
			continue
		}
		s := a.TaskStates[t.Name]
		if s == nil {
			return time.Time{}, false
		}
		if (t.Lifecycle == nil || !t.Lifecycle.Sidecar) && s.Successful() {
			continue // it has done its work, and will not run again
		}
		if s.State != model.TaskRunning {
			return time.Time{}, false
		}
		since = later(s.StartedAt, since)
	}
	// The node's clock may be hours behind: nothing starts before it is placed. Or it may be
	// hours ahead; it was not after its report came.
	if placed := time.Unix(0, a.CreateTime).UTC(); !since.IsZero() && since.Before(placed) {
		since = placed
	}
	if told := time.Unix(0, a.ModifyTime).UTC(); since.IsZero() || since.After(told) {
		since = told
	}
	return since, true
}
