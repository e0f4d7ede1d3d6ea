package place

import (
	"cmp"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// Victim is an allocation of another job that may have to give way.
type Victim struct {
	Alloc    *model.Allocation
	Priority int // of its job
	// Limit is how many of its group may leave at once without more harm than a
	// drain would do.
	Limit int
}

// group names the group that the victim is of.
func (v *Victim) group() string {
	return v.Alloc.Namespace + "\x00" + v.Alloc.JobID + "\x00" + v.Alloc.TaskGroup
}

// Yield finds the nodes on which an instance of an ask fits when others give way,
// and of these the one where that does the least harm: whose most important
// victim matters least, then the fewest beyond the limits of their groups, then
// the fewest victims.
type Yield struct {
	k       *Checker
	victims func(nodeID string) []Victim
	rows    map[int32][]Victim // where it would fit, and who would have to go; nil before best
	seen    int                // how many of the board's changes rows has
	gone    map[string]int     // victims so far, by group
	taken   map[string]bool    // by id
}

// NewYield makes one; victims are the allocations of a node that may have to go at all.
func NewYield(k *Checker, victims func(nodeID string) []Victim) *Yield {
	return &Yield{k: k, victims: victims, gone: make(map[string]int), taken: make(map[string]bool)}
}

// Yield places an instance of the selector's group where others give way, and
// books it; nil when there is no such node.
func (s *Selector) Yield(y *Yield) (*Choice, []Victim) {
	row, victims := y.best()
	if victims == nil {
		return nil, nil
	}
	choice := y.take(row, victims)
	s.recount(row)
	s.refresh(row)
	s.exhaust(row)
	return choice, victims
}

// On places an instance on a given node when others give way there.
func (y *Yield) On(nodeID string) (*Choice, []Victim) {
	row, ok := y.k.board.fleet.row(nodeID)
	if !ok {
		return nil, nil
	}
	victims := y.at(row)
	if victims == nil {
		return nil, nil
	}
	return y.take(row, victims), victims
}

// take books an instance on a row, without its victims.
func (y *Yield) take(row int32, victims []Victim) *Choice {
	for i := range victims {
		y.free(&victims[i], -1)
		y.gone[victims[i].group()]++
		y.taken[victims[i].Alloc.ID] = true
	}
	return y.k.board.take(row, y.k.ask)
}

// free takes back what a victim holds, or gives it again. It is of another job:
// the board's counts of instances are not touched.
func (y *Yield) free(v *Victim, sign int64) {
	f := y.k.board.fleet
	f.book(v.Alloc.NodeID, f.demand(v.Alloc.AllocatedResources), sign)
}

// current looks at what is not known or has changed: of an ask with distinct properties
// at all rows, as an instance may take a value from, or leave it to, many.
func (y *Yield) current() {
	moved := y.k.board.moved[y.seen:]
	y.seen += len(moved)
	if y.rows == nil || len(moved) > 0 && len(y.k.ask.distinct) > 0 {
		y.rows, moved = make(map[int32][]Victim), nil
		for row := range int32(y.k.board.fleet.rows()) {
			moved = append(moved, row)
		}
	}
	for _, row := range moved {
		if y.rows[row] = y.at(row); y.rows[row] == nil {
			delete(y.rows, row)
		}
	}
}

// best is the row where yielding does the least harm.
func (y *Yield) best() (int32, []Victim) {
	y.current()
	found, least := int32(-1), harm{}
	for row, victims := range y.rows {
		if h := y.harm(row, victims); found < 0 || h.less(least) {
			found, least = row, h
		}
	}
	return found, y.rows[found]
}

// harm is what the victims of a row amount to.
type harm struct {
	priority int // of the most important one
	beyond   int // of the limits of their groups
	count    int
	sum      int // of priorities
	tie      uint64
}

func (y *Yield) harm(row int32, victims []Victim) harm {
	c, i := y.k.board.fleet.at(row)
	h := harm{count: len(victims), tie: mix(c.hash[i] ^ y.k.board.set.Ties)}
	for j := range victims {
		v := &victims[j]
		h.priority, h.sum = max(h.priority, v.Priority), h.sum+v.Priority
		here := 1
		for k := range j {
			if victims[k].group() == v.group() {
				here++
			}
		}
		if y.gone[v.group()]+here > v.Limit {
			h.beyond++
		}
	}
	return h
}

func (h harm) less(o harm) bool {
	return cmp.Or(cmp.Compare(h.priority, o.priority), cmp.Compare(h.beyond, o.beyond), cmp.Compare(h.count, o.count),
		cmp.Compare(h.sum, o.sum), cmp.Compare(h.tie, o.tie)) < 0
}

// at finds who has to go for the ask to fit on a row; nil when it fits as it is,
// or not even then. The board is as before afterwards.
func (y *Yield) at(row int32) []Victim {
	if y.k.row(row).kind != kindExhausted {
		return nil
	}
	c, i := y.k.board.fleet.at(row)
	list := slices.DeleteFunc(y.victims(c.id[i]), func(v Victim) bool { return y.taken[v.Alloc.ID] })
	slices.SortFunc(list, func(a, b Victim) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), -cmp.Compare(y.size(&a), y.size(&b)), strings.Compare(a.Alloc.ID, b.Alloc.ID))
	})
	n := 0
	for fits := false; n < len(list) && !fits; n++ {
		y.free(&list[n], -1)
		fits = y.k.row(row).kind == kindFits
	}
	enough := y.k.row(row).kind == kindFits
	going := list[:n]
	if enough {
		going = y.spare(row, going)
	}
	for j := range going {
		y.free(&going[j], 1)
	}
	if !enough {
		return nil
	}
	if one := y.alone(row, list[:n]); one != nil && len(going) > 1 {
		return one
	}
	return going
}

// spare lets those stay of the freed that need not go, the most important first,
// and returns the rest.
func (y *Yield) spare(row int32, freed []Victim) []Victim {
	var going []Victim
	for j := len(freed) - 1; j >= 0; j-- {
		y.free(&freed[j], 1)
		if y.k.row(row).kind != kindFits {
			y.free(&freed[j], -1)
			going = append(going, freed[j])
		}
	}
	return going
}

// alone is the smallest of the least important ones that would do by itself.
func (y *Yield) alone(row int32, list []Victim) []Victim {
	var best *Victim
	for j := range list {
		v := &list[j]
		if best != nil && (v.Priority > best.Priority || v.Priority == best.Priority && y.size(v) > y.size(best)) {
			continue
		}
		y.free(v, -1)
		if y.k.row(row).kind == kindFits {
			best = v
		}
		y.free(v, 1)
	}
	if best == nil {
		return nil
	}
	return []Victim{*best}
}

// size is how much of its node a victim holds, in thousandths of processor and
// memory together.
func (y *Yield) size(v *Victim) int64 {
	row, ok := y.k.board.fleet.row(v.Alloc.NodeID)
	if !ok {
		return 0
	}
	c, i := y.k.board.fleet.at(row)
	d := DemandOf(v.Alloc.AllocatedResources)
	return d.CPU*1000/max(1, c.cpu[i]) + d.Memory*1000/max(1, c.memory[i])
}
