package api

import (
	"context"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/jobdiff"
	"github.com/steppe-project/steppe/model/scaling"
)

// Jobs are the calls on jobs.
type Jobs struct{ c *Client }

// Jobs returns the calls on jobs.
func (c *Client) Jobs() Jobs { return Jobs{c} }

// Register is what Register sends besides the job.
type Register struct {
	EnforceIndex   bool
	JobModifyIndex uint64
	PreserveCounts bool
	EvalPriority   int
	Submission     *model.JobSubmission
}

// Registered answers a write that created an evaluation.
type Registered struct {
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	Warnings        string
	Index           uint64
}

// Validation is the answer of Validate.
type Validation struct {
	DriverConfigValidated bool
	ValidationErrors      []string
	Error                 string
	Warnings              string
}

// ScaleStatus is the answer of ScaleStatus.
type ScaleStatus struct {
	JobID      string
	Namespace  string
	JobStopped bool
	TaskGroups map[string]struct {
		Desired, Placed, Running, Healthy, Unhealthy int
		Events                                       []*scaling.Event // newest first
	}
}

// List lists jobs.
func (j Jobs) List(ctx context.Context, q *Query) ([]*model.JobListStub, Meta, error) {
	var out []*model.JobListStub
	m, err := j.c.Get(ctx, "/v1/jobs", q, &out)
	return out, m, err
}

// Register creates or updates a job.
func (j Jobs) Register(ctx context.Context, job *model.Job, r *Register) (*Registered, error) {
	if r == nil {
		r = &Register{}
	}
	in := struct {
		Job *model.Job
		*Register
	}{job, r}
	var out Registered
	_, err := j.c.Put(ctx, "/v1/jobs", nil, in, &out)
	return &out, err
}

// JobPlan is the answer of Plan: what registering a job would do. Placements and
// Stops tell of single instances; a server that is no Steppe leaves them out.
type JobPlan struct {
	JobModifyIndex     uint64
	Diff               *jobdiff.Job
	Annotations        *model.PlanAnnotations
	FailedTGAllocs     map[string]*model.AllocationMetric
	CreatedEvals       []*model.Evaluation
	Placements         []PlannedPlacement
	Stops              []PlannedStop
	NextPeriodicLaunch time.Time
	Warnings           string
}

// PlannedPlacement is an instance that would be placed.
type PlannedPlacement struct{ TaskGroup, Name, NodeID, NodeName, PreviousAllocation string }

// PlannedStop is an instance that would be stopped.
type PlannedStop struct{ ID, TaskGroup, Name, NodeID, NodeName, Description string }

// Plan tells what registering a job would do; nothing is changed.
func (j Jobs) Plan(ctx context.Context, job *model.Job, diff bool, q *Query) (*JobPlan, error) {
	var out JobPlan
	_, err := j.c.Put(ctx, "/v1/job/"+esc(job.ID)+"/plan", q, map[string]any{"Job": job, "Diff": diff}, &out)
	return &out, err
}

// Validate checks a job without registering it.
func (j Jobs) Validate(ctx context.Context, job *model.Job) (*Validation, error) {
	var out Validation
	_, err := j.c.Put(ctx, "/v1/validate/job", nil, map[string]any{"Job": job}, &out)
	return &out, err
}

// ParseHCL has the agent parse a job file.
func (j Jobs) ParseHCL(ctx context.Context, text, variables string, canonicalize bool) (*model.Job, error) {
	var out model.Job
	_, err := j.c.Put(ctx, "/v1/jobs/parse", nil, map[string]any{"JobHCL": text, "Variables": variables, "Canonicalize": canonicalize}, &out)
	return &out, err
}

// Get reads a job.
func (j Jobs) Get(ctx context.Context, id string, q *Query) (*model.Job, Meta, error) {
	var out model.Job
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id), q, &out)
	return &out, m, err
}

// Versions lists a job's versions, newest first.
func (j Jobs) Versions(ctx context.Context, id string, q *Query) ([]*model.Job, Meta, error) {
	var out struct{ Versions []*model.Job }
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/versions", q, &out)
	return out.Versions, m, err
}

