package state

import (
	"maps"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/tenancy"
)

// jobRef names a job.
type jobRef struct{ namespace, id string }

// tally counts what the derived rows of a job are made of. It belongs to the
// writer, follows every change of a row (also one taken back), and is rebuilt
// from the rows on restore: it is not part of the state.
type tally struct {
	allocs   int // rows
	live     int // allocations that are not terminal
	evals    int // rows
	open     int // evaluations that are not terminal
	groups   map[string]*groupTally
	children model.JobChildrenSummary
}

// groupTally counts a group's allocations by client status.
type groupTally struct {
	rows   int
	counts model.TaskGroupSummary
}

// tallyCache holds the tally used last: the rows of a plan are of one job.
type tallyCache struct {
	ref   jobRef
	tally *tally
	name  string
	group *groupTally
}

// tally returns the job's tally and marks its derived rows stale.
func (x *Txn) tally(namespace, id string) *tally {
	if x.last.tally != nil && x.last.ref.id == id && x.last.ref.namespace == namespace {
		return x.last.tally
	}
	ref := jobRef{namespace, id}
	t := x.store.tallies[ref]
	if t == nil {
		t = x.store.counted(ref)
		x.store.tallies[ref] = t
	}
	if !x.staleSet[ref] {
		x.staleSet[ref] = true
		x.stale = append(x.stale, ref)
	}
	x.last = tallyCache{ref: ref, tally: t}
	return t
}

// group returns the tally of one group of the job asked for last.
func (x *Txn) group(t *tally, name string) *groupTally {
	if x.last.tally == t && x.last.group != nil && x.last.name == name {
		return x.last.group
	}
	g := t.groups[name]
	if g == nil {
		g = &groupTally{}
		if t.groups == nil {
			t.groups = make(map[string]*groupTally, 1)
		}
		t.groups[name] = g
	}
	if x.last.tally == t {
		x.last.name, x.last.group = name, g
	}
	return g
}

func (x *Txn) tallyAlloc(before, after *model.Allocation) {
	if before != nil {
		x.countAlloc(before, -1)
	}
	if after != nil {
		x.countAlloc(after, 1)
	}
}

func (x *Txn) countAlloc(a *model.Allocation, by int) {
	t := x.tally(a.Namespace, a.JobID)
	t.allocs += by
	if !a.Terminal() {
		t.live += by
	}
	g := x.group(t, a.TaskGroup)
	g.rows += by
	switch a.ClientStatus {
	case model.ClientPending:
		g.counts.Starting += by
	case model.ClientRunning:
		g.counts.Running += by
	case model.ClientComplete:
		g.counts.Complete += by
	case model.ClientFailed:
		g.counts.Failed += by
	case model.ClientLost:
		g.counts.Lost += by
	case model.ClientUnknown:
		g.counts.Unknown += by
	}
}

func (x *Txn) tallyEval(before, after *model.Evaluation) {
	if before != nil {
		x.countEval(before, -1)
	}
	if after != nil {
		x.countEval(after, 1)
	}
}

func (x *Txn) countEval(e *model.Evaluation, by int) {
	if e.JobID == "" {
		return
	}
	t := x.tally(e.Namespace, e.JobID)
	t.evals += by
	if !e.Terminal() {
		t.open += by
	}
}

func (x *Txn) tallyJob(before, after *model.Job) {
	if before != nil {
		x.countJob(before, -1)
	}
	if after != nil {
		x.countJob(after, 1)
	}
}

func (x *Txn) countJob(j *model.Job, by int64) {
	x.tally(j.Namespace, j.ID)
	if x.store.origin == nil { // a fork would have to begin with all rows
		x.store.asked.Count(j, int(by))
	}
	if j.ParentID == "" {
		return
	}
	c := &x.tally(j.Namespace, j.ParentID).children
	switch j.Status {
	case model.JobStatusPending:
		c.Pending += by
	case model.JobStatusRunning:
		c.Running += by
	case model.JobStatusDead:
		c.Dead += by
	}
}

