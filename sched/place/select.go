package place

import (
	"math"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/rank"
)

// Selector hands out the best nodes for the instances of one group. It looks at
// every node once, and after each choice again at the node chosen:
// O(N + k log N) for k instances on N nodes; for spreading see rank.Lanes.
type Selector struct {
	*Checker
	lanes *rank.Lanes
	of    []int32 // row → lane; -1 = not known yet. Nil when there is one lane
	same  []int32 // row → instances of the group
	count float64 // instances desired
	// having are the candidates by value, of each distinct property.
	having []map[string][]int32
}

// Select looks at all nodes for an ask. The board must not be booked on by
// others while the selector is in use, except by Free and Restore of the
// selector.
func (b *Board) Select(a *Ask) *Selector {
	rows := b.fleet.rows()
	s := &Selector{Checker: b.Checker(a), same: make([]int32, rows), count: max(1, float64(a.Group.Count))}
	s.lanes = rank.New(a.mean, a.spreads, rows, s.count)
	if len(a.spreads) > 0 {
		s.of = make([]int32, rows)
		for row := range s.of {
			s.of[row] = -1
		}
	}
	s.fill()
	return s
}

// fill counts the instances that there are and collects all rows that fit.
func (s *Selector) fill() {
	clear(s.same)
	s.lanes.Clear()
	s.having = make([]map[string][]int32, len(s.ask.distinct))
	for i := range s.having {
		s.having[i] = make(map[string][]int32)
	}
	for row, n := range s.board.groups[s.ask.Group.Name] {
		if int(row) < len(s.same) {
			s.same[row] = n
			s.tell(row, n)
		}
	}
	s.scan(func(row int32) {
		if int(row) < len(s.same) {
			s.lanes.Fill(s.lane(row), s.candidate(row))
			for i, rows := range s.having {
				if v, ok := s.valueOf(i, row); ok {
					rows[v] = append(rows[v], row)
				}
			}
		}
	})
	s.lanes.Order()
}

// lane is the lane of a row; -1 when its node is not known.
func (s *Selector) lane(row int32) int32 {
	if s.of == nil {
		return 0
	}
	if s.of[row] >= 0 {
		return s.of[row]
	}
	c, i := s.board.fleet.at(row)
	if c.info[i] == nil {
		return -1
	}
	o := s.class(c, i)
	if s.of[row] = o.lane - 1; s.ask.spreadIDs || o.lane == 0 {
		s.of[row] = s.lanes.Lane(func(block int) (string, bool) {
			return s.ask.spreadBy[block].resolve(c.info[i].node, s.ask.Job.Region)
		})
		o.lane = 1 + s.of[row]
	}
	return s.of[row]
}

// tell counts instances of the group on a row for the lanes.
func (s *Selector) tell(row, n int32) {
	if i := s.lane(row); i >= 0 {
		s.lanes.Add(i, n)
	}
}

// candidate is a row with its score; of an ask that prefers nodes, the sum of the
// components that are not its lane's.
func (s *Selector) candidate(row int32) rank.Candidate {
	c, i := s.board.fleet.at(row)
	v := s.score(row, false)
	out := rank.Candidate{Score: v.final, Tie: mix(c.hash[i] ^ s.board.set.Ties), Row: row}
	if s.ask.mean > 0 {
		out.Score = v.own()
	}
	return out
}

// Next chooses a node for one instance and books it; nil when none fits. Nodes
// in avoid, where earlier attempts failed, are taken only if no other is better.
func (s *Selector) Next(avoid []string) *Choice {
	row, ok := s.best(avoid)
	if !ok {
		return nil
	}
	return s.book(row)
}

// Prefer is Next on a given node; nil when it does not fit there.
func (s *Selector) Prefer(nodeID string) *Choice {
	if row, ok := s.board.fleet.row(nodeID); ok && int(row) < len(s.same) && s.row(row).kind == kindFits {
		return s.book(row)
	}
	return nil
}

