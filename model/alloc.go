package model

import (
	"strconv"
	"strings"
	"time"
)

// Desired statuses of an allocation (owned by the servers).
const (
	DesiredRun   = "run"
	DesiredStop  = "stop"
	DesiredEvict = "evict"
)

// Client statuses of an allocation (owned by the node; lost and unknown by the
// servers when the node is gone). They only move forward.
const (
	ClientPending  = "pending"
	ClientRunning  = "running"
	ClientComplete = "complete"
	ClientFailed   = "failed"
	ClientLost     = "lost"
	ClientUnknown  = "unknown"
)

// Allocation is one instance of a group on one node.
type Allocation struct {
	ID                    string
	Namespace             string
	EvalID                string
	Name                  string // <job>.<group>[<index>]
	NodeID                string
	NodeName              string
	JobID                 string
	JobVersion            uint64
	Job                   *Job `msg:"-"` // the version it runs; resolved by the store
	TaskGroup             string
	AllocatedResources    *AllocatedResources
	Metrics               *AllocationMetric
	DesiredStatus         string
	DesiredDescription    string
	DesiredTransition     DesiredTransition
	ClientStatus          string
	ClientDescription     string
	TaskStates            map[string]*TaskState
	DeploymentID          string
	DeploymentStatus      *AllocDeploymentStatus
	FollowupEvalID        string
	PreviousAllocation    string
	NextAllocation        string
	RescheduleTracker     *RescheduleTracker
	NetworkStatus         *AllocNetworkStatus
	PreemptedAllocations  []string
	PreemptedByAllocation string
	CreateIndex           uint64
	ModifyIndex           uint64
	AllocModifyIndex      uint64 // last change by the servers (what the node must act on)
	CreateTime            int64  // unix ns
	ModifyTime            int64
	ReportOrder           uint64 `json:"-"` // Order of the newest report taken in; 0: none had one
}

// ServerTerminal: the servers want it ended.
func (a *Allocation) ServerTerminal() bool {
	return a.DesiredStatus == DesiredStop || a.DesiredStatus == DesiredEvict
}

// ClientTerminal: it has ended, or is given up as lost.
func (a *Allocation) ClientTerminal() bool {
	switch a.ClientStatus {
	case ClientComplete, ClientFailed, ClientLost:
		return true
	}
	return false
}

// Terminal: it holds no resources any more or is about to give them back.
func (a *Allocation) Terminal() bool { return a.ServerTerminal() || a.ClientTerminal() }

// NewReport tells whether a report of the allocation's node is newer than those taken
// in, and of the agent that runs now. Without an order, nobody can say that it is not.
func (a *Allocation) NewReport(up *AllocUpdate, node *Node) bool {
	return up.Order == 0 || up.Order > a.ReportOrder && (node == nil || up.Order > node.ReportsFrom)
}

// Index is the number in Name, or -1.
func (a *Allocation) Index() int { return AllocIndex(a.Name) }

// AllocName builds an allocation's name.
func AllocName(jobID, group string, index int) string {
	return jobID + "." + group + "[" + strconv.Itoa(index) + "]"
}

