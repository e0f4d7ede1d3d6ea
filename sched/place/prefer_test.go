package place

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
	"github.com/steppe-project/steppe/sched/place/class"
)

// stage is a small random cluster with instances of a job that prefers nodes.
type stage struct {
	*rapid.T
	fleet *Fleet
	board *Board
	job   *model.Job
	nodes map[string]*model.Node
	live  []*model.Allocation // that were there before
	on    map[string]int      // instances by node
	seen  []map[string]bool   // by spread block: values that nodes with room or instances have had
}

func (s *stage) draw(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(s.T, label) }

func newStage(t *rapid.T, limits bool) *stage {
	s := &stage{T: t, fleet: NewFleet(), nodes: map[string]*model.Node{}, on: map[string]int{}}
	for i := range s.draw("nodes", 1, 12) {
		n := testNode(i)
		n.Datacenter = fmt.Sprintf("dc%d", s.draw("dc", 1, 3))
		if rack := s.draw("rack", 0, 4); rack > 0 {
			n.Meta = map[string]string{"rack": fmt.Sprint(rack)}
		}
		n.NodeResources.Memory.MemoryMB = int64(100 * s.draw("mem", 1, 6))
		n.ComputedClass = class.Computed(n)
		s.nodes[n.ID] = n
		s.fleet.UpsertNode(n)
	}
	s.job = testJob(s.draw("count", 1, 20))
	g := s.job.TaskGroups[0]
	g.Tasks[0].Resources.MemoryMB = 100
	for _, attribute := range []string{"${node.datacenter}", "${meta.rack}", "${node.unique.name}"} {
		if s.draw("spread", 0, 1) == 0 {
			continue
		}
		b := spreadOver(attribute, int8(s.draw("weight", 1, 100)))
		for left, v := 100, 1; s.draw("target", 0, 2) > 0 && v < 4; v++ {
			share := s.draw("percent", 0, left)
			left -= share
			value := map[string]string{"${node.datacenter}": fmt.Sprintf("dc%d", v), "${meta.rack}": fmt.Sprint(v), "${node.unique.name}": fmt.Sprintf("n%d", v)}[attribute]
			b.SpreadTarget = append(b.SpreadTarget, &model.SpreadTarget{Value: value, Percent: uint8(share)})
		}
		g.Spreads = append(g.Spreads, b)
		s.seen = append(s.seen, map[string]bool{})
	}
	for range s.draw("affinities", 0, 2) {
		left := rapid.SampledFrom([]string{"${node.datacenter}", "${node.unique.name}"}).Draw(t, "left")
		g.Affinities = append(g.Affinities, affinity(left, relation.Regexp, fmt.Sprint(s.draw("right", 1, 3)), int8(rapid.SampledFrom([]int{-100, -30, 30, 100}).Draw(t, "liking"))))
	}
	if limits {
		switch s.draw("limit", 0, 4) {
		case 0:
			g.Constraints = []*model.Constraint{{Operand: relation.DistinctHosts}}
		case 1:
			g.Constraints = []*model.Constraint{{LTarget: "${meta.rack}", Operand: relation.DistinctProperty, RTarget: fmt.Sprint(s.draw("each", 1, 3))}}
		}
	}
	return s
}

// begin puts the instances there are on a board.
func (s *stage) begin(instances int) *Selector {
	for i := range instances {
		a := &model.Allocation{
			ID: fmt.Sprint(i), NodeID: fmt.Sprintf("node-%05d", s.draw("on", 0, 13)), TaskGroup: "g",
			AllocatedResources: testGrant(100, 100, nil, nil),
		}
		s.fleet.UpsertAlloc(nil, a)
		s.live = append(s.live, a)
		s.on[a.NodeID]++
	}
	s.board = NewBoard(s.fleet, Settings{Ties: uint64(s.draw("ties", 0, 9)), Spread: s.draw("algorithm", 0, 1) == 1})
	for _, a := range s.live {
		s.board.Add(a)
	}
	return s.board.Select(NewAsk(s.job, s.job.TaskGroups[0]))
}

// value is what a node has of a spread block's attribute.
func (s *stage) value(b *model.Spread, n *model.Node) (string, bool) {
	switch b.Attribute {
	case "${node.datacenter}":
		return n.Datacenter, true
	case "${node.unique.name}":
		return n.Name, true
	}
	v, ok := n.Meta["rack"]
	return v, ok
}

