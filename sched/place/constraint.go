package place

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
	"github.com/steppe-project/steppe/sched/place/match"
)

// predicate is a compiled constraint on the node alone.
type predicate struct {
	text        string // as users write it: "${attr.kernel.name} = linux"
	operator    string
	left, right operand
	match       match.Func // when the right side is constant
}

func newPredicate(c *model.Constraint) *predicate {
	r := &predicate{text: ConstraintText(c), operator: c.Operand, left: parseOperand(c.LTarget), right: parseOperand(c.RTarget)}
	if right, ok := r.right.constant(); ok {
		r.match = match.New(c.Operand, right)
	}
	return r
}

// ConstraintText is a constraint in one line, as failed placements name it.
func ConstraintText(c *model.Constraint) string {
	op := c.Operand
	if op == "" {
		op = "="
	}
	switch {
	case c.LTarget == "" && c.RTarget == "":
		return op
	case c.RTarget == "":
		return c.LTarget + " " + op
	case c.LTarget == "":
		return op + " " + c.RTarget
	}
	return c.LTarget + " " + op + " " + c.RTarget
}

// escaped tells whether equal classes may differ in the rule's outcome.
func (r *predicate) escaped() bool { return r.left.escaped || r.right.escaped }

// met tells whether the node satisfies the rule. What the node does not have is
// unequal to everything and in no other relation.
func (r *predicate) met(n *model.Node, region string) bool {
	left, hasLeft := r.left.resolve(n, region)
	switch r.operator {
	case relation.IsSet:
		return hasLeft
	case relation.IsNotSet:
		return !hasLeft
	}
	right, hasRight := r.right.resolve(n, region)
	if !hasLeft || !hasRight {
		return match.Negates(r.operator) && hasLeft != hasRight
	}
	if r.match != nil {
		return r.match(left)
	}
	return match.New(r.operator, right)(left)
}
