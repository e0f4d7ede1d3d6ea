package state

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/fsm/state/block"
	"github.com/steppe-project/steppe/fsm/state/tree"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
)

// Restore replaces the whole state by a snapshot that WriteTo wrote. It reads
// exactly the snapshot (but may buffer beyond it) and fails, leaving the state
// as it was, with ErrSnapshotCut, ErrSnapshotDamaged, ErrSnapshotNewer or the
// reader's error. Subscribers get ErrLagged, all watches wake.
func (s *Store) Restore(r io.Reader) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.epoch++
	scratch := &Store{tallies: make(map[jobRef]*tally)}
	l := &loader{
		understands: s.understands,
		in:          block.NewReader(r),
		x:           &Txn{store: scratch, epoch: s.epoch, staleSet: make(map[jobRef]bool)},
	}
	l.stages = newStages(l.x)
	if err := l.load(); err != nil {
		return err
	}
	next := l.x.Snapshot
	s.tallies, s.asked = scratch.tallies, scratch.asked
	s.feed.reset(next.index, func() { s.current.Store(&next) })
	s.watches.wakeAll()
	s.indexes.reached(next.index)
	return nil
}

// loader reads a snapshot into a transaction's content, table by table.
type loader struct {
	understands feature.Level
	in          *block.Reader
	x           *Txn
	stages      map[Table]stage
	open        Table // being read
	rows        map[string]uint64
}

// stage collects the rows of one table until all have been read.
type stage interface {
	add(b []byte) error // one row
	build(x *Txn)
}

func newStages(x *Txn) map[Table]stage {
	return map[Table]stage{
		TableNamespaces:  &rowStage[tenancy.Namespace, *tenancy.Namespace]{schema: &namespaceSchema},
		TableNodePools:   &rowStage[model.NodePool, *model.NodePool]{schema: &poolSchema},
		sectionScheduler: &rowStage[model.SchedulerConfiguration, *model.SchedulerConfiguration]{schema: &schedulerSchema},
		sectionAutopilot: &rowStage[model.AutopilotConfiguration, *model.AutopilotConfiguration]{schema: &autopilotSchema},
		sectionCluster:   &rowStage[model.ClusterMetadata, *model.ClusterMetadata]{schema: &clusterSchema},
		sectionSigning:   &rowStage[model.SigningKey, *model.SigningKey]{schema: &signingSchema},
		sectionFeature:   &rowStage[feature.Active, *feature.Active]{schema: &featureSchema},
		TableNodes:       &rowStage[model.Node, *model.Node]{schema: &nodeSchema},
		TableJobs:        &rowStage[model.Job, *model.Job]{schema: &jobSchema},
		TableJobVersions: &rowStage[model.Job, *model.Job]{schema: &versionSchema},
		TableSubmissions: &rowStage[Submission, *Submission]{schema: &submissionSchema},
		TableJobSummary:  &rowStage[model.JobSummary, *model.JobSummary]{schema: &summarySchema},
		TableEvals:       &rowStage[model.Evaluation, *model.Evaluation]{schema: &evalSchema},
		TableDeployments: &rowStage[model.Deployment, *model.Deployment]{schema: &deploySchema},
		TableScaling:     &rowStage[ScalingEvents, *ScalingEvents]{schema: &scalingSchema},
		TableLaunches:    &rowStage[Launches, *Launches]{schema: &launchSchema},
		TableQuotas:      &rowStage[tenancy.Quota, *tenancy.Quota]{schema: &quotaSchema},
		TableRequests:    &rowStage[Request, *Request]{schema: &requestSchema},
		TableAllocs: &allocStage{
			rowStage: rowStage[model.Allocation, *model.Allocation]{schema: &allocSchema},
			reader:   newAllocReader(&x.Snapshot),
		},
	}
}

func (l *loader) load() error {
	if err := l.in.Open(); err != nil {
		return err
	}
	if err := l.header(); err != nil {
		return err
	}
	l.rows = make(map[string]uint64)
	for {
		section, payload, err := l.in.Next()
		if err != nil {
			return err
		}
		if section == blockEnd {
			l.close()
			return l.end(payload)
		}
		if err := l.section(section); err != nil {
			return err
		}
		if err := l.block(payload); err != nil {
			return err
		}
	}
}