// VersionDiffs lists a job's versions, newest first, and how each differs from the
// one before it; the oldest has none. With the parameter diff_version, a number, or
// diff_tag, a name, each is compared with that one, itself too.
func (j Jobs) VersionDiffs(ctx context.Context, id string, q *Query) ([]*model.Job, []*jobdiff.Job, Meta, error) {
	var out struct {
		Versions []*model.Job
		Diffs    []*jobdiff.Job
	}
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/versions", with(q, "diffs", "true"), &out)
	return out.Versions, out.Diffs, m, err
}

// Allocations lists a job's allocations; all: of earlier jobs of that name too.
func (j Jobs) Allocations(ctx context.Context, id string, all bool, q *Query) ([]*model.AllocListStub, Meta, error) {
	var out []*model.AllocListStub
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/allocations", with(q, "all", boolText(all)), &out)
	return out, m, err
}

// Evaluations lists a job's evaluations.
func (j Jobs) Evaluations(ctx context.Context, id string, q *Query) ([]*model.Evaluation, Meta, error) {
	var out []*model.Evaluation
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/evaluations", q, &out)
	return out, m, err
}

// Summary counts a job's allocations.
func (j Jobs) Summary(ctx context.Context, id string, q *Query) (*model.JobSummary, Meta, error) {
	var out model.JobSummary
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/summary", q, &out)
	return &out, m, err
}

// Submission reads the text a version came from.
func (j Jobs) Submission(ctx context.Context, id string, version uint64, q *Query) (*model.JobSubmission, Meta, error) {
	var out model.JobSubmission
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/submission", with(q, "version", strconv.FormatUint(version, 10)), &out)
	return &out, m, err
}

// Deregister stops a job; purge forgets it too.
func (j Jobs) Deregister(ctx context.Context, id string, purge, noShutdownDelay bool, q *Query) (*Registered, error) {
	var out Registered
	_, err := j.c.Delete(ctx, "/v1/job/"+esc(id), with(q, "purge", boolText(purge), "no_shutdown_delay", boolText(noShutdownDelay)), &out)
	return &out, err
}

// Evaluate has the scheduler look at a job again.
func (j Jobs) Evaluate(ctx context.Context, id string, forceReschedule bool, q *Query) (*Registered, error) {
	in := map[string]any{"JobID": id, "EvalOptions": map[string]bool{"ForceReschedule": forceReschedule}}
	var out Registered
	_, err := j.c.Put(ctx, "/v1/job/"+esc(id)+"/evaluate", q, in, &out)
	return &out, err
}

// Scale sets one group's count.
func (j Jobs) Scale(ctx context.Context, id, group string, count int, message string, q *Query) (*Registered, error) {
	in := map[string]any{"Target": map[string]string{"Group": group}, "Count": count, "Message": message}
	var out Registered
	_, err := j.c.Put(ctx, "/v1/job/"+esc(id)+"/scale", q, in, &out)
	return &out, err
}

// ScaleStatus reads the counts of a job's groups.
func (j Jobs) ScaleStatus(ctx context.Context, id string, q *Query) (*ScaleStatus, Meta, error) {
	var out ScaleStatus
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/scale", q, &out)
	return &out, m, err
}

// Dispatch is what a dispatch brings.
type Dispatch struct {
	Payload          []byte
	Meta             map[string]string
	IDPrefixTemplate string `json:"IdPrefixTemplate"`
	Priority         int    // 0 = the job's
	Token            string `json:"-"` // idempotency: of one token there is one child
}

// Launched names the child that was launched, and its evaluation: "" when the child
// was there already.
type Launched struct {
	JobID           string
	EvalID          string
	EvalCreateIndex uint64
}

// Dispatch launches a parameterized job.
func (j Jobs) Dispatch(ctx context.Context, id string, d *Dispatch, q *Query) (*Launched, error) {
	if d == nil {
		d = &Dispatch{}
	}
	var out struct {
		Launched
		DispatchedJobID string
	}
	_, err := j.c.Put(ctx, "/v1/job/"+esc(id)+"/dispatch", with(q, "idempotency_token", d.Token), d, &out)
	out.JobID = out.DispatchedJobID
	return &out.Launched, err
}

// PeriodicForce launches a periodic job now.
func (j Jobs) PeriodicForce(ctx context.Context, id string, q *Query) (*Launched, error) {
	var out struct {
		Launched
		LaunchedJobID string
	}
	_, err := j.c.Put(ctx, "/v1/job/"+esc(id)+"/periodic/force", q, nil, &out)
	out.JobID = out.LaunchedJobID
	return &out.Launched, err
}