// Asked is what the jobs of a namespace ask for in a region at most, and its system
// jobs, which are not in that sum; false when the rows have to be read for it.
func (x *Txn) Asked(namespace, region string) (use tenancy.Use, system []*model.Job, ok bool) {
	if x.store.origin != nil {
		return use, nil, false
	}
	use, system = x.store.asked.Of(namespace, region)
	return use, system, true
}

// SetQueued notes how many instances of each group of a job wait for a place,
// as an evaluation found; the job's summary takes it over.
func (x *Txn) SetQueued(namespace, id string, queued map[string]int) {
	if x.queued == nil {
		x.queued = make(map[jobRef]map[string]int, 1)
	}
	ref := jobRef{namespace, id}
	x.queued[ref] = queued
	x.tally(namespace, id)
}

// forget drops the notes of a command that ended.
func (x *Txn) forget() {
	x.stale = x.stale[:0]
	clear(x.staleSet)
	clear(x.queued)
	x.last = tallyCache{}
}

// settle brings the status and the summary of every job that the command
// touched up to date. A status that changes may in turn touch a parent.
func (x *Txn) settle() {
	for i := 0; i < len(x.stale); i++ {
		ref := x.stale[i]
		delete(x.staleSet, ref)
		x.last = tallyCache{}
		x.settleJob(ref)
	}
	x.forget()
}

func (x *Txn) settleJob(ref jobRef) {
	t := x.store.tallies[ref]
	job, summary := x.Job(ref.namespace, ref.id), x.JobSummary(ref.namespace, ref.id)
	if job == nil {
		if summary != nil {
			drop(x, &summarySchema, summary)
		}
		if x.store.origin == nil && t.allocs == 0 && t.evals == 0 && t.children == (model.JobChildrenSummary{}) {
			delete(x.store.tallies, ref)
		}
		return
	}
	for name, g := range t.groups {
		if g.rows == 0 {
			delete(t.groups, name)
		}
	}
	if next := summarize(job, summary, t, x.queued[ref]); next != nil {
		if next.CreateIndex == 0 {
			next.CreateIndex = x.index
		}
		next.ModifyIndex = x.index
		put(x, &summarySchema, next)
	}
	if status := deriveStatus(job, t); status != job.Status {
		next := *job
		next.Status = status
		next.ModifyIndex = x.index
		put(x, &jobSchema, &next)
	}
}

// summarize returns the summary that the tally asks for, nil when the present
// one says it already. Groups: those of the current version and those that
// still have allocations.
func summarize(job *model.Job, now *model.JobSummary, t *tally, queued map[string]int) *model.JobSummary {
	next := &model.JobSummary{JobID: job.ID, Namespace: job.Namespace, Summary: make(map[string]model.TaskGroupSummary, len(job.TaskGroups))}
	for name, g := range t.groups {
		next.Summary[name] = g.counts
	}
	for _, group := range job.TaskGroups {
		s := next.Summary[group.Name]
		if n, ok := queued[group.Name]; ok {
			s.Queued = n
		} else if now != nil {
			s.Queued = now.Summary[group.Name].Queued
		}
		next.Summary[group.Name] = s
	}
	children := t.children
	next.Children = &children
	if now == nil {
		return next
	}
	next.CreateIndex = now.CreateIndex
	if maps.Equal(now.Summary, next.Summary) && now.Children != nil && *now.Children == children {
		return nil
	}
	return next
}

// deriveStatus is the status of a job by what exists of it: running while an
// allocation is wanted, pending while an evaluation is under way, dead when all
// is done. A job that launches others and a system job run until stopped.
func deriveStatus(job *model.Job, t *tally) string {
	switch {
	case launch.IsTemplate(job) && !job.Stop:
		return model.JobStatusRunning
	case t.live > 0:
		return model.JobStatusRunning
	case t.open > 0:
		return model.JobStatusPending
	case job.Stop:
		return model.JobStatusDead
	case job.Type == model.JobTypeSystem:
		return model.JobStatusRunning
	case t.evals+t.allocs > 0 || job.Status == model.JobStatusDead:
		return model.JobStatusDead
	}
	return model.JobStatusPending
}
