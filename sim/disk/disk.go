// Package disk is what a simulated node's agent keeps: assignments and records of
// tasks.
//
// Contract: some of it is written at once, some soon, in order; what waits is lost
// by Crash.
//
// Example:
//
//	d := disk.New(later)
//	d.PutTask(id, "web", record, true)
package disk

import (
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// Disk is what an agent keeps. Some of it is written at once, some soon: that is
// lost when the agent is killed before.
type Disk struct {
	Allocs map[string]*msg.AssignedAlloc
	Tasks  map[string]map[string]*Record
	// Lease is when the newest confirmed renewal was sent; zero: not known.
	Lease time.Time
	soon  []func()
	later func(func())
}

// Record is what is kept of a task.
type Record struct {
	ID     string // of the start under way or done
	Handle string // of the started process, "" = none
	Status task.Status
}

// Ended is the record of a task of which the servers know that it has ended.
func Ended(known *model.TaskState) *Record {
	return &Record{Status: task.Status{
		Phase: task.Dead, Failed: known.Failed, Started: !known.StartedAt.IsZero(), StartedAt: known.StartedAt, FinishedAt: known.FinishedAt,
		Overran: known.Overran,
	}}
}

// New makes an empty one. later schedules f soon, in the life of the agent.
func New(later func(f func())) *Disk {
	return &Disk{later: later, Allocs: map[string]*msg.AssignedAlloc{}, Tasks: map[string]map[string]*Record{}}
}

// Crash loses what was not written.
func (d *Disk) Crash() { d.soon = nil }

// Flush writes what waits, in order.
func (d *Disk) Flush() {
	for _, f := range d.soon {
		f()
	}
	d.soon = nil
}

// PutAlloc writes an assignment at once.
func (d *Disk) PutAlloc(a *msg.AssignedAlloc) {
	d.Flush()
	d.Allocs[a.Alloc.ID] = a
	if d.Tasks[a.Alloc.ID] == nil {
		d.Tasks[a.Alloc.ID] = map[string]*Record{}
	}
}

// PutTask writes a task's record; now, or soon.
func (d *Disk) PutTask(allocID, name string, r Record, now bool) {
	write := func() {
		if d.Tasks[allocID] != nil {
			c := r
			d.Tasks[allocID][name] = &c
		}
	}
	d.soon = append(d.soon, write)
	if now {
		d.Flush()
		return
	}
	if len(d.soon) == 1 {
		d.later(d.Flush)
	}
}

// Drop forgets an allocation.
func (d *Disk) Drop(allocID string) {
	d.Flush()
	delete(d.Allocs, allocID)
	delete(d.Tasks, allocID)
}
