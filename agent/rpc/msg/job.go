package msg

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/jobdiff"
	"github.com/steppe-project/steppe/model/scaling"
)

//go:generate go tool msgp -file job.go -tests=false -io=false

// JobRegisterRequest creates or updates a job.
type JobRegisterRequest struct {
	WriteOptions
	Job            *model.Job
	Submission     *model.JobSubmission
	EnforceIndex   bool
	JobModifyIndex uint64
	PreserveCounts bool
	EvalPriority   int
}

// JobRegisterResponse names the evaluation that was created with the job ("" for
// a job that needs none). Warnings is one text, lines joined.
type JobRegisterResponse struct {
	WriteMeta
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	Warnings        string
}

// JobDeregisterRequest stops a job, and forgets it with Purge.
type JobDeregisterRequest struct {
	WriteOptions
	JobID           string
	Purge           bool
	EvalPriority    int
	NoShutdownDelay bool
}

// JobEvaluateRequest makes the scheduler look at a job again.
type JobEvaluateRequest struct {
	WriteOptions
	JobID           string
	ForceReschedule bool
}

// JobScaleRequest sets one group's count and records the action (Count nil: only
// that).
type JobScaleRequest struct {
	WriteOptions
	JobID          string
	Group          string
	Count          *int64
	Message        string
	Error          bool
	Meta           scaling.RawJSON // an object
	PolicyOverride bool
	EnforceIndex   bool
	JobModifyIndex uint64
}

// JobPlanRequest asks what registering a job would do.
type JobPlanRequest struct {
	WriteOptions
	Job  *model.Job
	Diff bool
}

// JobPlanResponse says it; nothing was changed. Index is that of the state that it
// is about, JobModifyIndex the one to register the job with (0: there is none yet).
type JobPlanResponse struct {
	WriteMeta
	JobModifyIndex uint64
	Diff           *jobdiff.Job
	Annotations    *model.PlanAnnotations
	FailedTGAllocs map[string]*model.AllocationMetric
	CreatedEvals   []*model.Evaluation
	Placements     []*PlannedPlacement
	Stops          []*PlannedStop
	// NextPeriodicLaunch is when a periodic job is launched next; zero for others.
	NextPeriodicLaunch time.Time
	Warnings           string
}

// PlannedPlacement is an instance that would be placed.
type PlannedPlacement struct {
	TaskGroup          string
	Name               string
	NodeID             string
	NodeName           string
	PreviousAllocation string
}

// PlannedStop is an instance that would be stopped.
type PlannedStop struct {
	ID          string
	TaskGroup   string
	Name        string
	NodeID      string
	NodeName    string
	Description string
}

// JobQuery reads something of one job.
type JobQuery struct {
	QueryOptions
	JobID   string
	All     bool   // allocations of earlier jobs with the same id too
	Version uint64 // of a submission
	Diffs   bool
}

// JobResponse carries a job, or nil when there is none.
type JobResponse struct {
	QueryMeta
	Job *model.Job
}

// JobListRequest lists jobs.
type JobListRequest struct {
	QueryOptions
	WithMeta bool
}

// JobListResponse is one page.
type JobListResponse struct {
	QueryMeta
	Jobs []*model.JobListStub
}

// JobVersionsResponse lists versions, newest first.
type JobVersionsResponse struct {
	QueryMeta
	Versions []*model.Job
}

// JobSummaryResponse carries a summary or nil.
type JobSummaryResponse struct {
	QueryMeta
	Summary *model.JobSummary
}

// JobSubmissionResponse carries the text a version came from, or nil.
type JobSubmissionResponse struct {
	QueryMeta
	Submission *model.JobSubmission
}

// JobScaleStatusResponse carries counts by group; nil without such a job.
type JobScaleStatusResponse struct {
	QueryMeta
	Status *JobScaleStatus
}

// JobScaleStatus is the scale of a job's groups.
type JobScaleStatus struct {
	JobID          string
	Namespace      string
	JobCreateIndex uint64
	JobModifyIndex uint64
	JobStopped     bool
	TaskGroups     map[string]TaskGroupScaleStatus
}

// TaskGroupScaleStatus is the scale of one group.
type TaskGroupScaleStatus struct {
	Desired   int
	Placed    int
	Running   int
	Healthy   int
	Unhealthy int
	Events    []*scaling.Event // newest first
}
