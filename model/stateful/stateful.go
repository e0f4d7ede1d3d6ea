// Package stateful holds what scheduler, state machine, leader and CLI mean by a
// stateful group: one whose instances are ordinals, each there once at most. It is part
// of the model: pure.
//
//	ordinal i   free ──► placed ──► running ──► told to stop ──► ended: free
//	                                   │
//	                     node lost ────┴──► held until the node has surely stopped it
//
// Contract and invariants:
//
//   - An ordinal is the index in an allocation's name. It is placed only when nothing
//     else of its name may still run: what had it has ended, as its node says, or is on
//     a lost node that must have stopped it (stop_on_client_after; see package lease),
//     or on a node that an operator has purged.
//   - Ordered groups start 0..N-1, each when all below are healthy, and stop and update
//     N-1..0. What ends takes as long as EndWithin at most; then the next is told to.
//   - Updates replace no ordinal below the partition.
//
// Example:
//
//	if c := stateful.Of(job, "db"); c != nil && c.Ordered { ... }
package stateful

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/lease"
)

// Level is the feature level that stateful groups came with.
const Level = feature.Stateful

// Trigger is what evaluations are triggered by that were made because something that
// an ordinal waited for has changed.
const Trigger = "stateful-order"

// slack is what a node may take beyond the times that its tasks are given to end.
const slack = 10 * time.Second

// Prefix begins what evaluations say of the ordinals that wait.
const Prefix = "Stateful: "

// Group is a job's group by name; nil for none.
func Group(job *model.Job, name string) *model.TaskGroup {
	if job == nil {
		return nil
	}
	for _, g := range job.TaskGroups {
		if g != nil && g.Name == name {
			return g
		}
	}
	return nil
}

// Of is the stateful block of a job's group; nil for none.
func Of(job *model.Job, name string) *model.StatefulConfig {
	if g := Group(job, name); g != nil {
		return g.Stateful
	}
	return nil
}

// Is tells whether the version of a job that an allocation runs has its group stateful.
func Is(a *model.Allocation) bool { return Of(a.Job, a.TaskGroup) != nil }

// Any tells whether a group of a job is stateful.
func Any(job *model.Job) bool {
	if job == nil {
		return false
	}
	for _, g := range job.TaskGroups {
		if g != nil && g.Stateful != nil {
			return true
		}
	}
	return false
}

// EndWithin is how long an instance may take to end once it was told to, before the
// next one is told: its tasks' times, and what a node may take beside them.
func EndWithin(g *model.TaskGroup) time.Duration {
	delay := time.Duration(0)
	for _, t := range g.Tasks {
		delay = max(delay, t.ShutdownDelay)
	}
	return g.ShutdownDelay + delay + lease.Stopping(g) + slack
}

// Ends is the time from which an allocation that was told to stop is not waited for.
func Ends(a *model.Allocation, g *model.TaskGroup) time.Time {
	return time.Unix(0, a.ModifyTime).UTC().Add(EndWithin(g))
}

// Spares tells whether updates of a job leave an allocation as it is: its ordinal is
// below the partition.
func Spares(job *model.Job, a *model.Allocation) bool {
	c := Of(job, a.TaskGroup)
	return c != nil && a.Index() < c.Partition
}

// Holder is why a plan cannot place an index, "" when it can: of a stateful group it is
// free only when all that had it has ended, or is given up as lost by the same plan. The
// first version is the plan's; if the job has a newer one, that has its word, too: what
// counts is what its user was told last.
func Holder(versions []*model.Job, group string, index int, allocs iter.Seq[*model.Allocation], stops []*model.PlanStop) string {
	if !slices.ContainsFunc(versions, func(job *model.Job) bool { return Of(job, group) != nil }) {
		return ""
	}
	name := model.AllocName(versions[0].ID, group, index)
	for a := range allocs {
		if a.Name == name && !a.ClientTerminal() && !givenUp(a, stops) {
			return "allocation " + a.ID + " of the stateful instance " + name + " has not ended"
		}
	}
	return ""
}

func givenUp(a *model.Allocation, stops []*model.PlanStop) bool {
	for _, s := range stops {
		if s != nil && s.ID == a.ID && s.ClientStatus == model.ClientLost {
			return true
		}
	}
	return false
}

// Narrow takes out of a deployment that begins (or nil) what it does not bring: the
// ordinals below partitions that stay at an older version. Nil when nothing is left.
func Narrow(d *model.Deployment, job *model.Job, allocs iter.Seq[*model.Allocation]) *model.Deployment {
	if d == nil || !Any(job) {
		return d
	}
	stay := make(map[string]map[int]bool)
	for a := range allocs {
		g := Group(job, a.TaskGroup)
		if a.Job == nil || a.Job.CreateIndex != job.CreateIndex || a.JobVersion == job.Version || a.NextAllocation != "" ||
			!Spares(job, a) || a.Index() < 0 || a.Index() >= g.Count {
			continue
		}
		if stay[g.Name] == nil {
			stay[g.Name] = make(map[int]bool)
		}
		stay[g.Name][a.Index()] = true
	}
	for name, ordinals := range stay {
		if s := d.TaskGroups[name]; s != nil {
			if s.DesiredTotal -= len(ordinals); s.DesiredTotal <= 0 {
				delete(d.TaskGroups, name)
			}
		}
	}
	if len(d.TaskGroups) == 0 {
		return nil
	}
	return d
}

// Complete tells whether all ordinals that a deployment replaces run its version, and
// are healthy. Groups that are not stateful are complete.
func Complete(d *model.Deployment, job *model.Job, allocs iter.Seq[*model.Allocation]) bool {
	want := make(map[string]int)
	for _, g := range job.TaskGroups {
		if g.Stateful != nil && d.TaskGroups[g.Name] != nil {
			want[g.Name] = max(0, g.Count-g.Stateful.Partition)
		}
	}
	if len(want) == 0 {
		return true
	}
	for a := range allocs {
		if _, ok := want[a.TaskGroup]; ok && a.DeploymentID == d.ID && !a.Terminal() && deploy.Healthy(a) && !Spares(job, a) {
			want[a.TaskGroup]--
		}
	}
	for _, n := range want {
		if n > 0 {
			return false
		}
	}
	return true
}

// Waits are the lines of an evaluation's text that say what ordinals wait for.
func Waits(e *model.Evaluation) []string {
	text, ok := strings.CutPrefix(e.StatusDescription, Prefix)
	if !ok {
		return nil
	}
	return strings.Split(text, "; ")
}
