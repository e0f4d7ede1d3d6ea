package place

import (
	"maps"
	"math/rand/v2"

	"github.com/steppe-project/steppe/model"
)

// Settings are what a decision is told beside the fleet.
type Settings struct {
	Seed uint64
	// Ties decides among nodes that are equally good.
	Ties uint64
	// Spread prefers empty nodes; else full ones are preferred (bin packing).
	Spread bool
	// Oversubscribe grants memory_max; without it no task may use more memory
	// than was counted for it.
	Oversubscribe bool
}

// Board is the working copy of the fleet that one decision on one job books on,
// with the places of the job's own instances. Not for concurrent use.
type Board struct {
	fleet  *Fleet
	set    Settings
	rng    *rand.Rand
	job    map[int32]int32            // instances of the job by row
	groups map[string]map[int32]int32 // of each group by row
	watch  []*Checker                 // whose counts follow the board
	moved  []int32                    // the rows that were booked on for the job, in order
}

// NewBoard makes a board on a fork, which it then owns.
func NewBoard(fork *Fleet, set Settings) *Board {
	return &Board{
		fleet: fork, set: set, rng: newRand(set.Seed),
		job: make(map[int32]int32), groups: make(map[string]map[int32]int32),
	}
}

// Fork is a board that begins as b is, and has its own checkers and selectors.
func (b *Board) Fork() *Board {
	f := &Board{fleet: b.fleet.Fork(), set: b.set, rng: b.rng, job: maps.Clone(b.job), groups: make(map[string]map[int32]int32, len(b.groups))}
	for name, rows := range b.groups {
		f.groups[name] = maps.Clone(rows)
	}
	return f
}

// Add notes an instance of the job that the fleet contains; ended ones and
// those that are to end are ignored.
func (b *Board) Add(a *model.Allocation) {
	if a.Terminal() {
		return
	}
	if row, ok := b.fleet.row(a.NodeID); ok {
		b.bump(row, a.TaskGroup, 1)
	}
}

// Free takes back what an instance holds, for one that will be stopped.
func (b *Board) Free(a *model.Allocation) { b.swing(a, -1) }

// Restore undoes Free.
func (b *Board) Restore(a *model.Allocation) { b.swing(a, 1) }

// FreeOther takes back what an allocation of another job holds.
func (b *Board) FreeOther(a *model.Allocation) {
	if !a.Terminal() {
		b.fleet.book(a.NodeID, b.fleet.demand(a.AllocatedResources), -1)
	}
}

func (b *Board) swing(a *model.Allocation, sign int32) {
	if a.Terminal() {
		return
	}
	if row, ok := b.fleet.row(a.NodeID); ok {
		b.bump(row, a.TaskGroup, sign)
	}
	b.fleet.book(a.NodeID, b.fleet.demand(a.AllocatedResources), int64(sign))
}

// bump counts an instance of a group on a row.
func (b *Board) bump(row int32, group string, sign int32) {
	rows := b.groups[group]
	if rows == nil {
		rows = make(map[int32]int32)
		b.groups[group] = rows
	}
	add(rows, row, sign)
	add(b.job, row, sign)
	b.moved = append(b.moved, row)
	for _, k := range b.watch {
		k.bump(row, group, sign)
	}
}

func add(rows map[int32]int32, row, sign int32) {
	if rows[row] += sign; rows[row] <= 0 {
		delete(rows, row)
	}
}

// take books an instance on a row that it fits.
func (b *Board) take(row int32, a *Ask) *Choice {
	c, i := b.fleet.at(row)
	choice := &Choice{NodeID: c.id[i], Resources: b.grant(row, a)}
	if choice.Resources != nil {
		b.fleet.Place(choice.NodeID, choice.Resources)
	} else {
		d := Demand{CPU: a.CPU, Memory: a.Memory, Disk: a.Disk}
		b.fleet.book(choice.NodeID, &d, 1)
	}
	b.bump(row, a.Group.Name, 1)
	return choice
}

// Shared is the grant of every instance without one of its own; nil for none such.
func (b *Board) Shared(a *Ask) *model.AllocatedResources {
	if a.own() {
		return nil
	}
	return b.newGrant(a, nil)
}

// Book counts a granted placement of the job, for a plan that is verified.
func (b *Board) Book(nodeID, group string, grant *model.AllocatedResources) {
	b.fleet.Place(nodeID, grant)
	if row, ok := b.fleet.row(nodeID); ok {
		b.bump(row, group, 1)
	}
}

// Choice is where an instance goes. Resources is nil when the group's shared
// grant says it all.
type Choice struct {
	NodeID    string
	Resources *model.AllocatedResources
}