func (l *loader) header() error {
	section, payload, err := l.in.Next()
	if err != nil {
		return err
	}
	var h snapshotHeader
	if section != blockHeader || decode(&h, payload) != nil {
		return fmt.Errorf("%w: it has no header", ErrSnapshotDamaged)
	}
	if level := feature.Level(h.Level); level > l.understands {
		return fmt.Errorf("%w: it is of feature level %d, and this binary understands up to %d", ErrSnapshotNewer, level, l.understands)
	}
	l.x.index = h.Index
	for name, index := range h.Changed {
		i, ok := ordinals[Table(name)]
		if !ok {
			return fmt.Errorf("%w: it has a table %q", ErrSnapshotNewer, name)
		}
		l.x.changed[i] = index
	}
	return nil
}

// section goes on to the table of a block. One that was left is complete.
func (l *loader) section(number byte) error {
	t, ok := sectionTables[number]
	if !ok {
		return fmt.Errorf("%w: it has a section of kind %d", ErrSnapshotNewer, number)
	}
	if t == l.open {
		return nil
	}
	l.close()
	if l.stages[t] == nil {
		return fmt.Errorf("%w: the rows of %s are not in one place", ErrSnapshotDamaged, t)
	}
	l.open = t
	return nil
}

// close builds the table that was being read.
func (l *loader) close() {
	if l.open == "" {
		return
	}
	l.stages[l.open].build(l.x)
	l.stages[l.open] = nil
	l.open = ""
}

// end compares what was read with what was written.
func (l *loader) end(payload []byte) error {
	var e snapshotEnd
	if err := decode(&e, payload); err != nil {
		return fmt.Errorf("%w: its end cannot be read", ErrSnapshotDamaged)
	}
	if !maps.Equal(e.Rows, l.rows) {
		return fmt.Errorf("%w: it has %v rows, %v were written", ErrSnapshotDamaged, l.rows, e.Rows)
	}
	return nil
}

// block reads the rows of one block.
func (l *loader) block(payload []byte) error {
	stage := l.stages[l.open]
	for len(payload) > 0 {
		size, n := binary.Uvarint(payload)
		if n <= 0 || size > uint64(len(payload)-n) {
			return fmt.Errorf("%w: a row of %s is longer than its block", ErrSnapshotDamaged, l.open)
		}
		row := payload[n : n+int(size)]
		payload = payload[n+int(size):]
		if err := stage.add(row); err != nil {
			return fmt.Errorf("%w: row %d of %s: %w", ErrSnapshotDamaged, l.rows[string(l.open)], l.open, err)
		}
		l.rows[string(l.open)]++
	}
	return nil
}

// rowStage is the stage of a table whose rows are written as they are.
type rowStage[T any, P interface {
	*T
	msgp.Unmarshaler
}] struct {
	schema *schema[T]
	rows   []*T
}

func (s *rowStage[T, P]) add(b []byte) error {
	row := new(T)
	if err := decode(P(row), b); err != nil {
		return err
	}
	return s.append(row)
}

// append adds a row, which must be beyond the last one.
func (s *rowStage[T, P]) append(row *T) error {
	if n := len(s.rows); n > 0 && s.schema.indexes[byKey].order(s.rows[n-1], row) >= 0 {
		return fmt.Errorf("key %q does not come after key %q", s.schema.key(row), s.schema.key(s.rows[n-1]))
	}
	s.rows = append(s.rows, row)
	return nil
}

// build makes all indexes of the table.
func (s *rowStage[T, P]) build(x *Txn) {
	tb := s.schema.content(&x.Snapshot)
	for i := range s.schema.indexes {
		tb.trees[i] = tree.Of(sortedFor(s.rows, &s.schema.indexes[i], i == byKey), x.epoch)
	}
	if s.schema.after != nil {
		for _, row := range s.rows {
			s.schema.after(x, nil, row)
		}
		x.forget()
	}
}

// sortedFor returns the rows that an index holds in its order. rows are in the
// order of their key.
func sortedFor[T any](rows []*T, ix *index[T], primary bool) []*T {
	if primary {
		return rows
	}
	held := rows
	if ix.has != nil {
		held = nil
		for _, row := range rows {
			if ix.has(row) {
				held = append(held, row)
			}
		}
	}
	if ix.group == nil {
		held = slices.Clone(held)
		slices.SortFunc(held, ix.order)
		return held
	}
	return tree.Sorted(held, ix.group)
}

// allocStage is the stage of the allocations, which are written as records.
type allocStage struct {
	rowStage[model.Allocation, *model.Allocation]
	reader *allocReader
	record allocRecord
}

func (s *allocStage) add(b []byte) error {
	s.record = allocRecord{}
	if err := decode(&s.record, b); err != nil {
		return err
	}
	a, err := s.reader.alloc(&s.record)
	if err != nil {
		return err
	}
	return s.append(a)
}
