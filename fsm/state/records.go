package state

import (
	"encoding/binary"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/scaling"
)

//go:generate go tool msgp -file records.go -o records_gen.go -tests=false -io=false -unexported

//msgp:vartuple allocRecord
//msgp:ignore short

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

// Launches is how far a periodic job's schedule has been worked through.
type Launches struct {
	Namespace string
	JobID     string
	// Schedule is the index of the entry that set the schedule which is in force: it
	// names it.
	Schedule uint64
	// Slot (unix s) is the newest one decided on, launched or not; at first the time
	// at which the schedule was set. Slots are decided on in order, each once.
	Slot        int64
	Skipped     uint64 // slots since then that were not launched, since a child was alive
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
	ReportOrder           uint64 // left out when 0, see short
}

// short is a record as it is written. Fields that came later are left out where they
// are zero: the snapshot and the hash of a state that does not have them are those of
// servers that do not know them.
type short struct{ *allocRecord }

// MarshalMsg implements msgp.Marshaler.
func (s short) MarshalMsg(b []byte) ([]byte, error) {
	at := len(b)
	o, err := s.allocRecord.MarshalMsg(b)
	if err == nil && s.ReportOrder == 0 {
		const header = 2 // array 16, then the number of fields
		n := binary.BigEndian.Uint16(o[at+header-1:])
		binary.BigEndian.PutUint16(o[at+header-1:], n-1)
		o = o[:len(o)-1] // a zero is one byte
	}
	return o, err
}
