// Package jobjson is what clients expect of writes and plans of jobs, in the form of the
// public API.
//
// Contract: what the API has under a name keeps it; Placements and Stops are ours.
package jobjson

import (
	"fmt"
	"strings"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/jobdiff"
)

// Reply is a plan in the form of the API.
type Reply struct {
	Annotations        *model.PlanAnnotations
	FailedTGAllocs     map[string]*model.AllocationMetric
	JobModifyIndex     uint64
	CreatedEvals       []*model.Evaluation
	Diff               *jobdiff.Job
	NextPeriodicLaunch time.Time
	Warnings           string
	Placements         []*msg.PlannedPlacement
	Stops              []*msg.PlannedStop
	Index              uint64
	LastContact        int64
	KnownLeader        bool
}

// Of is a plan with the warnings of both sides.
func Of(out *msg.JobPlanResponse, warnings string) Reply {
	return Reply{
		Annotations: out.Annotations, FailedTGAllocs: out.FailedTGAllocs, JobModifyIndex: out.JobModifyIndex, CreatedEvals: out.CreatedEvals,
		Diff: out.Diff, NextPeriodicLaunch: out.NextPeriodicLaunch, Warnings: warnings,
		Placements: append([]*msg.PlannedPlacement{}, out.Placements...), Stops: append([]*msg.PlannedStop{}, out.Stops...), Index: out.Index,
	}
}

// Registered answers a write that created an evaluation.
type Registered struct {
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	Warnings        string
	Index           uint64
	LastContact     int64
	KnownLeader     bool
	NextToken       string
}

// Versions are the versions of a job, newest first, and with diffs how each differs
// from the one before it.
type Versions struct {
	Versions []*model.Job
	Diffs    []*jobdiff.Job
}

// VersionsOf are versions with their differences, if these are wanted.
func VersionsOf(list []*model.Job, diffs bool) Versions {
	out := Versions{Versions: list}
	for i := 0; diffs && i+1 < len(list); i++ {
		out.Diffs = append(out.Diffs, jobdiff.Of(list[i+1], list[i], true))
	}
	return out
}

// VersionsAgainst are versions, each with how it differs from base.
func VersionsAgainst(base *model.Job, list []*model.Job) Versions {
	out := Versions{Versions: list}
	for _, v := range list {
		out.Diffs = append(out.Diffs, jobdiff.Of(base, v, true))
	}
	return out
}

// Dispatched answers the launch of a parameterized job, Forced that of a periodic one.
type Dispatched struct {
	DispatchedJobID string
	EvalID          string
	EvalCreateIndex uint64
	JobCreateIndex  uint64
	Index           uint64
}

// Forced is Dispatched of a periodic job.
type Forced struct {
	EvalID          string
	EvalCreateIndex uint64
	LaunchedJobID   string
	Index           uint64
}

// Validation is what is wrong with a job.
type Validation struct {
	DriverConfigValidated bool
	ValidationErrors      []string
	Error                 string
	Warnings              string
}

// ValidationOf puts problems into the form of the API.
func ValidationOf(problems []model.Problem, warnings []string) Validation {
	out := Validation{DriverConfigValidated: true, Warnings: WarningText(warnings)}
	for _, p := range problems {
		out.ValidationErrors = append(out.ValidationErrors, p.String())
	}
	if n := len(out.ValidationErrors); n > 0 {
		out.Error = fmt.Sprintf("%d error(s) occurred:\n\n\t* %s\n\n", n, strings.Join(out.ValidationErrors, "\n\t* "))
	}
	return out
}

// WarningText is the one text of several warnings.
func WarningText(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	if len(warnings) == 1 && strings.Contains(warnings[0], "warning") {
		return warnings[0]
	}
	return fmt.Sprintf("%d warning(s):\n\n* %s", len(warnings), strings.Join(warnings, "\n* "))
}
