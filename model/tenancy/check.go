package tenancy

import (
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// Limit is what the quota allows in a region, nil for as much as one likes.
func (q *Quota) Limit(region string) *Resources {
	for _, l := range q.Limits {
		if l.Region == region {
			return l.RegionLimit
		}
	}
	return nil
}

// over tells whether so much of a kind is more than a limit.
func over(limit, n int64) bool { return limit > 0 && n > limit || limit < 0 && n > 0 }

// Fits tells whether the quota of a region has room for an amount.
func (q *Quota) Fits(region string, a Amount) bool {
	l := q.Limit(region)
	if l == nil {
		return true
	}
	for i, limit := range l.amount() {
		if over(limit, a[i]) {
			return false
		}
	}
	return true
}

// Ask is a job that is to be admitted.
type Ask struct {
	Job    *model.Job
	Facts  Facts
	Before Amount // what it asked for so far
	Others Use    // what the other jobs of the quota ask for
}

// Check tells why a quota refuses a job, nil if it does not: something that it asks
// more of than before would be more than the limit.
func (q *Quota) Check(ask Ask) error {
	l := q.Limit(ask.Job.Region)
	if l == nil {
		return nil
	}
	next := Demand(ask.Job, ask.Facts)
	var faults []string
	raise := Amount{}
	for i, limit := range l.amount() {
		all := plus(ask.Others.Amount[i], next[i])
		if !over(limit, all) || next[i] <= ask.Before[i] {
			continue
		}
		raise[i] = all
		fault := fmt.Sprintf("%s asked by job %q", tell(i, next[i]), ask.Job.ID)
		if ask.Others.Jobs > 0 {
			fault += fmt.Sprintf(" (%s in all)", sized(i, all))
		}
		fault += fmt.Sprintf(" of %s allowed", sized(i, max(0, limit)))
		if ask.Others.Jobs > 0 {
			fault += fmt.Sprintf(", %s used by %s", sized(i, ask.Others.Amount[i]), jobs(ask.Others.Jobs))
		}
		faults = append(faults, fault)
	}
	if len(faults) == 0 {
		return nil
	}
	return model.Errorf(model.CodeConflict, "quota %q: %s: %s", q.Name, strings.Join(faults, "; "), q.remedy(ask, next, raise))
}

// CheckUse tells why a quota cannot take the place of another (nil: there is none, or
// it is new to these namespaces), nil if it can: something is in use beyond a limit that
// is lower than before.
func (q *Quota) CheckUse(before *Quota, region string, used Use) error {
	l := q.Limit(region)
	if l == nil {
		return nil
	}
	var was Amount
	if before != nil && before.Limit(region) != nil {
		was = before.Limit(region).amount()
	}
	var faults []string
	for i, limit := range l.amount() {
		if !over(limit, used.Amount[i]) || before != nil && was[i] != 0 && limit >= was[i] {
			continue
		}
		faults = append(faults, fmt.Sprintf("%s allowed, %s used by %s", tell(i, max(0, limit)), sized(i, used.Amount[i]), jobs(used.Jobs)))
	}
	if len(faults) == 0 {
		return nil
	}
	return model.Errorf(model.CodeConflict, "quota %q is below what is in use in region %q: %s: stop or scale down jobs first, or allow at least what is used",
		q.Name, region, strings.Join(faults, "; "))
}

// maxAdvised bounds the groups that are looked at for advice: it is given while an
// entry is applied.
const maxAdvised = 32

// remedy names a change that lets a job in: a lower count of one group, or else how
// far the quota would have to be raised.
func (q *Quota) remedy(ask Ask, next, raise Amount) string {
	limits := fmt.Sprintf("raise the quota to %s", tellAll(raise))
	for i, g := range ask.Job.TaskGroups {
		if i == maxAdvised || system(ask.Job) {
			break
		}
		if n := q.lower(ask, g, next); n > 0 {
			return fmt.Sprintf("lower count of group %q to %d, or %s", g.Name, n, limits)
		}
	}
	if ask.Others.Jobs > 0 {
		return "ask for less, stop other jobs, or " + limits
	}
	return "ask for less, or " + limits
}

// lower is the largest count of a group with which the job fits, which asks for next
// now; 0 for none.
func (q *Quota) lower(ask Ask, g *model.TaskGroup, next Amount) int {
	p, each, limit := partOf(ask.Job, g, ask.Facts), one(g), q.Limit(ask.Job.Region).amount()
	all := p.instances(g.Count)
	fits := func(count int) bool {
		less := each.times(all - p.instances(count))
		for i := range limit {
			n := next[i] - less[i]
			if over(limit[i], plus(ask.Others.Amount[i], n)) && n > ask.Before[i] {
				return false
			}
		}
		return true
	}
	low, high := 0, g.Count // fits (or is not asked), does not
	for high-low > 1 {
		if middle := (low + high) / 2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// tell is an amount of a kind with its name, sized one without.
func tell(kind int, n int64) string  { return words[kind].name + " " + sized(kind, n) }
func sized(kind int, n int64) string { return fmt.Sprintf("%d%s", n, words[kind].unit) }

func tellAll(a Amount) string {
	var parts []string
	for i, n := range a {
		if n > 0 {
			parts = append(parts, tell(i, n))
		}
	}
	return strings.Join(parts, ", ")
}

func jobs(n int) string {
	if n == 1 {
		return "1 job"
	}
	return fmt.Sprintf("%d jobs", n)
}