func (s *Selector) book(row int32) *Choice {
	choice := s.board.take(row, s.ask)
	s.recount(row)
	s.refresh(row)
	s.exhaust(row)
	return choice
}

// exhaust takes out the candidates that have a value in common with a row which
// was the last that it admits.
func (s *Selector) exhaust(row int32) {
	for i, d := range s.ask.distinct {
		v, ok := s.valueOf(i, row)
		if !ok || s.values[i][v] < d.limit {
			continue
		}
		for _, other := range s.having[i][v] {
			s.lanes.Drop(s.lane(other), other)
		}
		delete(s.having[i], v)
	}
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
		s.fill() // a value that is free again may open many nodes
		return
	}
	if row, ok := s.board.fleet.row(nodeID); ok && int(row) < len(s.same) {
		s.recount(row)
		s.refresh(row)
	}
}

// recount follows the board's count of instances on a row.
func (s *Selector) recount(row int32) {
	n := s.board.groups[s.ask.Group.Name][row]
	if more := n - s.same[row]; more != 0 {
		s.same[row] = n
		s.tell(row, more)
	}
}

// best finds the row with the highest score, counting the penalty of those in
// avoid.
func (s *Selector) best(avoid []string) (int32, bool) {
	var aside []rank.Candidate
	found, ok := rank.Candidate{}, false
	for {
		lane, top, any := s.lanes.Lead()
		if !any {
			break
		}
		if !s.avoided(top.Row, avoid) {
			found, ok = top, true
			break
		}
		aside = append(aside, s.lanes.Lift(lane))
	}
	for _, c := range aside {
		penal := c
		penal.Score = s.whole(c.Row, true).final
		if !ok || penal.Before(found) {
			found, ok = penal, true
		}
	}
	for _, c := range aside {
		s.lanes.Lay(s.lane(c.Row), c)
	}
	return found.Row, ok
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
	if s.row(row).kind == kindFits {
		s.lanes.Put(s.lane(row), s.candidate(row))
	} else if i := s.lane(row); i >= 0 {
		s.lanes.Drop(i, row)
	}
}

// score is a row's score by component; final is their mean.
type score struct {
	packing float64
	peers   float64 // ≤ 0: other instances of the group are there
	penalty float64 // ≤ 0: an earlier attempt failed there
	liking  float64 // what the ask's affinities say
	spread  float64 // what its spread blocks say
	final   float64
}

// own is the sum of the components that depend on the node alone.
func (v *score) own() float64 { return v.packing + v.peers + v.liking }

// score rates a row with the instance on it. Packing is the formula of Google's
// "best fit v3" as published: 20 - (10^freeCPU + 10^freeMemory), free as a
// fraction, brought to 0..1, times (1 - |freeCPU - freeMemory|)²: what is left of
// one without the other is of no use to anybody (TestPacking). Spreading is the
// formula's mirror image. Components that do not apply are not part of the mean.
//
// Of an ask that prefers nodes, by affinity or spread, final is made by whole.
func (s *Selector) score(row int32, avoided bool) score {
	c, i := s.board.fleet.at(row)
	cpu := s.need.cpu
	if s.need.cores > 0 {
		cpu += int64(s.need.cores) * c.info[i].coreMHz
	}
	freeCPU, freeMemory := fraction(c.freeCPU[i]-cpu, c.cpu[i]), fraction(c.freeMemory[i]-s.need.memory, c.memory[i])
	sum, even := pow10(freeCPU)+pow10(freeMemory), 1-math.Abs(freeCPU-freeMemory)
	out := score{packing: (20 - sum) / 18 * even * even}
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
	out.liking = s.likes(c, i)
	return out
}

// whole is the score with what the row shares with its lane, which changes with
// every choice.
func (s *Selector) whole(row int32, avoided bool) score {
	out := s.score(row, avoided)
	if s.ask.mean > 0 {
		out.spread = s.lanes.Spread(s.lane(row))
		out.final = s.ask.mean.Of(out.own(), out.spread, out.penalty)
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