// AllocIndex reads the index out of an allocation's name, or returns -1.
func AllocIndex(name string) int {
	i := strings.LastIndexByte(name, '[')
	if i < 0 || !strings.HasSuffix(name, "]") {
		return -1
	}
	n, err := strconv.Atoi(name[i+1 : len(name)-1])
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// DesiredTransition is what the servers want an allocation to become next.
type DesiredTransition struct {
	Migrate                 *bool
	Reschedule              *bool
	ForceReschedule         *bool
	NoShutdownDelay         *bool
	MigrateDisablePlacement *bool
}

// AllocDeploymentStatus is an allocation's part in a deployment. Canary is true until
// it is promoted. In a report, ModifyIndex is the AllocModifyIndex that the node goes by.
type AllocDeploymentStatus struct {
	Healthy     *bool
	Timestamp   time.Time
	Canary      bool
	ModifyIndex uint64
}

// AllocNetworkStatus is the address inside the allocation's network namespace.
type AllocNetworkStatus struct {
	InterfaceName string
	Address       string
	AddressIPv6   string
	DNS           *DNSConfig
}

// RescheduleTracker remembers earlier attempts of the same instance.
type RescheduleTracker struct {
	Events         []*RescheduleEvent
	LastReschedule string
}

// RescheduleEvent is one earlier attempt. RescheduleTime in unix ns.
type RescheduleEvent struct {
	RescheduleTime int64
	PrevAllocID    string
	PrevNodeID     string
	Delay          time.Duration
}

// Task states.
const (
	TaskPending = "pending"
	TaskRunning = "running"
	TaskDead    = "dead"
)

// TaskState is the observed state of one task.
type TaskState struct {
	State       string
	Failed      bool
	Restarts    uint64
	LastRestart time.Time
	StartedAt   time.Time
	FinishedAt  time.Time
	Events      []*TaskEvent
	Overran     bool `msg:",omitempty" json:",omitempty"` // it was ended for want of time: max_run_duration
}

// Successful tells whether the task ended without failure.
func (t *TaskState) Successful() bool { return t.State == TaskDead && !t.Failed }

// MaxTaskEvents bounds a task's history; the newest are kept.
const MaxTaskEvents = 10

// Task event types, as clients of the API know them.
const (
	EventReceived         = "Received"
	EventTaskSetup        = "Task Setup"
	EventSetupFailure     = "Setup Failure"
	EventDriver           = "Driver"
	EventDriverFailure    = "Driver Failure"
	EventStarted          = "Started"
	EventTerminated       = "Terminated"
	EventRestarting       = "Restarting"
	EventNotRestarting    = "Not Restarting"
	EventKilling          = "Killing"
	EventKilled           = "Killed"
	EventRestartSignal    = "Restart Signaled"
	EventSignaling        = "Signaling"
	EventSiblingFailed    = "Sibling Task Failed"
	EventLeaderDead       = "Leader Task Dead"
	EventMainTasksDead    = "Main Tasks Dead"
	EventClientReconnect  = "Reconnected"
	EventFailedValidation = "Failed Validation"
	EventHookMessage      = "Task hook message"
	EventLost             = "Lost"
	EventDisconnected     = "Disconnected"
)

// TaskEvent is something that happened to a task. DisplayMessage is for people;
// Time in unix ns. Details carries exit_code, signal, oom_killed, restart_reason ...
type TaskEvent struct {
	Type           string
	Time           int64
	DisplayMessage string
	Details        map[string]string
	Message        string
	FailsTask      bool
	RestartReason  string
	ExitCode       int
	Signal         int
	KillTimeout    time.Duration
	StartDelay     int64
	DriverError    string
	KillReason     string
}

// AllocUpdate is a node's report on one allocation. Order rises with every report of
// a node, over its sessions and the runs of its agent, so that one that arrives late
// or twice is known; nodes of earlier versions have none (0).
type AllocUpdate struct {
	ID                string
	Order             uint64
	ClientStatus      string
	ClientDescription string
	TaskStates        map[string]*TaskState
	DeploymentStatus  *AllocDeploymentStatus
	NetworkStatus     *AllocNetworkStatus
}

// AllocationMetric tells how a placement was decided, or why it failed.
type AllocationMetric struct {
	NodesEvaluated     int
	NodesFiltered      int
	NodesInPool        int
	NodePool           string
	NodesAvailable     map[string]int // by datacenter
	ClassFiltered      map[string]int
	ConstraintFiltered map[string]int
	NodesExhausted     int
	ClassExhausted     map[string]int
	DimensionExhausted map[string]int
	QuotaExhausted     []string
	ResourcesExhausted map[string]*Resources
	Scores             map[string]float64
	AllocationTime     time.Duration
	CoalescedFailures  int
	ScoreMetaData      []*NodeScoreMeta
	// Remedies say, in order of size, what would let the placement succeed.
	Remedies []string `json:",omitempty"`
	Waits    []string `msg:",omitempty" json:",omitempty"` // what the group depends on and is not ready
	Gang     string   `msg:",omitempty" json:",omitempty"` // of a gang: how many of its instances fit
}

// NodeScoreMeta is one node's score by component.
type NodeScoreMeta struct {
	NodeID    string
	Scores    map[string]float64
	NormScore float64
}
