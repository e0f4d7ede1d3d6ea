// Package readiness tells which groups of a job wait for what they depend on.
//
//	             ┌─ nothing of it lives, and a dependency is not met ──► ToStart: nothing of
//	             │                                                       it is begun
//	a group ─────┼─ what it depends on changed with it, and is not
//	             │  there in its new version yet ──────────────────────► ToUpdate: what runs
//	             │                                                       is left as it is
//	             └─ else ──────────────────────────────────────────────► does not wait
//
// Contract and invariants:
//
//   - A group of which an instance lives does not wait to start: what fails or is lost is
//     replaced, and more are added, whatever has become of its dependencies since.
//   - Nothing is ever stopped because of a dependency.
//   - It is a pure function of the state and a time. Where time alone makes a dependency
//     met, Wait.At says when; everything else shows as a change of a job that is depended
//     on, of its allocations, or of the job itself.
//
// Example:
//
//	for group, wait := range readiness.Of(state, job, now) {
//		fmt.Println(group, wait.For) // web [waits until group db of job postgres is healthy: 1 of 3]
//	}
package readiness

import (
	"fmt"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// maxTold bounds what one group says that it waits for.
const maxTold = 8

// State is what the answer is read from.
type State interface {
	Job(namespace, id string) *model.Job
	// AllocsByJob returns all allocations of a job, each with its Job set.
	AllocsByJob(namespace, id string) []*model.Allocation
}

// Wait is what a group waits for.
type Wait struct {
	Kind reconcile.Wait
	For  []string  // in words, at least one
	At   time.Time // when time alone may have met one of them; zero for never
}

// Of are the groups of a job that wait, by name; nil for none.
func Of(s State, job *model.Job, now time.Time) map[string]*Wait {
	if !precedence.Uses(job) || job.Stop || launch.IsTemplate(job) {
		return nil
	}
	r := &reader{state: s, job: job, now: now}
	var out map[string]*Wait
	for _, g := range job.TaskGroups {
		if w := r.group(g); len(w.For) > 0 {
			if out == nil {
				out = make(map[string]*Wait)
			}
			out[g.Name] = w
		}
	}
	return out
}

// Kinds are the kinds alone, as reconciliation takes them.
func Kinds(waits map[string]*Wait) map[string]reconcile.Wait {
	out := make(map[string]reconcile.Wait, len(waits))
	for name, w := range waits {
		out[name] = w.Kind
	}
	return out
}

// reader answers about one job; it reads each job that it depends on once.
type reader struct {
	state  State
	job    *model.Job
	now    time.Time
	allocs map[model.NamespacedID]map[string][]*model.Allocation // by group
}

// of are a job's allocations of a group, of this incarnation of the job.
func (r *reader) of(job *model.Job, group string) []*model.Allocation {
	id := model.NamespacedID{Namespace: job.Namespace, ID: job.ID}
	byGroup, read := r.allocs[id]
	if !read {
		byGroup = make(map[string][]*model.Allocation)
		for _, a := range r.state.AllocsByJob(job.Namespace, job.ID) {
			if a.Job == nil || a.Job.CreateIndex == job.CreateIndex {
				byGroup[a.TaskGroup] = append(byGroup[a.TaskGroup], a)
			}
		}
		if r.allocs == nil {
			r.allocs = make(map[model.NamespacedID]map[string][]*model.Allocation)
		}
		r.allocs[id] = byGroup
	}
	return byGroup[group]
}

// group tells what a group waits for.
func (r *reader) group(g *model.TaskGroup) *Wait {
	w := &Wait{Kind: reconcile.ToStart}
	if g.Count <= 0 {
		return w
	}
	for _, a := range r.of(r.job, g.Name) {
		if !a.Terminal() {
			w.Kind = reconcile.ToUpdate
		}
	}
	if w.Kind == reconcile.ToUpdate {
		r.updates(w, g)
		return w
	}
	for _, d := range precedence.Of(r.job, g) {
		r.dependency(w, d)
	}
	return w
}

// updates tells for which groups of the same job the update of a group waits.
func (r *reader) updates(w *Wait, g *model.TaskGroup) {
	before := precedence.Before(r.job, g.Name)
	if len(before) == 0 {
		return
	}
	older := map[uint64]*model.Job{} // versions of which instances are to be replaced
	for _, a := range r.of(r.job, g.Name) {
		if !a.Terminal() && a.JobVersion != r.job.Version && older[a.JobVersion] == nil && reconcile.Changed(a.Job, r.job, g.Name) {
			older[a.JobVersion] = a.Job
		}
	}
	for _, t := range r.job.TaskGroups {
		if before[t.Name] == "" {
			continue
		}
		for _, v := range older {
			if reconcile.Find(v, t.Name) != nil && reconcile.Changed(v, r.job, t.Name) {
				c := r.count(r.job, t, before[t.Name], true)
				c.tell(w, fmt.Sprintf("is updated after group %s, until that is %s in its new version", t.Name, before[t.Name]))
				break
			}
		}
	}
}

// dependency adds what is missing of one.
func (r *reader) dependency(w *Wait, d *depends.Dependency) {
	id, own := precedence.Target(r.job, d), precedence.Own(r.job, d)
	name := "job " + id.ID
	if id.Namespace != r.job.Namespace {
		name += " in namespace " + id.Namespace
	}
	if group := precedence.Group(d); group != "" && own {
		name = "group " + group
	} else if group != "" {
		name = "group " + group + " of " + name
	}
	target := r.job
	if !own {
		target = r.state.Job(id.Namespace, id.ID)
	}
	why := ""
	if target == nil {
		why = "there is no such job yet"
	} else if target.Stop {
		why = "the job is stopped"
	} else if launch.IsTemplate(target) {
		why = "the job only launches others, and has no instances of its own"
	} else if len(precedence.Groups(target, d)) == 0 {
		why = "the job has no such group"
	} else if message, hint := precedence.Unfit(target, d.Asks()); message != "" {
		why = message + ": write " + hint
	}
	until := "waits until " + name + " is " + d.Asks()
	if why != "" {
		w.add(until + ": " + why)
		return
	}
	for _, g := range precedence.Groups(target, d) {
		c := r.count(target, g, d.Asks(), false)
		if precedence.Group(d) == "" {
			c.tell(w, "waits until group "+g.Name+" of "+name+" is "+d.Asks())
		} else {
			c.tell(w, until)
		}
	}
}

func (w *Wait) add(text string) {
	if len(w.For) < maxTold {
		w.For = append(w.For, text)
	}
}

// count is how many instances meet a condition, of how many.
type count struct {
	have, want int
	at         time.Time // when the next one does by time alone
}

func (c count) tell(w *Wait, text string) {
	if c.have >= c.want {
		return
	}
	w.add(fmt.Sprintf("%s: %d of %d", text, c.have, c.want))
	if !c.at.IsZero() && (w.At.IsZero() || c.at.Before(w.At)) {
		w.At = c.at
	}
}

// count counts the instances of a group that meet a condition, each name once; with
// present only those that need no replacement to be of the present version. A job that
// runs on every node counts what it has there.
func (r *reader) count(job *model.Job, g *model.TaskGroup, condition string, present bool) count {
	everywhere := job.Type == model.JobTypeSystem || job.Type == model.JobTypeSysbatch
	c := count{want: g.Count}
	names := make(map[string]bool)
	for _, a := range r.of(job, g.Name) {
		if a.ServerTerminal() || !everywhere && a.Index() >= g.Count {
			continue
		}
		name := a.Name
		if everywhere {
			name = a.NodeID
		}
		if a.ClientStatus != model.ClientLost {
			names[name] = names[name] || false
		}
		ok, at := r.meets(a, job, g, condition, present)
		if ok {
			names[name] = true
		} else if !at.IsZero() && (c.at.IsZero() || at.Before(c.at)) {
			c.at = at
		}
	}
	for _, ok := range names {
		if ok {
			c.have++
		}
	}
	if everywhere && g.Count > 0 {
		c.want = max(1, len(names))
	}
	return c
}

// Since is when something last changed of what a group waits for, or waited; zero when
// there is nothing. One that has begun waits for groups of its own job only.
func Since(s State, job *model.Job, g *model.TaskGroup, begun bool) time.Time {
	newest := int64(0)
	look := func(id model.NamespacedID, on func(group string) bool) {
		for _, a := range s.AllocsByJob(id.Namespace, id.ID) {
			if on(a.TaskGroup) {
				newest = max(newest, a.ModifyTime)
			}
		}
	}
	if before := precedence.Before(job, g.Name); len(before) > 0 {
		look(model.NamespacedID{Namespace: job.Namespace, ID: job.ID}, func(group string) bool { return before[group] != "" })
	}
	for _, d := range precedence.Of(job, g) {
		if name := precedence.Group(d); !begun && !precedence.Own(job, d) {
			look(precedence.Target(job, d), func(group string) bool { return name == "" || name == group })
		}
	}
	if newest == 0 {
		return time.Time{}
	}
	return time.Unix(0, newest).UTC()
}

// Waits tells whether an evaluation has left something undone because of a dependency.
func Waits(e *model.Evaluation) bool {
	for _, m := range e.FailedTGAllocs {
		if m != nil && len(m.Waits) > 0 {
			return true
		}
	}
	return false
}

// Only tells whether all that an evaluation has left undone waits for dependencies, so
// that no room anywhere would help. Of a group for which nodes were looked at, were there
// none at all, something else is missing, too: their pool is noted then.
func Only(e *model.Evaluation) bool {
	for _, m := range e.FailedTGAllocs {
		if m == nil || len(m.Waits) == 0 || m.NodePool != "" {
			return false
		}
	}
	return len(e.FailedTGAllocs) > 0
}