// room are the nodes that one more instance fits.
func (s *stage) room(sel *Selector) []*model.Node {
	var out []*model.Node
	for row := range int32(s.fleet.rows()) {
		if sel.row(row).kind == kindFits {
			out = append(out, s.board.node(row))
		}
	}
	return out
}

// look notes the values that the selection knows.
func (s *stage) look(room []*model.Node) {
	for i, b := range s.job.TaskGroups[0].Spreads {
		for _, n := range room {
			if v, ok := s.value(b, n); ok {
				s.seen[i][v] = true
			}
		}
		for id := range s.on {
			if n := s.nodes[id]; n != nil && s.on[id] > 0 {
				if v, ok := s.value(b, n); ok {
					s.seen[i][v] = true
				}
			}
		}
	}
}

// rating is what one spread block says of a node, from scratch and in words of its
// own: see tally.
func (s *stage) rating(i int, n *model.Node, room []*model.Node) float64 {
	b := s.job.TaskGroups[0].Spreads[i]
	value, ok := s.value(b, n)
	if !ok {
		return -1
	}
	count := map[string]float64{}
	for id, k := range s.on {
		if other := s.nodes[id]; other != nil {
			if v, ok := s.value(b, other); ok {
				count[v] += float64(k)
			}
		}
	}
	if len(b.SpreadTarget) == 0 {
		least := math.Inf(1)
		for _, other := range room {
			if v, ok := s.value(b, other); ok {
				least = min(least, count[v])
			}
		}
		if e := count[value] - least; e > 0 {
			return -e / (e + 1)
		}
		return 1
	}
	rest, others := 100.0, map[string]bool{}
	for v := range s.seen[i] {
		others[v] = true
	}
	share := -1.0
	for _, t := range b.SpreadTarget {
		rest -= float64(t.Percent)
		delete(others, t.Value)
		if t.Value == value {
			share = float64(t.Percent)
		}
	}
	if share < 0 {
		share = rest / float64(len(others))
	}
	missing := share*float64(s.job.TaskGroups[0].Count)/100 - count[value]
	switch {
	case missing > 1-1e-9:
		return 0.75 + 0.25*missing/(missing+count[value])
	case missing > 1e-9:
		return missing / 4
	}
	return (missing - 1) / (2 - missing)
}

// score is a node's final score from scratch.
func (s *stage) score(sel *Selector, n *model.Node, room []*model.Node, avoid string) float64 {
	row, _ := s.fleet.row(n.ID)
	g := s.job.TaskGroups[0]
	total, parts := sel.score(row, false).packing, 2.0
	if s.on[n.ID] > 0 {
		total -= float64(s.on[n.ID]+1) / float64(g.Count)
	}
	if len(g.Affinities) > 0 {
		total += sel.ask.likes(n)
		parts++
	}
	if len(g.Spreads) > 0 {
		parts += 8
		weights := 0.0
		for _, b := range g.Spreads {
			weights += float64(b.Weight)
		}
		for i, b := range g.Spreads {
			total += 8 * s.rating(i, n, room) * float64(b.Weight) / weights
		}
	}
	if n.ID == avoid {
		total -= 2 * (parts - 2)
	}
	return total / parts
}

// TestBestOfAll: whatever was placed, freed and given back before, the node chosen
// has the highest score of all that an instance fits, computed from scratch, and
// one is chosen if there is any.
func TestBestOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStage(t, true)
		if g := s.job.TaskGroups[0]; len(g.Spreads)+len(g.Affinities) == 0 {
			return // scored by another mean
		}
		sel := s.begin(s.draw("instances", 0, 8))
		s.look(s.room(sel))
		for range s.draw("steps", 1, 20) {
			var freed *model.Allocation
			if len(s.live) > 0 && s.draw("free", 0, 2) == 0 {
				freed, s.live = s.live[0], s.live[1:]
				sel.Free(freed)
				s.on[freed.NodeID]--
				s.look(s.room(sel))
			}
			avoid := fmt.Sprintf("node-%05d", s.draw("avoid", 0, 20))
			room := s.room(sel)
			best := math.Inf(-1)
			scores := map[string]float64{}
			for _, n := range room {
				scores[n.ID] = s.score(sel, n, room, avoid)
				best = max(best, scores[n.ID])
			}
			c := sel.Next([]string{avoid})
			if c == nil {
				if len(room) > 0 {
					t.Fatalf("none was chosen of %d", len(room))
				}
			} else {
				if got, ok := scores[c.NodeID]; !ok || got < best-1e-9 {
					t.Fatalf("%s was chosen with %g, the best has %g: %v", c.NodeID, got, best, scores)
				}
				s.on[c.NodeID]++
				s.look(s.room(sel))
			}
			if freed != nil && s.draw("restore", 0, 1) == 0 {
				sel.Restore(freed)
				s.on[freed.NodeID]++
				s.look(s.room(sel))
			}
		}
	})
}

