package rank

import (
	"encoding/binary"
	"math"
)

// Lanes are the candidates of a selection. Those on nodes with the same values of
// all spread attributes are one lane: an instance that is placed changes what
// spreading says of whole lanes alike, so that within a lane the order by the
// other components stays. Without spreading there is one lane.
//
// The best candidates of the lanes play a tournament, so that what changes in few
// lanes costs O(log lanes) each. What changes in many is one pass over all lanes;
// the tournament is then held when few change again.
type Lanes struct {
	mean    Mean
	list    []lane
	tallies []*tally // one for each spread block
	pos     []int32  // row → place in the heap of its lane; -1 = in none
	byKey   map[string]int32
	key     []byte
	// By lane; flat, since passes go over all of them.
	values []int32   // of each block; -1 = the nodes lack the attribute
	spread []float64 // the spread component
	own    []float64 // of the best candidate; -Inf for none
	ties   []uint64  // of the best candidate
	final  []float64 // score of the best candidate
	loose  bool      // spread and final are to be made anew
	leader int32     // lane with the best candidate; not known while loose
	// winner is a tree in an array: [1] is the leader, that of [n] is the better
	// one of [2n] and [2n+1]. It is only kept up to date while it stands.
	winner []int32
	stands bool
	moved  bool // something changed since it stood
}

// lane is the candidates whose spread component is the same.
type lane struct {
	heap
	rows int // candidates, those set aside included
}

// manyLanes is the part of all lanes (one in so many) from which on a pass over
// all is cheaper than one after the other.
const manyLanes = 16

// New makes the lanes of a selection among rows, for a group that wants count
// instances.
func New(mean Mean, blocks []*Block, rows int, count float64) *Lanes {
	l := &Lanes{mean: mean, pos: make([]int32, rows), byKey: make(map[string]int32)}
	if len(blocks) == 0 {
		l.byKey[""] = 0
		l.grow(heap{pos: l.pos, list: make([]Candidate, 0, rows)})
	}
	for _, b := range blocks {
		l.tallies = append(l.tallies, newTally(b, count))
	}
	l.Clear()
	return l
}

// grow adds a lane.
func (l *Lanes) grow(h heap) {
	l.list = append(l.list, lane{heap: h})
	l.spread, l.own, l.ties = append(l.spread, 0), append(l.own, 0), append(l.ties, 0)
	l.final = append(l.final, 0)
	l.head(int32(len(l.list) - 1))
	l.loose = true
}

// Clear forgets candidates and instances; the lanes stay.
func (l *Lanes) Clear() {
	for row := range l.pos {
		l.pos[row] = -1
	}
	for i := range l.list {
		l.list[i].list, l.list[i].rows = l.list[i].list[:0], 0
	}
	for _, t := range l.tallies {
		t.clear()
	}
}

// Lane is the lane of nodes that have, for each block, a value or none.
func (l *Lanes) Lane(value func(block int) (string, bool)) int32 {
	l.key = l.key[:0]
	for b, t := range l.tallies {
		id := int32(-1)
		if text, ok := value(b); ok {
			id = t.of(text)
		}
		l.key = binary.LittleEndian.AppendUint32(l.key, uint32(id))
	}
	if i, ok := l.byKey[string(l.key)]; ok {
		return i
	}
	i := int32(len(l.list))
	l.byKey[string(l.key)] = i
	l.grow(heap{pos: l.pos})
	for b, t := range l.tallies {
		v := int32(binary.LittleEndian.Uint32(l.key[4*b:]))
		if l.values = append(l.values, v); v >= 0 {
			t.values[v].lanes = append(t.values[v].lanes, i)
		}
	}
	return i
}

// Fill takes in a candidate without order; Order follows when all are there.
func (l *Lanes) Fill(i int32, c Candidate) {
	l.list[i].list = append(l.list[i].list, c)
	l.list[i].rows++
}

// Order ends the filling.
func (l *Lanes) Order() {
	for i := range l.list {
		l.list[i].order()
		l.head(int32(i))
		if l.list[i].rows > 0 {
			l.open(int32(i), 1)
		}
	}
	l.loose = true
}

// open tells the tallies that a lane has candidates now, or has no more.
func (l *Lanes) open(i int32, by int) {
	for b, t := range l.tallies {
		t.open(l.values[int(i)*len(l.tallies)+b], by)
	}
}

// Put takes in a candidate, or its new score.
func (l *Lanes) Put(i int32, c Candidate) {
	n := &l.list[i]
	if at := n.pos[c.Row]; at >= 0 {
		n.replace(at, c)
	} else {
		n.push(c)
		if n.rows++; n.rows == 1 {
			l.open(i, 1)
		}
	}
	l.touch(i)
}

// Drop takes out a row that is no candidate, or not any more.
func (l *Lanes) Drop(i, row int32) {
	at := l.pos[row]
	if at < 0 {
		return
	}
	n := &l.list[i]
	n.drop(at)
	if n.rows--; n.rows == 0 {
		l.open(i, -1)
	}
	l.touch(i)
}

// Lift sets the best candidate of a lane aside; Lay puts it back. In between its
// value still has room.
func (l *Lanes) Lift(i int32) Candidate {
	top := l.list[i].list[0]
	l.list[i].drop(0)
	l.touch(i)
	return top
}

