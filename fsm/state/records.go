package state

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/scaling"
)

//go:generate go tool msgp -file records.go -o records_gen.go -tests=false -io=false -unexported

//msgp:vartuple allocRecord

// Submission is the text that a version of a job came from.
type Submission struct {
	Namespace string
	JobID     string
	Version   uint64
	Index     uint64 // of the entry that brought it
	Text      *model.JobSubmission
}

// Request remembers the outcome of a command with a request id, so that the
// command does nothing when it comes again.
type Request struct {
	ID      string
	Index   uint64 // of the entry that applied it
	Kind    uint16
	Value   []byte     // the result's msgpack form, empty for none
	Code    model.Code // of the error, empty for success
	Message string     // of the error
}

// ScalingEvents are the last scaling actions on the groups of a job, newest
// first.
type ScalingEvents struct {
	Namespace   string
	JobID       string
	Groups      map[string][]*scaling.Event
	ModifyIndex uint64
}

// snapshotHeader opens a snapshot.
type snapshotHeader struct {
	Index   uint64
	Changed map[string]uint64 // index of the last change by table
	// Level is the state's feature level: a binary that understands less goes no
	// further. A state of the base level is written as before there were levels.
	Level int `msg:",omitempty"`
}

// snapshotEnd closes a snapshot: what should have been read.
type snapshotEnd struct{ Rows map[string]uint64 }

// allocRecord is an allocation in a snapshot and in the state hash: an array,
// so that a million of them stay small. Fields may only be added at the end.
// Job, Resources and Metrics are shared by many allocations: each is a number,
// 0 for nil; the first record that uses a number brings the value in the field
// after it, and later ones leave that empty. A Job whose value is empty is the
// row of job_versions.
type allocRecord struct {
	ID                    string
	Namespace             string
	EvalID                string
	Index                 int    // of the name
	Name                  string // when it is not made of job, group and index
	NodeID                string
	NodeName              string
	JobID                 string
	JobVersion            uint64
	TaskGroup             string
	JobRef                uint32
	JobValue              []byte
	ResourcesRef          uint32
	ResourcesValue        []byte
	MetricsRef            uint32
	MetricsValue          []byte
	DesiredStatus         string
	DesiredDescription    string
	DesiredTransition     *model.DesiredTransition
	ClientStatus          string
	ClientDescription     string
	TaskStates            map[string]*model.TaskState
	DeploymentID          string
	DeploymentStatus      *model.AllocDeploymentStatus
	FollowupEvalID        string
	PreviousAllocation    string
	NextAllocation        string
	RescheduleTracker     *model.RescheduleTracker
	NetworkStatus         *model.AllocNetworkStatus
	PreemptedAllocations  []string
	PreemptedByAllocation string
	CreateIndex           uint64
	ModifyIndex           uint64
	AllocModifyIndex      uint64
	CreateTime            int64
	ModifyTime            int64
}
