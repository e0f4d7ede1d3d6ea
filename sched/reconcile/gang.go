package reconcile

// gang sums up what there is of a gang, when what is to place is known.
func (r *run) gang(out *Group, roll *roll, slots []slot) {
	g := out.Group
	if g.Gang == nil || len(slots) == 0 {
		return
	}
	s := &Gang{Size: g.Count, Broken: roll.broken}
	replaced := make(map[int]bool, len(out.Places))
	for i := range out.Places {
		replaced[out.Places[i].Index] = true
	}
	older := 0
	for i := range slots {
		a := slots[i].live
		if a == nil {
			a = slots[i].leaves
		}
		switch {
		case a != nil:
			s.Live = append(s.Live, a)
			if r.outdated(a) {
				older++
			}
		case slots[i].done != nil:
			s.Done++
		default:
			continue
		}
		if !replaced[i] {
			s.Stays++
		}
	}
	if older > 0 && older == len(s.Live) {
		s.Size = min(s.Size, groupOf(s.Live[0], g).Count) // it is the older version's gang still
	}
	out.Gang = s
}
