package model

import "time"

// Evaluation statuses.
const (
	EvalBlocked   = "blocked"
	EvalPending   = "pending"
	EvalComplete  = "complete"
	EvalFailed    = "failed"
	EvalCancelled = "canceled"
)

// What triggered an evaluation.
const (
	TriggerJobRegister     = "job-register"
	TriggerJobDeregister   = "job-deregister"
	TriggerPeriodicJob     = "periodic-job"
	TriggerNodeDrain       = "node-drain"
	TriggerNodeUpdate      = "node-update"
	TriggerAllocStop       = "alloc-stop"
	TriggerScheduled       = "scheduled"
	TriggerRollingUpdate   = "rolling-update"
	TriggerDeployment      = "deployment-watcher"
	TriggerFailedFollowUp  = "failed-follow-up"
	TriggerMaxPlanAttempts = "max-plan-attempts"
	TriggerRetryFailed     = "alloc-failure"
	TriggerQueuedAllocs    = "queued-allocs"
	TriggerPreemption      = "preemption"
	TriggerScaling         = "job-scaling"
	TriggerReconnect       = "reconnect"
	TriggerMaxPartial      = "max-partial"
)

// Evaluation asks the scheduler to look at one job.
type Evaluation struct {
	ID                   string
	Priority             int
	Type                 string // the job's type
	TriggeredBy          string
	Namespace            string
	JobID                string
	JobModifyIndex       uint64
	NodeID               string
	NodeModifyIndex      uint64
	DeploymentID         string
	Status               string
	StatusDescription    string
	Wait                 time.Duration
	WaitUntil            time.Time
	NextEval             string
	PreviousEval         string
	BlockedEval          string
	RelatedEvals         []*EvaluationStub `msg:"-"`
	FailedTGAllocs       map[string]*AllocationMetric
	ClassEligibility     map[string]bool // of a blocked one: computed class → could fit
	EscapedComputedClass bool            // constraints on unique attributes: any node change may help
	QuotaLimitReached    string
	AnnotatePlan         bool
	PlanAnnotations      *PlanAnnotations
	QueuedAllocations    map[string]int
	SnapshotIndex        uint64 // state that the decision was made on
	Attempts             int    // deliveries so far; the broker's dead letter bound
	CreateIndex          uint64
	ModifyIndex          uint64
	CreateTime           int64 // unix ns
	ModifyTime           int64
	Gang                 string `msg:",omitempty" json:",omitempty"` // of max-partial: the group whose time is over then
}

// Terminal tells whether nothing more happens to the evaluation.
func (e *Evaluation) Terminal() bool {
	switch e.Status {
	case EvalComplete, EvalFailed, EvalCancelled:
		return true
	}
	return false
}

// EvaluationStub is an Evaluation without its reasons.
type EvaluationStub struct {
	ID                string
	Priority          int
	Type              string
	TriggeredBy       string
	Namespace         string
	JobID             string
	NodeID            string
	DeploymentID      string
	Status            string
	StatusDescription string
	WaitUntil         time.Time
	NextEval          string
	PreviousEval      string
	BlockedEval       string
	CreateIndex       uint64
	ModifyIndex       uint64
	CreateTime        int64
	ModifyTime        int64
}

// PlanAnnotations summarise what a plan would do.
type PlanAnnotations struct {
	DesiredTGUpdates map[string]*DesiredUpdates
}

// DesiredUpdates counts a plan's effects on one group.
type DesiredUpdates struct {
	Ignore            uint64
	Place             uint64
	Migrate           uint64
	Stop              uint64
	InPlaceUpdate     uint64
	DestructiveUpdate uint64
	Canary            uint64
	Preemptions       uint64
	Disconnect        uint64
	Reconnect         uint64
	RescheduleNow     uint64
	RescheduleLater   uint64
}
