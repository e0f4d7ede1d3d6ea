package place

import (
	"regexp"
	"strconv"
	"strings"

	version "github.com/hashicorp/go-version"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
)

// matcher compares a value with the right side it was made for.
type matcher func(value string) bool

// predicate is a compiled constraint on the node alone.
type predicate struct {
	text        string // as users write it: "${attr.kernel.name} = linux"
	operator    string
	left, right operand
	match       matcher // when the right side is constant
}

func newPredicate(c *model.Constraint) *predicate {
	r := &predicate{text: ConstraintText(c), operator: c.Operand, left: parseOperand(c.LTarget), right: parseOperand(c.RTarget)}
	if right, ok := r.right.constant(); ok {
		r.match = newMatcher(c.Operand, right)
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
		return isNot(r.operator) && hasLeft != hasRight
	}
	if r.match != nil {
		return r.match(left)
	}
	return newMatcher(r.operator, right)(left)
}

func isNot(operator string) bool { return operator == "!=" || operator == "not" }

func never(string) bool { return false }

// newMatcher compiles an operator with its right side. An operator, expression
// or version that does not parse matches nothing; jobs with such are refused
// when they are submitted.
func newMatcher(operator, right string) matcher {
	switch operator {
	case "=", "==", "is", "":
		return func(v string) bool { return v == right }
	case "!=", "not":
		return func(v string) bool { return v != right }
	case "<", "<=", ">", ">=":
		return func(v string) bool { return inOrder(operator, compareValues(v, right)) }
	case relation.Regexp:
		re, err := regexp.Compile(right)
		if err != nil {
			return never
		}
		return re.MatchString
	case relation.Version:
		return versionMatcher(right)
	case relation.Semver:
		return semverMatcher(right)
	case relation.SetContains, relation.SetContainsAll:
		return setMatcher(right, true)
	case relation.SetContainsAny:
		return setMatcher(right, false)
	}
	return never
}

// inOrder tells whether a comparison result (<0, 0, >0) satisfies an operator.
func inOrder(operator string, c int) bool {
	switch operator {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "!=":
		return c != 0
	}
	return c == 0
}

// compareValues compares as numbers where both are, else as text.
func compareValues(a, b string) int {
	if x, err := strconv.ParseInt(a, 10, 64); err == nil {
		if y, err := strconv.ParseInt(b, 10, 64); err == nil {
			return compare(x, y)
		}
	}
	if x, err := strconv.ParseFloat(a, 64); err == nil {
		if y, err := strconv.ParseFloat(b, 64); err == nil {
			return compare(x, y)
		}
	}
	return strings.Compare(a, b)
}

func compare[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// versionMatcher is a list of conditions such as ">= 1.2, < 2.0"; a pre-release
// matches only conditions that name one.
func versionMatcher(right string) matcher {
	want, err := version.NewConstraint(right)
	if err != nil {
		return never
	}
	return func(v string) bool {
		have, err := version.NewVersion(v)
		return err == nil && want.Check(have)
	}
}

// semverMatcher is a list of conditions in the strict order of semver.org, in
// which a pre-release comes before its release.
func semverMatcher(right string) matcher {
	type condition struct {
		operator string
		version  *version.Version
	}
	var list []condition
	for _, item := range strings.Split(right, ",") {
		item = strings.TrimSpace(item)
		number := strings.TrimLeft(item, "<>=!")
		operator := strings.TrimSpace(item[:len(item)-len(number)])
		v, err := version.NewSemver(strings.TrimSpace(number))
		if err != nil || !isComparison(operator) {
			return never
		}
		list = append(list, condition{operator, v})
	}
	return func(v string) bool {
		have, err := version.NewSemver(v)
		if err != nil {
			return false
		}
		for _, c := range list {
			if !inOrder(c.operator, have.Compare(c.version)) {
				return false
			}
		}
		return true
	}
}

func isComparison(operator string) bool {
	switch operator {
	case "", "=", "!=", "<", "<=", ">", ">=":
		return true
	}
	return false
}

// setMatcher looks for all or any of a comma-separated list in another.
func setMatcher(right string, all bool) matcher {
	want := splitSet(right)
	return func(v string) bool {
		have := map[string]bool{}
		for _, item := range splitSet(v) {
			have[item] = true
		}
		for _, item := range want {
			if have[item] != all {
				return !all
			}
		}
		return all
	}
}

func splitSet(list string) []string {
	items := strings.Split(list, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