// TestPreferencesExcludeNothing: what fits is placed, whatever is preferred.
func TestPreferencesExcludeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStage(t, false)
		sel := s.begin(0)
		room := 0
		for _, n := range s.nodes {
			room += int(n.NodeResources.Memory.MemoryMB / 100)
		}
		placed := 0
		for sel.Next(nil) != nil {
			placed++
		}
		if placed != room {
			t.Fatalf("%d were placed, there is room for %d", placed, room)
		}
	})
}

// TestSkew: of values that are spread evenly and have room, none has two instances
// more than another, however nodes are liked and filled. With targets each value
// that has room has its share, rounded down at least, and none more than
// rounded up unless others have no room.
func TestSkew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStage(t, false)
		g := s.job.TaskGroups[0]
		if len(g.Spreads) == 0 {
			return
		}
		g.Spreads = g.Spreads[:1]
		for _, id := range slices.Sorted(maps.Keys(s.nodes)) { // differently full for others
			n := s.nodes[id]
			if full := s.draw("full", 0, 5); full > 0 {
				s.fleet.Place(id, testGrant(int64(full)*1000, 0, nil, nil))
			}
			if g.Spreads[0].Attribute == "${meta.rack}" && n.Meta == nil {
				s.fleet.DeleteNode(id)
				delete(s.nodes, id)
			}
		}
		sel := s.begin(0)
		s.look(s.room(sel))
		counts, full := map[string]int{}, false
		for v := range s.seen[0] {
			counts[v] = 0
		}
		placed := 0
		for range g.Count {
			c := sel.Next(nil)
			if c == nil {
				break
			}
			placed++
			v, _ := s.value(g.Spreads[0], s.nodes[c.NodeID])
			counts[v]++
			room := map[string]bool{}
			for _, n := range s.room(sel) {
				v, _ := s.value(g.Spreads[0], n)
				room[v] = true
			}
			for v := range s.seen[0] {
				full = full || !room[v]
			}
			if len(g.Spreads[0].SpreadTarget) > 0 {
				continue
			}
			for v := range room {
				for w, n := range counts {
					if n > counts[v]+1 {
						t.Fatalf("%s has room and is behind %s: %v", v, w, counts)
					}
				}
			}
		}
		if len(g.Spreads[0].SpreadTarget) > 0 && placed == g.Count && !full {
			s.fair(counts)
		}
	})
}

// fair checks that all have their share.
func (s *stage) fair(counts map[string]int) {
	b, count := s.job.TaskGroups[0].Spreads[0], float64(s.job.TaskGroups[0].Count)
	want, rest := map[string]float64{}, 100.0
	for _, t := range b.SpreadTarget {
		want[t.Value] = float64(t.Percent) * count / 100
		rest -= float64(t.Percent)
		if _, exists := counts[t.Value]; !exists && t.Percent > 0 {
			return // the share of a value that no node has goes to others
		}
	}
	unnamed := 0
	for v := range counts {
		if _, named := want[v]; !named {
			unnamed++
		}
	}
	if unnamed == 0 && rest > 0 {
		return
	}
	for v, n := range counts {
		w, named := want[v]
		if !named {
			w = rest * count / 100 / float64(unnamed)
		}
		if float64(n) < math.Floor(w+1e-9) || float64(n) > math.Ceil(w-1e-9) {
			s.Fatalf("%s has %d and should have %g: %v", v, n, w, counts)
		}
	}
}
