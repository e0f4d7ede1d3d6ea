package reconcile

import (
	"cmp"
	"slices"

	"github.com/steppe-project/steppe/model"
)

// gang sums up what there is of a gang, when what is to place is known.
func (r *run) gang(out *Group, roll *roll, slots []slot) {
	g := out.Group
	if g.Gang == nil || len(slots) == 0 {
		return
	}
	s := &Gang{Broken: roll.broken}
	replaced := make(map[int]bool, len(out.Places))
	for i := range out.Places {
		replaced[out.Places[i].Index] = true
	}
	there := make([]bool, len(slots))
	for i := range slots {
		a := slots[i].live
		if a == nil {
			a = slots[i].leaves
		}
		if a != nil {
			s.Live = append(s.Live, a)
		} else if slots[i].done == nil {
			continue
		}
		there[i] = true
		if !replaced[i] {
			s.Stays++
		}
	}
	s.Size = size(out, s.Live)
	for _, yes := range there[:s.Size] {
		if yes {
			s.There++
		}
	}
	out.Gang = s
}

// size is how many make a gang whole: an older version goes on as long as all of it is
// there, also one that was no gang. Of several versions, which an update that was under way
// leaves when the group becomes a gang, the newest counts: all were to run that, and nothing
// finishes the update any more.
func size(out *Group, live []*model.Allocation) int {
	g := out.Group
	if len(live) == 0 || len(out.InPlace) > 0 {
		return g.Count
	}
	newest := slices.MaxFunc(live, func(a, b *model.Allocation) int {
		if a.Job == nil || b.Job == nil {
			return cmp.Compare(a.JobVersion, b.JobVersion)
		}
		return cmp.Or(cmp.Compare(a.Job.CreateIndex, b.Job.CreateIndex), cmp.Compare(a.JobVersion, b.JobVersion))
	})
	return min(g.Count, groupOf(newest, g).Count)
}