// Lay undoes Lift.
func (l *Lanes) Lay(i int32, c Candidate) {
	l.list[i].push(c)
	l.touch(i)
}

// Add counts instances on the nodes of a lane.
func (l *Lanes) Add(i, n int32) {
	for b, t := range l.tallies {
		v := l.values[int(i)*len(l.tallies)+b]
		if v < 0 {
			continue
		}
		t.add(v, n)
		concerned := t.values[v].lanes
		l.loose = l.loose || t.stale || len(concerned) > len(l.list)/manyLanes
		if l.loose {
			continue
		}
		for _, other := range concerned {
			l.weigh(other)
			l.play(other)
		}
	}
}

// refresh makes anew what is stale or loose, and finds the leader.
func (l *Lanes) refresh() {
	for _, t := range l.tallies {
		if t.stale {
			t.refresh()
			l.loose = true
		}
	}
	switch {
	case l.loose:
		l.pass()
	case l.moved:
		l.build()
	}
}

// pass weighs all lanes.
func (l *Lanes) pass() {
	l.loose, l.stands, l.moved = false, false, false
	l.leader = -1
	for i := range int32(len(l.list)) {
		l.weigh(i)
		l.final[i] = l.score(i, l.own[i])
		l.leader = l.better(i, l.leader)
	}
}

// build holds the tournament.
func (l *Lanes) build() {
	l.stands, l.moved = true, false
	leaves := 1
	for leaves < len(l.list) {
		leaves *= 2
	}
	if len(l.winner) != 2*leaves {
		l.winner = make([]int32, 2*leaves)
	}
	for i := range leaves {
		if l.winner[leaves+i] = int32(i); i >= len(l.list) {
			l.winner[leaves+i] = -1
		}
	}
	for n := leaves - 1; n > 0; n-- {
		l.winner[n] = l.better(l.winner[2*n], l.winner[2*n+1])
	}
	l.leader = l.winner[1]
}

// weigh sums up what the spread blocks say of a lane.
func (l *Lanes) weigh(i int32) {
	sum := 0.0
	for b, v := range l.values[int(i)*len(l.tallies) : (int(i)+1)*len(l.tallies)] {
		t := l.tallies[b]
		if v < 0 {
			sum -= t.Weight
		} else {
			sum += t.Weight * t.ratings[v]
		}
	}
	l.spread[i] = sum
}

// head notes a lane's best candidate.
func (l *Lanes) head(i int32) {
	l.own[i], l.ties[i] = math.Inf(-1), 0
	if h := l.list[i].list; len(h) > 0 {
		l.own[i], l.ties[i] = h[0].Score, h[0].Tie
	}
}

// score is the final score of a candidate of a lane.
func (l *Lanes) score(i int32, own float64) float64 {
	if l.mean == 0 {
		return own
	}
	return l.mean.Of(own, l.spread[i], 0)
}

// touch follows a change of a lane's best candidate.
func (l *Lanes) touch(i int32) {
	l.head(i)
	l.play(i)
}

// play has a lane whose best candidate or spread component changed play again.
func (l *Lanes) play(i int32) {
	if l.loose {
		return
	}
	l.final[i] = l.score(i, l.own[i])
	if !l.stands {
		l.moved = true
		return
	}
	for n := (len(l.winner)/2 + int(i)) / 2; n > 0; n /= 2 {
		l.winner[n] = l.better(l.winner[2*n], l.winner[2*n+1])
	}
	l.leader = l.winner[1]
}

// better is the one of two lanes whose best candidate comes first; -1 is none.
func (l *Lanes) better(a, b int32) int32 {
	switch {
	case b < 0 || l.final[a] > l.final[b]:
		return a
	case l.final[a] < l.final[b] || l.ties[b] < l.ties[a]:
		return b
	}
	return a
}

// Lead is the best candidate of all with its final score, and its lane; false when
// there is none.
func (l *Lanes) Lead() (i int32, c Candidate, ok bool) {
	if len(l.list) == 0 {
		return 0, Candidate{}, false
	}
	l.refresh()
	i = l.leader
	if len(l.list[i].list) == 0 {
		return 0, Candidate{}, false
	}
	c = l.list[i].list[0]
	c.Score = l.final[i]
	return i, c, true
}

// Spread is what the spread blocks say of the nodes of a lane.
func (l *Lanes) Spread(i int32) float64 {
	l.refresh()
	return l.spread[i]
}

// Best are the n best candidates with their final scores, best first.
func (l *Lanes) Best(n int) []Candidate {
	type place struct{ lane, at int32 }
	l.refresh()
	var out []Candidate
	frontier := make([]place, len(l.list))
	for i := range l.list {
		frontier[i] = place{lane: int32(i)}
	}
	for len(out) < n {
		lead, best := -1, Candidate{}
		for i, p := range frontier {
			list := l.list[p.lane].list
			if int(p.at) >= len(list) {
				continue
			}
			c := list[p.at]
			if c.Score = l.score(p.lane, c.Score); lead < 0 || c.Before(best) {
				lead, best = i, c
			}
		}
		if lead < 0 {
			break
		}
		out = append(out, best)
		p := frontier[lead]
		frontier[lead].at = 2*p.at + 1
		frontier = append(frontier, place{p.lane, 2*p.at + 2})
	}
	return out
}
