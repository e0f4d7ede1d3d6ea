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
	scoreBinpack = "binpack"
	scoreSpread  = "spread"
	scorePeers   = "job-anti-affinity"
	scorePenalty = "node-reschedule-penalty"
	scoreLiking  = "node-affinity"
	scoreLane    = "allocation-spread"
)

// Metrics tells how the nodes answered when the selection began, and which
// were best. Evaluated are the nodes that are ready in the job's datacenters and
// pool; the reasons of the others are listed with the constraints, but not
// counted as filtered.
func (s *Selector) Metrics() *model.AllocationMetric {
	m := s.outcome()
	m.ScoreMetaData = s.top()
	return m
}

// Metrics tells how all nodes answer the ask as the board is now.
func (k *Checker) Metrics() *model.AllocationMetric {
	k.scan(nil)
	return k.outcome()
}

// outcome is the count of the last scan.
func (k *Checker) outcome() *model.AllocationMetric {
	m := &model.AllocationMetric{NodePool: k.ask.Pool, NodesAvailable: make(map[string]int)}
	for _, dc := range k.ask.DCs {
		if !isGlob(dc) {
			m.NodesAvailable[dc] = 0
		}
	}
	for _, o := range k.classes {
		n := o.nodes
		if o.inPool {
			m.NodesInPool += n[kindOutside] + n[kindUnready] + n[kindFiltered] + n[kindExhausted] + n[kindFits]
		}
		if ready := n[kindFiltered] + n[kindExhausted] + n[kindFits]; ready > 0 {
			m.NodesEvaluated += ready
			m.NodesAvailable[o.dc] += ready
		}
		m.NodesFiltered += n[kindFiltered]
		m.NodesExhausted += n[kindExhausted]
		m.ClassFiltered = count(m.ClassFiltered, o.nodeClass, n[kindFiltered])
		m.ClassExhausted = count(m.ClassExhausted, o.nodeClass, n[kindExhausted])
	}
	for _, r := range k.reasons[1:] {
		if r.kind == kindExhausted {
			m.DimensionExhausted = count(m.DimensionExhausted, r.text, r.nodes)
		} else {
			m.ConstraintFiltered = count(m.ConstraintFiltered, r.text, r.nodes)
		}
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

// count adds n to what a name counts; nothing is counted without a name.
func count(m map[string]int, name string, n int) map[string]int {
	if name == "" || n == 0 {
		return m
	}
	if m == nil {
		m = make(map[string]int)
	}
	m[name] += n
	return m
}

// top are the best candidates with their scores, best first.
func (s *Selector) top() []*model.NodeScoreMeta {
	var out []*model.NodeScoreMeta
	for _, c := range s.lanes.Best(maxScores) {
		out = append(out, s.meta(c.Row))
	}
	return out
}

func (s *Selector) meta(row int32) *model.NodeScoreMeta {
	c, i := s.board.fleet.at(row)
	v := s.whole(row, false)
	name := scoreBinpack
	if s.board.set.Spread {
		name = scoreSpread
	}
	scores := map[string]float64{name: round(v.packing), scorePeers: round(v.peers), scorePenalty: round(v.penalty)}
	if len(s.ask.spreads) > 0 {
		scores[scoreLane] = round(v.spread)
	}
	if s.ask.prefers {
		scores[scoreLiking] = round(v.liking)
	}
	return &model.NodeScoreMeta{NodeID: c.id[i], Scores: scores, NormScore: round(v.final)}
}

// round keeps what a person compares.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// ClassEligibility says of each computed class whether its nodes could run the
// ask if they had room; escaped that more than the class decides, so that any
// change of a node may help.
func (k *Checker) ClassEligibility() (classes map[string]bool, escaped bool) {
	for row := range int32(k.board.fleet.rows()) {
		if c, i := k.board.fleet.at(row); c.info[i] != nil {
			k.class(c, i)
		}
	}
	classes = make(map[string]bool, len(k.classes))
	for class, o := range k.classes {
		classes[class] = o.verdict.kind == kindFits
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
		return nil, k.reasons[v.reason].text
	}
	return k.board.take(row, k.ask), ""
}
