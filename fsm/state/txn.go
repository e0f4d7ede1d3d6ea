package state

import (
	"fmt"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
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

// rows is a schema, whatever the type of its rows.
type rows interface {
	put(x *Txn, row any)
	drop(x *Txn, row any)
	revert(x *Txn, c Change)
}

func (sc *schema[T]) put(x *Txn, row any)     { put(x, sc, row.(*T)) }
func (sc *schema[T]) drop(x *Txn, row any)    { drop(x, sc, row.(*T)) }
func (sc *schema[T]) revert(x *Txn, c Change) { revert(x, sc, c) }

// tableOf is the table of a row; a *model.Job's is the jobs table.
func tableOf(row any) rows {
	switch row.(type) {
	case *model.Allocation:
		return &allocSchema
	case *model.Evaluation:
		return &evalSchema
	case *model.Job:
		return &jobSchema
	case *model.Node:
		return &nodeSchema
	case *model.Deployment:
		return &deploySchema
	case *model.JobSummary:
		return &summarySchema
	case *Submission:
		return &submissionSchema
	case *Request:
		return &requestSchema
	case *ScalingEvents:
		return &scalingSchema
	case *Launches:
		return &launchSchema
	case *tenancy.Quota:
		return &quotaSchema
	case *model.NodePool:
		return &poolSchema
	case *tenancy.Namespace:
		return &namespaceSchema
	case *model.SchedulerConfiguration:
		return &schedulerSchema
	case *model.AutopilotConfiguration:
		return &autopilotSchema
	case *model.ClusterMetadata:
		return &clusterSchema
	case *model.SigningKey:
		return &signingSchema
	case *feature.Active:
		return &featureSchema
	}
	panic(fmt.Sprintf("state: no table has rows of type %T", row))
}

// Put inserts a row or replaces the one with the same key. A *model.Job goes
// to the jobs table; see PutVersion.
func (x *Txn) Put(row any) { tableOf(row).put(x, row) }

// PutVersion keeps a version of a job in the job_versions table.
func (x *Txn) PutVersion(job *model.Job) { put(x, &versionSchema, job) }

// Delete removes the row with the same key; without one it does nothing. A
// *model.Job is removed from the jobs table only; see DeleteVersion.
func (x *Txn) Delete(row any) {
	switch row.(type) {
	case *model.SchedulerConfiguration, *model.AutopilotConfiguration, *model.ClusterMetadata, *feature.Active:
		panic(fmt.Sprintf("state: rows of type %T cannot be deleted", row))
	}
	tableOf(row).drop(x, row)
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
	if c.Table == TableJobVersions {
		versionSchema.revert(x, c)
		return
	}
	tableOf(row).revert(x, c)
}

func revert[T any](x *Txn, sc *schema[T], c Change) {
	before, _ := c.Before.(*T)
	after, _ := c.After.(*T)
	set(x, sc, after, before)
}
