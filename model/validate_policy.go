package model

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Constraint operators besides =, ==, is, !=, not, <, <=, >, >=.
const (
	OpRegexp           = "regexp"
	OpVersion          = "version"
	OpSemver           = "semver"
	OpSetContains      = "set_contains"
	OpSetContainsAll   = "set_contains_all"
	OpSetContainsAny   = "set_contains_any"
	OpIsSet            = "is_set"
	OpIsNotSet         = "is_not_set"
	OpDistinctHosts    = "distinct_hosts"
	OpDistinctProperty = "distinct_property"
)

var (
	versionRule = regexp.MustCompile(`^\s*(?:=|!=|>=|<=|>|<|~>)?\s*v?\d+(?:\.\d+)*(?:-[0-9A-Za-z.~-]+)?(?:\+[0-9A-Za-z.~-]+)?\s*$`)
	semverRule  = regexp.MustCompile(`^\s*(?:=|!=|>=|<=|>|<)?\s*v?\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\s*$`)
)

func (v *validator) constraints(p Path, constraints []*Constraint) {
	for i, c := range constraints {
		v.constraint(p.Index("constraint", i), c)
	}
}

func (v *validator) constraint(p Path, c *Constraint) {
	literal := !interpolated(c.RTarget)
	switch c.Operand {
	case OpDistinctHosts:
		if _, err := strconv.ParseBool(c.RTarget); err != nil && c.RTarget != "" {
			v.add(p, "", "distinct_hosts must be true or false, not %q", shorten(c.RTarget))
		}
		return
	case OpDistinctProperty:
		if n, err := strconv.ParseUint(c.RTarget, 10, 31); c.RTarget != "" && (err != nil || n == 0) {
			v.add(p, "", "distinct_property needs a limit of at least 1, not %q", shorten(c.RTarget))
		}
	case OpRegexp:
		if _, err := regexp.Compile(c.RTarget); err != nil && literal {
			v.add(p, "", "%q is not a regular expression: %v", shorten(c.RTarget), err)
		}
	case OpVersion:
		v.versionConstraint(p, c.RTarget, versionRule, literal)
	case OpSemver:
		v.versionConstraint(p, c.RTarget, semverRule, literal)
	case OpSetContains, OpSetContainsAll, OpSetContainsAny:
		if c.RTarget == "" {
			v.add(p, "", "%s needs a value", c.Operand)
		}
	case OpIsSet, OpIsNotSet:
		if c.RTarget != "" {
			v.add(p, "", "%s takes no value", c.Operand)
		}
	case "=", "==", "is", "!=", "not", "<", "<=", ">", ">=":
	default:
		v.add(p, "see the constraint block", "unknown constraint operator %q", shorten(c.Operand))
	}
	if c.LTarget == "" {
		v.add(p, `such as "${attr.kernel.name}"`, "a constraint with the operator %s needs an attribute", shorten(c.Operand))
	}
}

func (v *validator) versionConstraint(p Path, rules string, rule *regexp.Regexp, literal bool) {
	if !literal {
		return
	}
	for r := range strings.SplitSeq(rules, ",") {
		if !rule.MatchString(r) {
			v.add(p, `such as ">= 1.2, < 2.0"`, "%q is not a version constraint", shorten(rules))
			return
		}
	}
}

func (v *validator) update(p Path, u *UpdateStrategy) {
	if u == nil {
		return
	}
	p = p.Attr("update")
	if u.MaxParallel < 0 {
		v.add(p.Attr("max_parallel"), "", "must not be negative, but is %d", u.MaxParallel)
	}
	if u.Canary < 0 {
		v.add(p.Attr("canary"), "", "must not be negative, but is %d", u.Canary)
	}
	if u.AutoPromote && u.Canary == 0 {
		v.add(p.Attr("auto_promote"), "", "auto_promote needs canary of at least 1")
	}
	v.oneOf(p.Attr("health_check"), u.HealthCheck, "checks", "task_states", "manual")
	v.notNegative(p.Attr("stagger"), u.Stagger)
	v.notNegative(p.Attr("min_healthy_time"), u.MinHealthyTime)
	if u.HealthyDeadline <= u.MinHealthyTime {
		v.add(p.Attr("healthy_deadline"), "", "must be longer than min_healthy_time (%s), but is %s", u.MinHealthyTime, u.HealthyDeadline)
	}
	if u.ProgressDeadline != 0 && u.ProgressDeadline < u.HealthyDeadline {
		v.add(p.Attr("progress_deadline"), "0 means none", "must not be shorter than healthy_deadline (%s), but is %s", u.HealthyDeadline, u.ProgressDeadline)
	}
}

func (v *validator) migrate(p Path, m *MigrateStrategy) {
	if m == nil {
		return
	}
	if m.MaxParallel < 1 {
		v.add(p.Attr("max_parallel"), "", "must be at least 1, but is %d", m.MaxParallel)
	}
	v.oneOf(p.Attr("health_check"), m.HealthCheck, "checks", "task_states")
	v.notNegative(p.Attr("min_healthy_time"), m.MinHealthyTime)
	if m.HealthyDeadline <= m.MinHealthyTime {
		v.add(p.Attr("healthy_deadline"), "", "must be longer than min_healthy_time (%s), but is %s", m.MinHealthyTime, m.HealthyDeadline)
	}
}

func (v *validator) restart(p Path, r *RestartPolicy) {
	if r == nil {
		return
	}
	v.oneOf(p.Attr("mode"), r.Mode, RestartModeFail, RestartModeDelay)
	v.notNegative(p.Attr("delay"), r.Delay)
	switch {
	case r.Attempts < 0:
		v.add(p.Attr("attempts"), "", "must not be negative, but is %d", r.Attempts)
	case r.Attempts == 0:
	case r.Interval < minRestartInterval:
		v.add(p.Attr("interval"), "", "must be at least %s, but is %s", minRestartInterval, r.Interval)
	case r.Delay > 0 && int64(r.Attempts) > int64(r.Interval/r.Delay):
		v.add(p, "a longer interval, a shorter delay or fewer attempts",
			"%d restarts with a delay of %s do not fit in an interval of %s", r.Attempts, r.Delay, r.Interval)
	}
}

func (v *validator) reschedule(p Path, r *ReschedulePolicy) {
	if r == nil || !reschedules(v.job.Type) || !r.Unlimited && r.Attempts == 0 {
		return // never rescheduled: nothing else of the block counts
	}
	if r.Attempts < 0 {
		v.add(p.Attr("attempts"), "", "must not be negative, but is %d", r.Attempts)
	}
	if !r.Unlimited && r.Interval <= 0 {
		v.add(p.Attr("interval"), "or unlimited = true", "attempts need an interval")
	}
	v.oneOf(p.Attr("delay_function"), r.DelayFunction, DelayConstant, DelayExponential, DelayFibonacci)
	if r.Delay < minDelay {
		v.add(p.Attr("delay"), "", "must be at least %s, but is %s", minDelay, r.Delay)
	}
	if r.DelayFunction != DelayConstant && r.MaxDelay < r.Delay {
		v.add(p.Attr("max_delay"), "", "must be at least the delay (%s), but is %s", r.Delay, r.MaxDelay)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
