package reconcile

import (
	"cmp"
	"slices"

	"github.com/steppe-project/steppe/model"
)

// gang sums up what there is of a gang, when what is to place is known.
func (r *run) gang(out *Group, roll *roll, slots []slot, allocs []*model.Allocation) {
	if out.Group.Gang == nil || len(slots) == 0 {
		return
	}
	s := &Gang{Broken: roll.broken}
	there, after, placed := make([]bool, len(slots)), make([]*model.Allocation, 0, len(slots)), make(map[int]bool, len(out.Places))
	for i := range out.Places {
		placed[out.Places[i].Index] = true
		after = append(after, out.Places[i].Previous) // whose version it is, if the update does not go on
	}
	for i := range slots {
		a := slots[i].live
		if a == nil {
			a = slots[i].leaves
		}
		there[i] = a != nil || slots[i].done != nil
		if a != nil {
			s.Live = append(s.Live, a)
		}
		if a != nil && !placed[i] {
			after = append(after, a)
		}
	}
	s.Want, s.Size = out.Group.Count, size(out, s.Live)
	if !slices.ContainsFunc(out.Places, func(p Place) bool { return !p.Past }) {
		s.Want = size(out, after)
	}
	for i := range s.Want {
		if there[i] && !placed[i] {
			s.Stays++
		} else if !placed[i] {
			s.Missing++
		}
	}
	r.finished(s, there, allocs)
	for _, yes := range there[:s.Size] {
		if yes {
			s.There++
		}
	}
	out.Gang = s
}

// finished has what is complete of the version that runs count, also if that is an older
// one: the present one is to do it again, but until that is placed nothing is missing.
func (r *run) finished(s *Gang, there []bool, allocs []*model.Allocation) {
	if !r.batch || len(s.Live) == 0 {
		return
	}
	runs := newest(s.Live)
	for _, a := range allocs {
		if i := a.Index(); i >= 0 && i < len(there) && !there[i] && !a.ServerTerminal() && a.ClientStatus == model.ClientComplete {
			there[i] = same(a, runs)
		}
	}
}

// same tells whether of two instances of a group none would have to be replaced to run the
// version of the other.
func same(a, b *model.Allocation) bool {
	if a.Job == nil || b.Job == nil || a.Job.CreateIndex != b.Job.CreateIndex {
		return false
	}
	return a.JobVersion == b.JobVersion || !Changed(a.Job, b.Job, a.TaskGroup)
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
	return min(g.Count, groupOf(newest(live), g).Count)
}

// newest is one of the allocations that run the newest version.
func newest(live []*model.Allocation) *model.Allocation {
	return slices.MaxFunc(live, func(a, b *model.Allocation) int {
		if a.Job == nil || b.Job == nil {
			return cmp.Compare(a.JobVersion, b.JobVersion)
		}
		return cmp.Or(cmp.Compare(a.Job.CreateIndex, b.Job.CreateIndex), cmp.Compare(a.JobVersion, b.JobVersion))
	})
}
