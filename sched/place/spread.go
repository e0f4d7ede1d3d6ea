package place

import (
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/rank"
)

// addSpreads compiles a group's spread blocks, and those of its job on other
// attributes.
func (a *Ask) addSpreads(job, group []*model.Spread) {
	list := slices.Clone(group)
	for _, s := range job {
		if !slices.ContainsFunc(group, func(g *model.Spread) bool { return g.Attribute == s.Attribute }) {
			list = append(list, s)
		}
	}
	list = slices.DeleteFunc(list, func(s *model.Spread) bool { return s.Weight <= 0 })
	all := 0.0
	for _, s := range list {
		all += float64(s.Weight)
	}
	for _, s := range list {
		c := &rank.Block{Weight: float64(s.Weight) / all, Shares: make(map[string]float64), Rest: 100}
		for _, t := range s.SpreadTarget {
			c.Shares[t.Value] = float64(t.Percent)
			c.Rest -= float64(t.Percent)
		}
		value := parseOperand(s.Attribute)
		a.spreads, a.spreadBy = append(a.spreads, c), append(a.spreadBy, value)
		a.spreadIDs = a.spreadIDs || value.escaped
	}
}
