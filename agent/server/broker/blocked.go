package broker

import (
	"slices"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/readiness"
)

// blockedTable holds blocked evaluations and what could wake them. Nodes that no
// constraint can tell apart share a computed class; what one of them offers is
// looked at per class.
type blockedTable struct {
	entries map[*entry]struct{}
	nodes   map[string]nodeClass
	// freedAt is the index of the last change that gave room in a class.
	freedAt map[string]uint64
	// allAt is the index of the last change after which anything may be different.
	allAt uint64
	// freed are the classes that got room since the last step; freeAll that allAt
	// changed.
	freed   map[string]struct{}
	freeAll bool
	// placedAt is the index of the newest placement in a class, by the priority of what
	// was placed; preempts tells which types of jobs may have others give way.
	placedAt map[string]map[int]uint64
	preempts func(jobType string) bool
}

type nodeClass struct {
	class string
	ready bool
}

func newBlockedTable() blockedTable {
	return blockedTable{
		entries: make(map[*entry]struct{}),
		nodes:   make(map[string]nodeClass),
		freedAt: make(map[string]uint64),
		freed:   make(map[string]struct{}),

		placedAt: make(map[string]map[int]uint64),
		preempts: func(string) bool { return false },
	}
}

// add takes in a blocked evaluation. Room that came after the snapshot it was
// decided on was not seen by it, so it wakes at once.
func (t *blockedTable) add(e *entry) {
	t.entries[e] = struct{}{}
	if t.allAt > e.eval.SnapshotIndex || t.displaces(e.eval) {
		e.wake = true
		return
	}
	for class, index := range t.freedAt {
		if index > e.eval.SnapshotIndex && couldHelp(e.eval, class) {
			e.wake = true
			return
		}
	}
}

// displaces tells whether something was placed, since the snapshot that an evaluation
// was decided on, that may have to give way to it: its room was held already then, and
// nobody was there to give it up.
func (t *blockedTable) displaces(eval *model.Evaluation) bool {
	if !t.preempts(eval.Type) {
		return false
	}
	for class, by := range t.placedAt {
		for priority, index := range by {
			if index > eval.SnapshotIndex && priority+sched.PreemptionDistance <= eval.Priority && couldHelp(eval, class) {
				return true
			}
		}
	}
	return false
}

// place notes a new allocation.
func (t *blockedTable) place(a *model.Allocation, index uint64) {
	n, ok := t.nodes[a.NodeID]
	if !ok || a.Job == nil || a.Terminal() {
		return
	}
	by := t.placedAt[n.class]
	if by == nil {
		by = make(map[int]uint64)
		t.placedAt[n.class] = by
	}
	by[a.Job.Priority] = max(by[a.Job.Priority], index)
}

func (t *blockedTable) remove(e *entry) { delete(t.entries, e) }

// observeNode notes a node as it is since index; nil when it is gone. Any change
// of a ready node may help, because constraints can ask for anything it says.
func (t *blockedTable) observeNode(id string, n *model.Node, index uint64) {
	if n == nil {
		delete(t.nodes, id)
		return
	}
	t.nodes[id] = nodeClass{class: n.ComputedClass, ready: n.Ready()}
	if n.Ready() {
		t.free(n.ComputedClass, index)
	}
}

// observeAll notes a change of what everything is decided by.
func (t *blockedTable) observeAll(index uint64) {
	t.allAt, t.freeAll = max(t.allAt, index), true
}

// observeAlloc notes resources that a change gave back, or may let others have: of
// another version of its job an instance may have to give way that did not before.
func (t *blockedTable) observeAlloc(before, after *model.Allocation, index uint64) {
	if before == nil {
		if after != nil {
			t.place(after, index)
		}
		return
	}
	if before.Terminal() {
		return
	}
	if after != nil && !after.Terminal() && after.AllocatedResources == before.AllocatedResources && after.JobVersion == before.JobVersion {
		return
	}
	if n, ok := t.nodes[before.NodeID]; ok && n.ready {
		t.free(n.class, index)
	}
}

func (t *blockedTable) free(class string, index uint64) {
	t.freedAt[class] = index
	t.freed[class] = struct{}{}
}

// readHistory fills freedAt from the allocations that have ended, placedAt from those
// that have not.
func (t *blockedTable) readHistory(snap *state.Snapshot) {
	for a := range snap.Allocs(state.Range{}) {
		if !a.Terminal() {
			t.place(a, a.CreateIndex)
			continue
		}
		if n, ok := t.nodes[a.NodeID]; ok && n.ready && a.ModifyIndex > t.freedAt[n.class] {
			t.freedAt[n.class] = a.ModifyIndex
		}
	}
	clear(t.freed)
}

// mark flags the evaluations that what was freed since the last call could help.
func (t *blockedTable) mark() {
	if len(t.freed) == 0 && !t.freeAll {
		return
	}
	for e := range t.entries {
		if e.wake {
			continue
		}
		if t.freeAll && t.allAt > e.eval.SnapshotIndex {
			e.wake = true
			continue
		}
		for class := range t.freed {
			if couldHelp(e.eval, class) && t.freedAt[class] > e.eval.SnapshotIndex {
				e.wake = true
				break
			}
		}
	}
	clear(t.freed)
	t.freeAll = false
}

// woken returns at most limit flagged evaluations, most urgent first; the others
// stay flagged.
func (t *blockedTable) woken(limit int, idle map[*entry]struct{}) []*entry {
	var list []*entry
	for e := range t.entries {
		if _, over := idle[e]; e.wake && !over {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int {
		if byUrgency(a, b) {
			return -1
		}
		return 1
	})
	return list[:min(limit, len(list))]
}

// couldHelp tells whether room in a class may let the evaluation place more: not where
// all waits for what it depends on.
func couldHelp(eval *model.Evaluation, class string) bool {
	if readiness.Only(eval) {
		return false
	}
	if eval.EscapedComputedClass {
		return true
	}
	eligible, known := eval.ClassEligibility[class]
	return eligible || !known
}
