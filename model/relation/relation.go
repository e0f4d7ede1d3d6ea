// Package relation is the language in which constraint and affinity blocks speak of a
// node: "${attr.kernel.name} = linux". It is part of the model: pure rules.
//
// Invariants: an operator is known here or nowhere; what Fault lets pass, the
// scheduler's compiler of rules understands.
//
// Example:
//
//	fault, hint := relation.Fault("${attr.os.version}", relation.Version, ">= 22.04")
package relation

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Operators besides =, ==, is, !=, not, <, <=, >, >=.
const (
	Regexp           = "regexp"
	Version          = "version"
	Semver           = "semver"
	SetContains      = "set_contains"
	SetContainsAll   = "set_contains_all"
	SetContainsAny   = "set_contains_any"
	IsSet            = "is_set"
	IsNotSet         = "is_not_set"
	DistinctHosts    = "distinct_hosts"
	DistinctProperty = "distinct_property"
)

var (
	versions = regexp.MustCompile(`^\s*(?:=|!=|>=|<=|>|<|~>)?\s*v?\d+(?:\.\d+)*(?:-[0-9A-Za-z.~-]+)?(?:\+[0-9A-Za-z.~-]+)?\s*$`)
	semvers  = regexp.MustCompile(`^\s*(?:=|!=|>=|<=|>|<)?\s*v?\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\s*$`)
)

// OfPeers tells whether an operator compares instances with one another instead
// of looking at the node.
func OfPeers(operator string) bool { return operator == DistinctHosts || operator == DistinctProperty }

// Fault tells what is wrong with a comparison, and what to write; "" for nothing.
// A right side that is known only on the node is not looked into.
func Fault(left, operator, right string) (fault, hint string) {
	switch operator {
	case DistinctHosts:
		if _, err := strconv.ParseBool(right); err != nil && right != "" {
			fault = fmt.Sprintf("distinct_hosts must be true or false, not %.40q", right)
		}
		return fault, ""
	case DistinctProperty:
		if n, err := strconv.ParseUint(right, 10, 31); right != "" && (err != nil || n == 0) {
			return fmt.Sprintf("distinct_property needs a limit of at least 1, not %.40q", right), ""
		}
	case Regexp:
		if _, err := regexp.Compile(right); err != nil && !strings.Contains(right, "${") {
			return fmt.Sprintf("%.40q is not a regular expression: %v", right, err), ""
		}
	case Version:
		fault, hint = versionFault(versions, right)
	case Semver:
		fault, hint = versionFault(semvers, right)
	case SetContains, SetContainsAll, SetContainsAny:
		if right == "" {
			return operator + " needs a value", ""
		}
	case IsSet, IsNotSet:
		if right != "" {
			return operator + " takes no value", ""
		}
	case "=", "==", "is", "!=", "not", "<", "<=", ">", ">=":
	default:
		return fmt.Sprintf("unknown constraint operator %.40q", operator), "see the constraint block"
	}
	if fault == "" && left == "" {
		return fmt.Sprintf("a constraint with the operator %s needs an attribute", operator), `such as "${attr.kernel.name}"`
	}
	return fault, hint
}

func versionFault(form *regexp.Regexp, list string) (fault, hint string) {
	for r := range strings.SplitSeq(list, ",") {
		if !form.MatchString(r) && !strings.Contains(list, "${") {
			return fmt.Sprintf("%.40q is not a version constraint", list), `such as ">= 1.2, < 2.0"`
		}
	}
	return "", ""
}
