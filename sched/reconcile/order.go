package reconcile

import (
	"slices"
	"time"

	"github.com/steppe-project/steppe/model/precedence"
)

// MaxStopStage bounds how long a group of a stopped job runs on for those that depend on
// it, after they were told to stop or last said something: most stop within their kill
// timeouts, and what hangs must not keep the rest.
const MaxStopStage = 5 * time.Minute

// wait takes back what a group that waits would begin. What replaces an instance stays,
// but for one that has failed in an older version: that is an update.
func (r *run) wait(out *Group) {
	if r.in.Waits[out.Group.Name] != ToStart {
		return
	}
	all := len(out.Places)
	out.Places = slices.DeleteFunc(out.Places, func(p Place) bool { return p.Previous == nil || p.Stop != nil && p.Stop.Description == DescUpdating })
	out.Held += all - len(out.Places)
}

// stopAll ends whatever a stopped or purged job has, what depends on others first. Ended
// instances are marked too: should the job run again, they count for nothing.
func (r *run) stopAll() {
	needed := r.needed()
	r.endGroups(r.byGroup(), DescStopped, func(group string) bool { _, later := needed[group]; return !later })
	for _, a := range r.in.Allocs {
		at, later := needed[a.TaskGroup]
		switch {
		case !later:
		case a.ClientTerminal() && !a.ServerTerminal():
			r.stop(Stop{Alloc: a, Description: DescStopped})
		case !a.Terminal() && !moving(a) && (r.lost(a) == "" || r.spared(a)):
			if gone := r.goneAt(a); gone.After(r.in.Now) {
				r.again(gone) // its node may be back before, and it runs on then
			}
			r.out.Later = append(r.out.Later, Later{Alloc: a, At: at, Description: DescNeeded})
		default:
			r.end(a, DescStopped)
		}
	}
}

// needed are the groups of a stopped job that others of it depend on and that these still
// need, with the time until which they are waited for.
func (r *run) needed() map[string]time.Time {
	job := r.in.Job
	for _, a := range r.in.Allocs {
		if a.Job != nil && r.in.Job == nil && (job == nil || a.Job.Version > job.Version) {
			job = a.Job // it is purged
		}
	}
	if !precedence.Uses(job) {
		return nil
	}
	out := make(map[string]time.Time)
	for _, g := range job.TaskGroups {
		at := r.stopsBy(g.Name)
		if !at.After(r.in.Now) {
			continue
		}
		for name := range precedence.Before(job, g.Name) {
			out[name] = later(out[name], at)
		}
	}
	return out
}

// stopsBy is until when the end of a group's instances is waited for; zero when all have
// ended.
func (r *run) stopsBy(group string) time.Time {
	var at time.Time
	for _, a := range r.in.Allocs {
		if a.TaskGroup != group || a.ClientTerminal() || r.lost(a) != "" {
			continue
		}
		since := r.in.Now
		if a.ServerTerminal() {
			since = time.Unix(0, a.ModifyTime)
		}
		at = later(at, since.Add(MaxStopStage).UTC())
	}
	return at
}
