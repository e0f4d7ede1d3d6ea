package state

import (
	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/fsm/state/message"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/intern"
)

// allocWriter turns allocations into records. It numbers the values that
// allocations share by their pointers.
type allocWriter struct {
	snap      *Snapshot
	jobs      map[*model.Job]uint32
	resources map[*model.AllocatedResources]uint32
	metrics   map[*model.AllocationMetric]uint32
	err       error // the first value without a msgpack form
}

func newAllocWriter(snap *Snapshot) *allocWriter {
	return &allocWriter{
		snap:      snap,
		jobs:      make(map[*model.Job]uint32),
		resources: make(map[*model.AllocatedResources]uint32),
		metrics:   make(map[*model.AllocationMetric]uint32),
	}
}

// record fills r with a. It fails when a shared value has no msgpack form.
func (w *allocWriter) record(r *allocRecord, a *model.Allocation) error {
	*r = baseRecord(a)
	r.JobRef, r.JobValue = w.job(a)
	r.ResourcesRef, r.ResourcesValue = shared(w, w.resources, a.AllocatedResources, a.AllocatedResources)
	r.MetricsRef, r.MetricsValue = shared(w, w.metrics, a.Metrics, a.Metrics)
	return w.err
}

// job numbers the job; the row of job_versions need not be written again.
func (w *allocWriter) job(a *model.Allocation) (uint32, []byte) {
	if a.Job == nil {
		return 0, nil
	}
	if ref, ok := w.jobs[a.Job]; ok {
		return ref, nil
	}
	if a.Job == w.snap.JobVersion(a.Namespace, a.JobID, a.JobVersion) {
		w.jobs[a.Job] = uint32(len(w.jobs) + 1)
		return w.jobs[a.Job], nil
	}
	return shared(w, w.jobs, a.Job, a.Job)
}

// shared numbers a value and encodes it when it is new.
func shared[T any](w *allocWriter, refs map[*T]uint32, value *T, m msgp.Marshaler) (uint32, []byte) {
	if value == nil {
		return 0, nil
	}
	if ref, ok := refs[value]; ok {
		return ref, nil
	}
	ref := uint32(len(refs) + 1)
	refs[value] = ref
	b, err := m.MarshalMsg(nil)
	if err != nil {
		w.err = err
	}
	return ref, b
}

// baseRecord is a record without the shared values.
func baseRecord(a *model.Allocation) allocRecord {
	r := allocRecord{
		ID: a.ID, Namespace: a.Namespace, EvalID: a.EvalID, Index: model.AllocIndex(a.Name),
		NodeID: a.NodeID, NodeName: a.NodeName, JobID: a.JobID, JobVersion: a.JobVersion, TaskGroup: a.TaskGroup,
		DesiredStatus: a.DesiredStatus, DesiredDescription: a.DesiredDescription,
		ClientStatus: a.ClientStatus, ClientDescription: a.ClientDescription, TaskStates: a.TaskStates,
		DeploymentID: a.DeploymentID, DeploymentStatus: a.DeploymentStatus, FollowupEvalID: a.FollowupEvalID,
		PreviousAllocation: a.PreviousAllocation, NextAllocation: a.NextAllocation,
		RescheduleTracker: a.RescheduleTracker, NetworkStatus: a.NetworkStatus,
		PreemptedAllocations: a.PreemptedAllocations, PreemptedByAllocation: a.PreemptedByAllocation,
		CreateIndex: a.CreateIndex, ModifyIndex: a.ModifyIndex, AllocModifyIndex: a.AllocModifyIndex,
		CreateTime: a.CreateTime, ModifyTime: a.ModifyTime, ReportOrder: a.ReportOrder,
	}
	if a.DesiredTransition != (model.DesiredTransition{}) {
		r.DesiredTransition = &a.DesiredTransition
	}
	if r.Index < 0 || model.AllocName(a.JobID, a.TaskGroup, r.Index) != a.Name {
		r.Name = a.Name
	}
	return r
}

// allocReader turns records back. Strings that many allocations have are kept
// once.
type allocReader struct {
	snap      *Snapshot
	jobs      []*model.Job
	resources []*model.AllocatedResources
	metrics   []*model.AllocationMetric
	strings   map[string]string
}

