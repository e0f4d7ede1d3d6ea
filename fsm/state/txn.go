package state

import (
	"fmt"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// Txn is the one write transaction: the changes of one log entry. It reads its
// own writes through the Snapshot's getters; a sequence taken from it must be
// collected before the next write. Only package fsm and tests make one.
//
// Do runs one command in it, all or nothing; Publish makes the result of all
// commands visible at once. Rows given to Put belong to the store from then on
// and must not be changed.
type Txn struct {
	Snapshot
	store   *Store
	epoch   uint64
	changes []Change

	// Jobs whose derived rows may be out of date, in order of first change.
	stale    []jobRef
	staleSet map[jobRef]bool
	queued   map[jobRef]map[string]int
	last     tallyCache
}

// Do runs one command. When it fails, everything it wrote is taken back. When
// it succeeds, job statuses and summaries are brought up to date with it.
func (x *Txn) Do(command func() error) error {
	mark, changed := len(x.changes), x.changed
	err := command()
	if err == nil {
		x.settle()
		return nil
	}
	for i := len(x.changes) - 1; i >= mark; i-- {
		x.undo(x.changes[i])
	}
	x.changes = x.changes[:mark]
	x.changed = changed
	x.forget()
	return err
}

// Put inserts a row or replaces the one with the same key. A *model.Job goes
// to the jobs table; see PutVersion.
func (x *Txn) Put(row any) {
	switch row := row.(type) {
	case *model.Allocation:
		put(x, &allocSchema, row)
	case *model.Evaluation:
		put(x, &evalSchema, row)
	case *model.Job:
		put(x, &jobSchema, row)
	case *model.Node:
		put(x, &nodeSchema, row)
	case *model.Deployment:
		put(x, &deploySchema, row)
	case *model.JobSummary:
		put(x, &summarySchema, row)
	case *Submission:
		put(x, &submissionSchema, row)
	case *Request:
		put(x, &requestSchema, row)
	case *ScalingEvents:
		put(x, &scalingSchema, row)
	case *model.NodePool:
		put(x, &poolSchema, row)
	case *model.Namespace:
		put(x, &namespaceSchema, row)
	case *model.SchedulerConfiguration:
		put(x, &schedulerSchema, row)
	case *model.AutopilotConfiguration:
		put(x, &autopilotSchema, row)
	case *model.ClusterMetadata:
		put(x, &clusterSchema, row)
	case *model.SigningKey:
		put(x, &signingSchema, row)
	case *feature.Active:
		put(x, &featureSchema, row)
	default:
		panic(fmt.Sprintf("state: no table has rows of type %T", row))
	}
}

// PutVersion keeps a version of a job in the job_versions table.
func (x *Txn) PutVersion(job *model.Job) { put(x, &versionSchema, job) }

// Delete removes the row with the same key; without one it does nothing. A
// *model.Job is removed from the jobs table only; see DeleteVersion.
func (x *Txn) Delete(row any) {
	switch row := row.(type) {
	case *model.Allocation:
		drop(x, &allocSchema, row)
	case *model.Evaluation:
		drop(x, &evalSchema, row)
	case *model.Job:
		drop(x, &jobSchema, row)
	case *model.Node:
		drop(x, &nodeSchema, row)
	case *model.Deployment:
		drop(x, &deploySchema, row)
	case *model.JobSummary:
		drop(x, &summarySchema, row)
	case *Submission:
		drop(x, &submissionSchema, row)
	case *Request:
		drop(x, &requestSchema, row)
	case *ScalingEvents:
		drop(x, &scalingSchema, row)
	case *model.NodePool:
		drop(x, &poolSchema, row)
	case *model.Namespace:
		drop(x, &namespaceSchema, row)
	case *model.SigningKey:
		drop(x, &signingSchema, row)
	default:
		panic(fmt.Sprintf("state: rows of type %T cannot be deleted", row))
	}
}

// DeleteVersion removes a version of a job from the job_versions table.
func (x *Txn) DeleteVersion(job *model.Job) { drop(x, &versionSchema, job) }

// put replaces or inserts a row and records the change.
func put[T any](x *Txn, sc *schema[T], row *T) {
	before := sc.content(&x.Snapshot).trees[byKey].Row(row, sc.indexes[byKey].order)
	set(x, sc, before, row)
	x.record(sc.name, sc.ordinal, sc.key(row), before != nil, before, row)
}

// drop removes a row and records the change.
func drop[T any](x *Txn, sc *schema[T], row *T) {
	before := sc.content(&x.Snapshot).trees[byKey].Row(row, sc.indexes[byKey].order)
	if before == nil {
		return
	}
	set(x, sc, before, nil)
	x.changed[sc.ordinal] = x.index
	x.changes = append(x.changes, Change{Table: sc.name, Key: sc.key(before), Index: x.index, Before: before})
}

// record notes that a row was written. existed keeps a nil *T from becoming a
// Before that is not nil.
func (x *Txn) record(name Table, ordinal int, key string, existed bool, before, after any) {
	c := Change{Table: name, Key: key, Index: x.index, After: after}
	if existed {
		c.Before = before
	}
	x.changed[ordinal] = x.index
	x.changes = append(x.changes, c)
}

// set replaces before by after in every index of a table; nil stands for no row.
func set[T any](x *Txn, sc *schema[T], before, after *T) {
	tb := sc.content(&x.Snapshot)
	for i := range sc.indexes {
		ix, t := &sc.indexes[i], &tb.trees[i]
		was := before != nil && (ix.has == nil || ix.has(before))
		is := after != nil && (ix.has == nil || ix.has(after))
		if was && !(is && ix.order(before, after) == 0) {
			t.Remove(before, ix.order, x.epoch)
		}
		if is {
			t.Put(after, ix.order, x.epoch)
		}
	}
	if sc.after != nil {
		sc.after(x, before, after)
	}
}

// undo takes one recorded change back.
func (x *Txn) undo(c Change) {
	row := c.After
	if row == nil {
		row = c.Before
	}
	switch row.(type) {
	case *model.Allocation:
		revert(x, &allocSchema, c)
	case *model.Evaluation:
		revert(x, &evalSchema, c)
	case *model.Job:
		if c.Table == TableJobVersions {
			revert(x, &versionSchema, c)
		} else {
			revert(x, &jobSchema, c)
		}
	case *model.Node:
		revert(x, &nodeSchema, c)
	case *model.Deployment:
		revert(x, &deploySchema, c)
	case *model.JobSummary:
		revert(x, &summarySchema, c)
	case *Submission:
		revert(x, &submissionSchema, c)
	case *ScalingEvents:
		revert(x, &scalingSchema, c)
	case *Request:
		revert(x, &requestSchema, c)
	case *model.NodePool:
		revert(x, &poolSchema, c)
	case *model.Namespace:
		revert(x, &namespaceSchema, c)
	case *model.SchedulerConfiguration:
		revert(x, &schedulerSchema, c)
	case *model.AutopilotConfiguration:
		revert(x, &autopilotSchema, c)
	case *model.ClusterMetadata:
		revert(x, &clusterSchema, c)
	case *model.SigningKey:
		revert(x, &signingSchema, c)
	case *feature.Active:
		revert(x, &featureSchema, c)
	}
}

func revert[T any](x *Txn, sc *schema[T], c Change) {
	before, _ := c.Before.(*T)
	after, _ := c.After.(*T)
	set(x, sc, after, before)
}
