// Package match compiles the operators of constraints and affinities.
//
// Example:
//
//	fits := match.New("version", ">= 5.4, < 7")
//	ok := fits("6.1.0")
package match

import (
	"regexp"
	"strconv"
	"strings"

	version "github.com/hashicorp/go-version"

	"github.com/steppe-project/steppe/model/relation"
)

// Func compares a value with the right side it was made for.
type Func func(value string) bool

func never(string) bool { return false }

// Negates tells whether an operator holds where the others do not: also of what is absent.
func Negates(operator string) bool { return operator == "!=" || operator == "not" }

// New compiles an operator with its right side. An operator, expression
// or version that does not parse matches nothing; jobs with such are refused
// when they are submitted.
func New(operator, right string) Func {
	switch operator {
	case "=", "==", "is", "":
		return func(v string) bool { return v == right }
	case "!=", "not":
		return func(v string) bool { return v != right }
	case "<", "<=", ">", ">=":
		return func(v string) bool { return InOrder(operator, compareValues(v, right)) }
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

// InOrder tells whether a comparison result (<0, 0, >0) satisfies an operator.
func InOrder(operator string, c int) bool {
	switch operator {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "!=", "not":
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
func versionMatcher(right string) Func {
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
func semverMatcher(right string) Func {
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
			if !InOrder(c.operator, have.Compare(c.version)) {
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
func setMatcher(right string, all bool) Func {
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
