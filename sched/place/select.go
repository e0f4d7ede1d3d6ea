package place

import (
	"math"

	"github.com/steppe-project/steppe/model"
)

// Selector hands out the best nodes for the instances of one group. It looks at
// every node once, and after each choice again at the node chosen:
// O(N + k log N) for k instances on N nodes.
type Selector struct {
	*Checker
	heap  []candidate // max-heap by score, then tie
	pos   []int32     // row → place in heap; -1 = not in it
	same  []int32     // row → instances of the group
	count float64     // instances desired
}

// candidate is a row that an instance fits.
type candidate struct {
	score float64
	tie   uint64
	row   int32
}

func (a candidate) before(b candidate) bool {
	if a.score != b.score {
		return a.score > b.score
	}
	return a.tie < b.tie
}

// Select looks at all nodes for an ask. The board must not be booked on by
// others while the selector is in use, except by Free and Restore of the
// selector.
func (b *Board) Select(a *Ask) *Selector {
	rows := b.fleet.rows()
	s := &Selector{
		Checker: b.Checker(a), pos: make([]int32, rows), same: make([]int32, rows),
		count: max(1, float64(a.Group.Count)),
	}
	for row, n := range b.groups[a.Group.Name] {
		s.same[row] = n
	}
	s.fill()
	return s
}

// fill makes the heap of all rows that fit.
func (s *Selector) fill() {
	s.heap = s.heap[:0]
	if s.heap == nil {
		s.heap = make([]candidate, 0, len(s.pos))
	}
	for row := range s.pos {
		s.pos[row] = -1
	}
	s.scan(func(row int32) {
		if int(row) < len(s.pos) {
			s.heap = append(s.heap, s.candidate(row))
		}
	})
	for at := len(s.heap)/2 - 1; at >= 0; at-- {
		s.down(int32(at))
	}
	for at, c := range s.heap {
		s.pos[c.row] = int32(at)
	}
}

func (s *Selector) candidate(row int32) candidate {
	c, i := s.board.fleet.at(row)
	return candidate{score: s.score(row, false).final, tie: mix(c.hash[i] ^ s.board.set.Seed), row: row}
}

// Next chooses a node for one instance and books it; nil when none fits. Nodes
// in avoid, where earlier attempts failed, are taken only if no other is better.
func (s *Selector) Next(avoid []string) *Choice {
	row, ok := s.best(avoid)
	if !ok {
		return nil
	}
	choice := s.board.take(row, s.ask)
	s.same[row]++
	s.refresh(row)
	return choice
}

// Free takes back what an instance holds that this selection may replace.
func (s *Selector) Free(a *model.Allocation) {
	s.board.Free(a)
	s.changed(a.NodeID)
}

// Restore undoes Free.
func (s *Selector) Restore(a *model.Allocation) {
	s.board.Restore(a)
	s.changed(a.NodeID)
}

// changed looks again at a node that something was freed on or given back to.
func (s *Selector) changed(nodeID string) {
	if len(s.ask.distinct) > 0 {
		s.recount()
		s.fill() // a value that is free again may open many nodes
		return
	}
	if row, ok := s.board.fleet.row(nodeID); ok && int(row) < len(s.pos) {
		s.same[row] = s.board.groups[s.ask.Group.Name][row]
		s.refresh(row)
	}
}

func (s *Selector) recount() {
	clear(s.same)
	for row, n := range s.board.groups[s.ask.Group.Name] {
		if int(row) < len(s.same) {
			s.same[row] = n
		}
	}
}

// best finds the row with the highest score, counting the penalty of those in
// avoid.
func (s *Selector) best(avoid []string) (int32, bool) {
	var aside []candidate
	found, ok := candidate{}, false
	for len(s.heap) > 0 {
		top := s.heap[0]
		if len(s.ask.distinct) > 0 && s.row(top.row).kind != kindFits {
			s.drop(0) // an instance placed since took its value
			continue
		}
		if !s.avoided(top.row, avoid) {
			found, ok = top, true
			break
		}
		s.drop(0)
		aside = append(aside, top)
	}
	for _, c := range aside {
		penal := c
		penal.score = s.score(c.row, true).final
		if !ok || penal.before(found) {
			found, ok = penal, true
		}
	}
	for _, c := range aside {
		s.push(c)
	}
	return found.row, ok
}

