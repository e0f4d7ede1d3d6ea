package watch

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// A gang that is partial for too long is disbanded when both of these are over: a leader
// may be missing, and plans may be lost.
const (
	lateEntries = 300
	lateTime    = 2 * time.Minute
)

// gangs remembers what the state does not say of gangs.
type gangs struct {
	partial map[gangKey]since
	placed  map[gangKey]int // in this entry
	touched map[gangKey]bool
	// whole counts the times that a gang was placed, disbanded those of instances that
	// were stopped with the rest.
	whole, disbanded int
	stopped          map[gangKey][]*model.Allocation // in this entry, because the gang was partial
}

type gangKey struct{ namespace, job, group string }

// since is when a gang became partial.
type since struct {
	index uint64
	time  int64
}

func newGangs() gangs {
	return gangs{partial: map[gangKey]since{}, placed: map[gangKey]int{}, touched: map[gangKey]bool{}, stopped: map[gangKey][]*model.Allocation{}}
}

// gang notes a change of an allocation of one.
func (c *Watch) gang(before, after *model.Allocation) {
	g := reconcile.Find(after.Job, after.TaskGroup)
	if g == nil || g.Gang == nil {
		return
	}
	key := gangKey{after.Namespace, after.JobID, after.TaskGroup}
	c.gangs.touched[key] = true
	if before == nil {
		c.gangs.placed[key]++
	}
	if before != nil && !before.ServerTerminal() && after.ServerTerminal() && (after.DesiredDescription == reconcile.DescGangPartial || after.DesiredDescription == reconcile.DescGangBroken) {
		c.gangs.disbanded++
		if after.DesiredDescription == reconcile.DescGangPartial {
			c.gangs.stopped[key] = append(c.gangs.stopped[key], after)
		}
	}
}

// muster looks at the gangs that an entry touched: what it placed made them whole, but for
// what was lost since the decision.
func (c *Watch) muster() {
	snap := c.store.Snapshot()
	for key := range c.gangs.touched {
		m := musterOf(snap, key)
		if c.gangs.placed[key] > 0 {
			c.gangs.whole++
			delete(c.gangs.partial, key)
			if why := m.unexplained(snap); why != "" {
				c.fail("entry %d places %d instances of gang %v, which has %d of %d then: %s", snap.Index(), c.gangs.placed[key], key, m.there, m.size, why)
			}
		}
		if !m.partial() {
			delete(c.gangs.partial, key)
		} else if _, known := c.gangs.partial[key]; !known {
			c.gangs.partial[key] = since{snap.Index(), c.time}
		}
		if stopped := c.gangs.stopped[key]; lacksNothing(snap, key, stopped) {
			c.fail("entry %d stops %d instances of gang %v as the rest of it, but nothing was missing", snap.Index(), len(stopped), key)
		}
	}
	clear(c.gangs.stopped)
	clear(c.gangs.touched)
	clear(c.gangs.placed)
	for key, from := range c.gangs.partial {
		m := musterOf(snap, key)
		over := time.Duration(c.time - from.time)
		if m.partial() && over > m.allowed+lateTime && snap.Index() > from.index+lateEntries {
			c.fail("gang %v has %d of %d instances for %s, max_partial is %s%s", key, m.there, m.size, over, m.allowed, EvalsOf(snap, snap.Job(key.namespace, key.job)))
		}
		if m.partial() && int64(over) > soonTime && snap.Index() > from.index+soonEntries && !pending(snap, key) {
			c.fail("gang %v has %d of %d instances for %s, and nobody will look%s", key, m.there, m.size, over, EvalsOf(snap, snap.Job(key.namespace, key.job)))
		}
	}
}

// pending tells whether an evaluation of a gang's job is due, or waits for a time.
func pending(snap *state.Snapshot, key gangKey) bool {
	for e := range snap.EvalsByJob(key.namespace, key.job) {
		if e.Status == model.EvalPending {
			return true
		}
	}
	return false
}

// roll is what there is of a gang: whole is as many as the newest version wants that a live
// instance runs, or as the job does now, whichever is less. What ran before, gang or not,
// goes on until all of it is replaced, if all of it is there; else it has max_partial. A
// name is there if anything of it runs, whatever else of it has ended since that was placed,
// or if it has completed what the newest version runs. Canaries, which a version before the
// group became a gang may have had, are beside the names.
type roll struct {
	key               gangKey
	live, there, size int
	allowed           time.Duration
	newest            map[int]*model.Allocation // by index: one that is there, or the newest
	placed            *model.Allocation         // the newest live one
	latest            *model.Job                // the newest version that a live one runs
}