func newAllocReader(snap *Snapshot) *allocReader {
	return &allocReader{snap: snap, strings: make(map[string]string)}
}

// intern returns the one copy of s.
func (r *allocReader) intern(s string) string {
	if s == "" {
		return ""
	}
	if one, ok := r.strings[s]; ok {
		return one
	}
	r.strings[s] = s
	return s
}

// alloc returns the allocation of a record.
func (r *allocReader) alloc(rec *allocRecord) (*model.Allocation, error) {
	a := &model.Allocation{
		ID: rec.ID, Namespace: r.intern(rec.Namespace), EvalID: r.intern(rec.EvalID), Name: rec.Name,
		NodeID: r.intern(rec.NodeID), NodeName: r.intern(rec.NodeName), JobID: r.intern(rec.JobID),
		JobVersion: rec.JobVersion, TaskGroup: r.intern(rec.TaskGroup),
		DesiredStatus: r.intern(rec.DesiredStatus), DesiredDescription: r.intern(rec.DesiredDescription),
		ClientStatus: r.intern(rec.ClientStatus), ClientDescription: r.intern(rec.ClientDescription),
		DeploymentID: r.intern(rec.DeploymentID), DeploymentStatus: rec.DeploymentStatus, FollowupEvalID: rec.FollowupEvalID,
		PreviousAllocation: rec.PreviousAllocation, NextAllocation: rec.NextAllocation,
		RescheduleTracker: rec.RescheduleTracker, NetworkStatus: rec.NetworkStatus,
		PreemptedByAllocation: rec.PreemptedByAllocation,
		CreateIndex:           rec.CreateIndex, ModifyIndex: rec.ModifyIndex, AllocModifyIndex: rec.AllocModifyIndex,
		CreateTime: rec.CreateTime, ModifyTime: rec.ModifyTime, ReportOrder: rec.ReportOrder,
	}
	if rec.DesiredTransition != nil {
		a.DesiredTransition = *rec.DesiredTransition
	}
	if len(rec.TaskStates) > 0 {
		a.TaskStates = rec.TaskStates
	}
	if len(rec.PreemptedAllocations) > 0 {
		a.PreemptedAllocations = rec.PreemptedAllocations
	}
	if rec.Name == "" && rec.Index >= 0 {
		a.Name = model.AllocName(rec.JobID, rec.TaskGroup, rec.Index)
	}
	return a, r.resolve(a, rec)
}

// resolve sets what the allocation shares with others.
func (r *allocReader) resolve(a *model.Allocation, rec *allocRecord) error {
	var err error
	if int(rec.JobRef) == len(r.jobs)+1 && len(rec.JobValue) == 0 {
		version := r.snap.JobVersion(a.Namespace, a.JobID, a.JobVersion)
		if version == nil {
			return message.ErrDamaged
		}
		r.jobs = append(r.jobs, version)
		a.Job = version
	} else if a.Job, err = resolve[model.Job](&r.jobs, rec.JobRef, rec.JobValue); err != nil {
		return err
	}
	if a.AllocatedResources, err = resolve[model.AllocatedResources](&r.resources, rec.ResourcesRef, rec.ResourcesValue); err != nil {
		return err
	}
	a.Metrics, err = resolve[model.AllocationMetric](&r.metrics, rec.MetricsRef, rec.MetricsValue)
	return err
}

// resolve returns the value with that number, which b brings if it is new.
func resolve[T any, P interface {
	*T
	msgp.Unmarshaler
}](known *[]*T, ref uint32, b []byte) (*T, error) {
	switch {
	case ref == 0 && len(b) == 0:
		return nil, nil
	case int(ref) == len(*known)+1 && len(b) > 0:
		value := new(T)
		if err := decode(P(value), b); err != nil {
			return nil, err
		}
		*known = append(*known, value)
		return value, nil
	case ref > 0 && int(ref) <= len(*known) && len(b) == 0:
		return (*known)[ref-1], nil
	}
	return nil, message.ErrDamaged
}

// decode decodes a message that is checked first and must be used up.
func decode(into msgp.Unmarshaler, b []byte) error {
	if err := message.Check(b); err != nil {
		return err
	}
	if _, err := into.UnmarshalMsg(b); err != nil {
		return err
	}
	if n, ok := into.(*model.Node); ok {
		intern.Node(n)
	}
	return nil
}
