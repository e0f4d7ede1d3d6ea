package model

import "github.com/steppe-project/steppe/model/relation"

// constraints checks those of a block; what is "" where instances may be compared.
func (v *validator) constraints(p Path, what string, constraints []*Constraint) {
	for i, c := range constraints {
		v.comparison(p.Index("constraint", i), what, c.LTarget, c.Operand, c.RTarget)
	}
}

func (v *validator) comparison(p Path, what, left, operator, right string) {
	fault, hint := relation.Fault(left, operator, right)
	if what != "" && relation.OfPeers(operator) {
		fault, hint = operator+" cannot be "+what, "write it as a constraint of the group or the job"
	}
	if fault != "" {
		v.add(p, hint, "%s", fault)
	}
}

// chooses says whether nodes are chosen for the job; else blocks that prefer some are refused.
func (v *validator) chooses(p Path, blocks int) bool {
	ok := blocks == 0 || reschedules(v.job.Type)
	if !ok {
		v.add(p, "delete it; constraint keeps the job off nodes", "a %s job runs on every fitting node and prefers none", v.job.Type)
	}
	return ok
}

func (v *validator) affinities(p Path, affinities []*Affinity) {
	if !v.chooses(p.Index("affinity", 0), len(affinities)) {
		return
	}
	for i, a := range affinities {
		ap := p.Index("affinity", i)
		v.comparison(ap, "an affinity", a.LTarget, a.Operand, a.RTarget)
		if a.Weight == 0 || a.Weight < -100 || a.Weight > 100 {
			v.add(ap.Attr("weight"), "negative weights avoid nodes", "must be -100 to 100 and not 0, but is %d", a.Weight)
		}
	}
}

func (v *validator) spreads(p Path, spreads []*Spread) {
	if !v.chooses(p.Index("spread", 0), len(spreads)) {
		return
	}
	seen := map[string]bool{}
	for i, s := range spreads {
		sp := p.Index("spread", i)
		if !interpolated(s.Attribute) {
			v.add(sp.Attr("attribute"), `such as "${node.datacenter}"`, "%q is not an attribute of nodes", shorten(s.Attribute))
		} else if seen[s.Attribute] {
			v.add(sp.Attr("attribute"), "write one block with all targets", "another spread block has the attribute %q", shorten(s.Attribute))
		}
		seen[s.Attribute] = true
		if s.Weight < 1 || s.Weight > 100 {
			v.add(sp.Attr("weight"), "without the block nothing is spread", "must be 1 to 100, but is %d", s.Weight)
		}
		v.targets(sp, s.SpreadTarget)
	}
}

func (v *validator) targets(p Path, targets []*SpreadTarget) {
	seen, sum := map[string]int{}, 0
	for _, t := range targets {
		tp := labelled(p, "target", t.Value, seen)
		if seen[t.Value] > 1 {
			v.add(tp, "", "the target %q is named twice", shorten(t.Value))
		} else if t.Value == "" || t.Value == "*" {
			v.add(tp, "what the targets leave of 100 percent goes to all other values", "a target needs a value, not %q", t.Value)
		}
		sum += int(t.Percent)
	}
	if sum > 100 {
		v.add(p, "lower some of them", "the targets add up to %d percent, more than 100", sum)
	}
}