func musterOf(snap *state.Snapshot, key gangKey) *roll {
	m := &roll{key: key, newest: map[int]*model.Allocation{}}
	var all, live []*model.Allocation
	for a := range snap.AllocsByJob(key.namespace, key.job) {
		if a.TaskGroup != key.group || deploy.Canary(a) {
			continue
		}
		all = append(all, a)
		if a.Terminal() {
			continue
		}
		live = append(live, a)
		if m.placed == nil || a.CreateIndex > m.placed.CreateIndex {
			m.placed = a
		}
	}
	now := reconcile.Find(snap.Job(key.namespace, key.job), key.group)
	if len(live) == 0 || now == nil || now.Gang == nil {
		return m
	}
	m.latest = latestOf(live)
	m.live, m.allowed, m.size = len(live), now.Gang.MaxPartial, min(reconcile.Find(m.latest, key.group).Count, now.Count)
	there := func(a *model.Allocation) bool { return a != nil && (!a.Terminal() || completed(a, m.latest)) }
	for _, a := range all {
		if now := m.newest[a.Index()]; there(a) || !there(now) && (now == nil || a.CreateIndex > now.CreateIndex) {
			m.newest[a.Index()] = a
		}
	}
	for i := range m.size {
		if there(m.newest[i]) {
			m.there++
		}
	}
	return m
}

// latestOf is the newest version that some allocations run.
func latestOf(allocs []*model.Allocation) *model.Job {
	return slices.MaxFunc(allocs, func(a, b *model.Allocation) int {
		return cmp.Or(cmp.Compare(a.Job.CreateIndex, b.Job.CreateIndex), cmp.Compare(a.Job.Version, b.Job.Version))
	}).Job
}

// completed tells whether an allocation of a batch has done what a version is to do.
func completed(a *model.Allocation, of *model.Job) bool {
	return !a.ServerTerminal() && a.ClientStatus == model.ClientComplete && a.Job.Type == model.JobTypeBatch &&
		a.Job.CreateIndex == of.CreateIndex && !reconcile.Changed(a.Job, of, a.TaskGroup)
}

// lacksNothing tells whether what an entry stops of a gang as the rest of one that is
// partial, and what that gang had completed when it was decided, is all of it.
func lacksNothing(snap *state.Snapshot, key gangKey, stopped []*model.Allocation) bool {
	j := snap.Job(key.namespace, key.job)
	now, decided := reconcile.Find(j, key.group), uint64(0)
	for e := range snap.EvalsByJob(key.namespace, key.job) {
		if e.ModifyIndex == snap.Index() && e.SnapshotIndex > 0 && (decided == 0 || e.SnapshotIndex < decided) {
			decided = e.SnapshotIndex
		}
	}
	if len(stopped) == 0 || now == nil || j.JobModifyIndex > decided {
		return false
	}
	latest, there := latestOf(stopped), map[int]bool{}
	for _, a := range stopped {
		there[a.Index()] = true
	}
	for a := range snap.AllocsByJob(key.namespace, key.job) {
		if a.TaskGroup == key.group && a.ModifyIndex <= decided && completed(a, latest) {
			there[a.Index()] = true
		}
	}
	for i := range min(reconcile.Find(latest, key.group).Count, now.Count) {
		if !there[i] {
			return false
		}
	}
	return true
}

func (m *roll) partial() bool { return m.live > 0 && m.there < m.size }

// unexplained tells of a missing instance of a gang that was just placed and was not lost
// since the decision; "" for none.
func (m *roll) unexplained(snap *state.Snapshot) string {
	if !m.partial() {
		return ""
	}
	decided := uint64(0)
	if e := snap.Eval(m.placed.EvalID); e != nil {
		decided = e.SnapshotIndex
	}
	for i := range m.size {
		a := m.newest[i]
		if a == nil || a.Terminal() && a.ModifyIndex <= decided && !completed(a, m.latest) {
			return fmt.Sprintf("nothing of index %d", i)
		}
	}
	return ""
}

// Torn tells of a gang that is partial in the end; "" for none.
func Torn(snap *state.Snapshot) string {
	for j := range snap.Jobs(state.Range{}) {
		for _, g := range j.TaskGroups {
			if g.Gang == nil || j.Stop {
				continue
			}
			if m := musterOf(snap, gangKey{j.Namespace, j.ID, g.Name}); m.partial() {
				return fmt.Sprintf("gang %s of %s has %d of %d instances%s", g.Name, j.ID, m.there, m.size, EvalsOf(snap, j))
			}
		}
	}
	return ""
}