func (s *Selector) avoided(row int32, avoid []string) bool {
	if len(avoid) == 0 {
		return false
	}
	c, i := s.board.fleet.at(row)
	for _, id := range avoid {
		if c.id[i] == id {
			return true
		}
	}
	return false
}

// refresh looks again at a row that something was booked on or freed from.
func (s *Selector) refresh(row int32) {
	fits := s.row(row).kind == kindFits
	at := s.pos[row]
	switch {
	case fits && at < 0:
		s.push(s.candidate(row))
	case fits:
		s.heap[at] = s.candidate(row)
		s.settle(at)
	case at >= 0:
		s.drop(at)
	}
}

// score is a row's score by component; final is their mean.
type score struct {
	packing float64
	peers   float64 // ≤ 0: other instances of the group are there
	penalty float64 // ≤ 0: an earlier attempt failed there
	liking  float64 // what the ask's affinities say
	final   float64
}

// score rates a row with the instance on it. Packing is the formula of Google's
// "best fit v3" as published: 20 - (10^freeCPU + 10^freeMemory), free as a
// fraction, brought to 0..1; spreading is its mirror image. Components that do
// not apply are not part of the mean.
//
// Of an ask with affinities the mean is over the same components for all nodes,
// and the penalty is taken off, twice: were there one component more of a node
// that is disliked, that alone would bring its mean nearer to 0, and other
// instances or a failure there would speak for it.
func (s *Selector) score(row int32, avoided bool) score {
	c, i := s.board.fleet.at(row)
	cpu := s.need.cpu
	if s.need.cores > 0 {
		cpu += int64(s.need.cores) * c.info[i].coreMHz
	}
	sum := pow10(fraction(c.freeCPU[i]-cpu, c.cpu[i])) + pow10(fraction(c.freeMemory[i]-s.need.memory, c.memory[i]))
	out := score{packing: (20 - sum) / 18}
	if s.board.set.Spread {
		out.packing = (sum - 2) / 18
	}
	n, total := 1.0, out.packing
	if same := s.same[row]; same > 0 {
		out.peers = -float64(same+1) / s.count
		n, total = n+1, total+out.peers
	}
	if avoided {
		out.penalty = -1
		n, total = n+1, total+out.penalty
	}
	out.final = total / n
	if s.ask.prefers() {
		out.liking = s.likes(c, i)
		out.final = (out.packing + out.peers + out.liking + 2*out.penalty) / 3
	}
	return out
}

func pow10(x float64) float64 { return math.Exp(x * math.Ln10) }

// fraction of total that is free; a node without any counts as full.
func fraction(free, total int64) float64 {
	if total <= 0 || free <= 0 {
		return 0
	}
	return min(1, float64(free)/float64(total))
}

func (s *Selector) push(c candidate) {
	s.heap = append(s.heap, c)
	at := int32(len(s.heap) - 1)
	s.pos[c.row] = at
	s.up(at)
}

func (s *Selector) drop(at int32) {
	last := int32(len(s.heap) - 1)
	s.pos[s.heap[at].row] = -1
	if at != last {
		s.heap[at] = s.heap[last]
		s.pos[s.heap[at].row] = at
	}
	s.heap = s.heap[:last]
	if at != last {
		s.settle(at)
	}
}

func (s *Selector) settle(at int32) {
	if !s.up(at) {
		s.down(at)
	}
}

func (s *Selector) up(at int32) bool {
	moved := false
	for at > 0 {
		parent := (at - 1) / 2
		if !s.heap[at].before(s.heap[parent]) {
			break
		}
		s.swap(at, parent)
		at, moved = parent, true
	}
	return moved
}

func (s *Selector) down(at int32) {
	for {
		child := 2*at + 1
		if int(child) >= len(s.heap) {
			return
		}
		if right := child + 1; int(right) < len(s.heap) && s.heap[right].before(s.heap[child]) {
			child = right
		}
		if !s.heap[child].before(s.heap[at]) {
			return
		}
		s.swap(at, child)
		at = child
	}
}

func (s *Selector) swap(a, b int32) {
	s.heap[a], s.heap[b] = s.heap[b], s.heap[a]
	s.pos[s.heap[a].row], s.pos[s.heap[b].row] = a, b
}
