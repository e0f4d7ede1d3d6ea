package place

import (
	"math"

	"github.com/steppe-project/steppe/model"
)

// liking is a compiled affinity: what it is to nodes that meet its predicate.
type liking struct {
	*predicate
	weight float64
}

func (a *Ask) addAffinities(list []*model.Affinity) {
	for _, f := range list {
		if f.Weight == 0 {
			continue
		}
		c := &model.Constraint{LTarget: f.LTarget, Operand: f.Operand, RTarget: f.RTarget}
		l := liking{predicate: newPredicate(c), weight: float64(f.Weight)}
		a.likings = append(a.likings, l)
		a.likesIDs = a.likesIDs || l.escaped()
	}
}

// likes is how much the ask prefers a node, -1 to 1: the weights of the affinities
// that the node meets, and its devices, over what all weights amount to. It keeps no
// node out.
func (a *Ask) likes(n *model.Node) float64 {
	met, all := 0.0, 0.0
	for _, l := range a.likings {
		all += math.Abs(l.weight)
		if l.met(n, a.Job.Region) {
			met += l.weight
		}
	}
	if n.NodeResources != nil {
		for i := range a.Devices {
			some, of := a.Devices[i].Likes(n.NodeResources.Devices)
			met, all = met+some, all+of
		}
	}
	if all == 0 {
		return 0
	}
	return met / all
}

// likes is Ask.likes of a row; nodes of a class are liked alike where no affinity
// tells them apart.
func (k *Checker) likes(c *chunk, i int) float64 {
	switch {
	case !k.ask.prefers:
		return 0
	case k.ask.likesIDs:
		return k.ask.likes(c.info[i].node)
	}
	return k.class(c, i).liked
}
