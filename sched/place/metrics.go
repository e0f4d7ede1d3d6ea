package place

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// maxScores bounds the scored nodes that a metric names: enough to see why one
// was preferred.
const maxScores = 5

// Names of score components, as clients of the API know them.
const (
	scoreBinpack  = "binpack"
	scoreSpread   = "spread"
	scoreAffinity = "job-anti-affinity"
	scorePenalty  = "node-reschedule-penalty"
)

// Metrics tells how all nodes answer the ask as the board is now. Evaluated are
// the nodes that are ready in the job's datacenters and pool; the reasons of
// the others are listed with the constraints, but not counted as filtered.
func (s *Selector) Metrics() *model.AllocationMetric {
	m := s.Checker.Metrics()
	m.ScoreMetaData = s.top()
	return m
}

// Metrics is that of Selector without scores.
func (k *Checker) Metrics() *model.AllocationMetric {
	m := &model.AllocationMetric{NodePool: k.ask.Pool, NodesAvailable: make(map[string]int)}
	counts := make(map[verdict]int)
	for _, dc := range k.ask.DCs {
		if !isGlob(dc) {
			m.NodesAvailable[dc] = 0
		}
	}
	for row := range int32(k.board.fleet.rows()) {
		v := k.row(row)
		if v.kind == kindAbsent {
			continue
		}
		c, i := k.board.fleet.at(row)
		n := c.info[i].node
		if k.ask.inPool(n.NodePool) {
			m.NodesInPool++
		}
		if v.kind >= kindFiltered {
			m.NodesEvaluated++
			m.NodesAvailable[n.Datacenter]++
		}
		switch v.kind {
		case kindFiltered:
			m.NodesFiltered++
			m.ClassFiltered = count(m.ClassFiltered, n.NodeClass)
		case kindExhausted:
			m.NodesExhausted++
			m.ClassExhausted = count(m.ClassExhausted, n.NodeClass)
		case kindFits:
			continue
		}
		counts[v]++
	}
	for v, n := range counts {
		target := &m.ConstraintFiltered
		if v.kind == kindExhausted {
			target = &m.DimensionExhausted
		}
		if *target == nil {
			*target = make(map[string]int)
		}
		(*target)[k.reasons[v.reason]] += n
	}
	return m
}

func isGlob(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case '*', '?', '[', '\\':
			return true
		}
	}
	return false
}

// count adds one to a node class; nodes without one are not named.
func count(m map[string]int, class string) map[string]int {
	if class == "" {
		return m
	}
	if m == nil {
		m = make(map[string]int)
	}
	m[class]++
	return m
}

// top are the best candidates with their scores, best first.
func (s *Selector) top() []*model.NodeScoreMeta {
	var out []*model.NodeScoreMeta
	frontier := []int32{0}
	for len(out) < maxScores && len(frontier) > 0 {
		best := -1
		for i, at := range frontier {
			if int(at) < len(s.heap) && (best < 0 || s.heap[at].before(s.heap[frontier[best]])) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		at := frontier[best]
		frontier[best] = 2*at + 1
		frontier = append(frontier, 2*at+2)
		out = append(out, s.meta(s.heap[at].row))
	}
	return out
}

func (s *Selector) meta(row int32) *model.NodeScoreMeta {
	c, i := s.board.fleet.at(row)
	v := s.score(row, false)
	name := scoreBinpack
	if s.board.set.Spread {
		name = scoreSpread
	}
	scores := map[string]float64{name: round(v.packing), scoreAffinity: round(v.affinity), scorePenalty: round(v.penalty)}
	return &model.NodeScoreMeta{NodeID: c.id[i], Scores: scores, NormScore: round(v.final)}
}

// round keeps what a person compares.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// ClassEligibility says of each computed class whether its nodes could run the
// ask if they had room; escaped that more than the class decides, so that any
// change of a node may help.
func (k *Checker) ClassEligibility() (classes map[string]bool, escaped bool) {
	classes = make(map[string]bool)
	for row := range int32(k.board.fleet.rows()) {
		c, i := k.board.fleet.at(row)
		if c.info[i] == nil {
			continue
		}
		if _, seen := classes[c.class[i]]; !seen {
			classes[c.class[i]] = k.class(c.class[i], c.info[i]).kind == kindFits
		}
	}
	return classes, k.ask.escaped
}

// Targets are the nodes that the ask may run on and that take new work, in an
// order that does not depend on how the fleet came to be.
func (k *Checker) Targets() []string {
	type target struct {
		hash uint64
		id   string
	}
	var list []target
	for row := range int32(k.board.fleet.rows()) {
		if v := k.row(row); v.kind >= kindExhausted {
			c, i := k.board.fleet.at(row)
			list = append(list, target{c.hash[i], c.id[i]})
		}
	}
	slices.SortFunc(list, func(a, b target) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), strings.Compare(a.id, b.id))
	})
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].id
	}
	return out
}

// On places an instance on a given node and books it; else it says what the
// node lacks.
func (k *Checker) On(nodeID string) (*Choice, string) {
	row, ok := k.board.fleet.row(nodeID)
	if !ok {
		return nil, reasonAbsent
	}
	if v := k.row(row); v.kind != kindFits {
		if v.kind == kindAbsent {
			return nil, reasonAbsent
		}
		return nil, k.reasons[v.reason]
	}
	return k.board.take(row, k.ask), ""
}
