package model

import (
	"maps"
	"slices"
)

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
