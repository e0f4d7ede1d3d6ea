// Package gang holds the rules of gangs: groups of which all instances run, or none.
// It is part of the model: pure data and rules.
//
//	nothing ──all fit──► whole ──loses some──► partial ──all that is missing fits──► whole
//	   ▲                                          │
//	   └──── the rest is stopped: max_partial ────┘
//
// Contract: what is missing of a gang is placed together, in one plan, or not at all.
// One that has lost instances may go on without them for max_partial; then the rest is
// stopped, and all wait together. One that has lost an instance for good (its attempts
// to reschedule are used up, or its time is over) is stopped at once and stays so.
// What has completed of a batch counts as there.
//
// Example:
//
//	if c := gang.Of(job, "train"); c != nil { /* all or none */ }
package gang

import (
	"fmt"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// Of is the gang block of a job's group; nil when it is none.
func Of(j *model.Job, group string) *model.GangConfig {
	if j == nil {
		return nil
	}
	for _, g := range j.TaskGroups {
		if g.Name == group {
			return g.Gang
		}
	}
	return nil
}

// Fits says how many instances of a gang fit.
func Fits(count, fit int) string { return fmt.Sprintf("gang of %d: %d of %d fit", count, fit, count) }

// Waits says what the evaluation of a partial gang waits for.
func Waits(group string, there, size int) string {
	return fmt.Sprintf("gang %q has %d of %d instances: the rest is stopped if it is not whole by then", group, there, size)
}

// Problem is something wrong with a gang block: at its attribute ("" = the block itself).
type Problem struct{ Attr, Message, Hint string }

// Problems finds what is wrong with a group's gang block.
func Problems(j *model.Job, g *model.TaskGroup) []Problem {
	if g.Gang == nil {
		return nil
	}
	var out []Problem
	if j.Type == model.JobTypeSystem || j.Type == model.JobTypeSysbatch {
		out = append(out, Problem{"", "a " + j.Type + " job runs once on every node, and cannot have gangs", `delete the block, or make it a job of type = "service" or "batch" with a count`})
	}
	if u := deploy.Strategy(j, g); u != nil && u.Canary > 0 {
		out = append(out, Problem{"", "a gang is updated as a whole, and cannot have canaries", "delete canary from the update block, or the gang block"})
	}
	if g.Gang.MaxPartial < 0 {
		out = append(out, Problem{"max_partial", "must not be negative, but is " + g.Gang.MaxPartial.String(), `such as "5m"; "0s" stops the rest at once`})
	}
	return out
}
