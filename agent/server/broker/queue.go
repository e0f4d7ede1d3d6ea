package broker

import (
	"container/heap"
	"maps"
	"slices"
	"time"

	"github.com/steppe-project/steppe/model"
)

// place says where an entry is.
type place uint8

const (
	placeFresh      place = iota // observed, not yet sorted: sorting needs the time
	placeDelayed                 // until due
	placeWaiting                 // of its job; the newest one is its job's head
	placeRunning                 // handed out
	placeBlocked                 // nothing could be placed; waits for a change
	placeSuperseded              // to be canceled: a newer one of the job does its work
	placeDead                    // to be failed: it was tried too often
)

// entry is one evaluation that is not over.
type entry struct {
	eval  *model.Evaluation
	job   *jobQueue
	place place
	due   time.Time // delayed: from when on; running: until when an answer must come
	by    string    // superseded: the id of the newer evaluation
	wake  bool      // blocked: a change could help
	pos   int       // index in the heap it is in, -1 for none
}

// jobKey names a job.
type jobKey struct{ namespace, id string }

// jobQueue holds a job's entries by place.
type jobQueue struct {
	key     jobKey
	size    int // entries in any place
	head    *entry
	running *entry
	blocked *entry
}

// newer tells whether a was created after b; ids break ties.
func newer(a, b *model.Evaluation) bool {
	if a.CreateIndex != b.CreateIndex {
		return a.CreateIndex > b.CreateIndex
	}
	return a.ID > b.ID
}

// entryHeap is a heap of entries that know their position in it.
type entryHeap struct {
	items []*entry
	less  func(a, b *entry) bool
}

// byUrgency orders ready entries: priority first, then age.
func byUrgency(a, b *entry) bool {
	if a.eval.Priority != b.eval.Priority {
		return a.eval.Priority > b.eval.Priority
	}
	return newer(b.eval, a.eval)
}

// ordered lists a set of entries by age, so that replays agree.
func ordered(set map[*entry]struct{}) []*entry {
	list := slices.Collect(maps.Keys(set))
	slices.SortFunc(list, func(a, b *entry) int {
		if newer(b.eval, a.eval) {
			return -1
		}
		return 1
	})
	return list
}

// byDue orders entries by time; ids break ties, so that replays agree.
func byDue(a, b *entry) bool {
	if !a.due.Equal(b.due) {
		return a.due.Before(b.due)
	}
	return a.eval.ID < b.eval.ID
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h *entryHeap) Len() int           { return len(h.items) }
func (h *entryHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }

func (h *entryHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].pos, h.items[j].pos = i, j
}

func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.pos = len(h.items)
	h.items = append(h.items, e)
}

func (h *entryHeap) Pop() any {
	last := len(h.items) - 1
	e := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	e.pos = -1
	return e
}

func (h *entryHeap) add(e *entry) { heap.Push(h, e) }

func (h *entryHeap) first() *entry {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *entryHeap) remove(e *entry) {
	if e.pos >= 0 {
		heap.Remove(h, e.pos)
	}
}
