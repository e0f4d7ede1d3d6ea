package state

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/model"
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
		in: &blockReader{in: bufio.NewReaderSize(r, blockBytes)},
		x:  &Txn{store: scratch, epoch: s.epoch, staleSet: make(map[jobRef]bool)},
	}
	l.allocs = newAllocReader(&l.x.Snapshot)
	if err := l.load(); err != nil {
		return err
	}
	next := l.x.Snapshot
	s.tallies = scratch.tallies
	s.feed.reset(next.index, func() { s.current.Store(&next) })
	s.watches.wakeAll()
	s.indexes.reached(next.index)
	return nil
}

// loader reads a snapshot into a transaction's content.
type loader struct {
	in     *blockReader
	x      *Txn
	allocs *allocReader
	record allocRecord
	rows   map[string]uint64
}

func (l *loader) load() error {
	if err := l.in.open(); err != nil {
		return err
	}
	if err := l.header(); err != nil {
		return err
	}
	l.rows = make(map[string]uint64)
	for {
		section, payload, err := l.in.next()
		if err != nil {
			return err
		}
		if section == blockEnd {
			return l.end(payload)
		}
		t, ok := sectionTables[section]
		if !ok {
			return fmt.Errorf("%w: it has a section of kind %d", ErrSnapshotNewer, section)
		}
		if err := l.block(t, payload); err != nil {
			return err
		}
		l.x.forget()
	}
}

func (l *loader) header() error {
	section, payload, err := l.in.next()
	if err != nil {
		return err
	}
	var h snapshotHeader
	if section != blockHeader || decode(&h, payload) != nil {
		return fmt.Errorf("%w: it has no header", ErrSnapshotDamaged)
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

// end compares what was read with what was written.
func (l *loader) end(payload []byte) error {
	var e snapshotEnd
	if err := decode(&e, payload); err != nil {
		return fmt.Errorf("%w: its end cannot be read", ErrSnapshotDamaged)
	}
	for name, n := range e.Rows {
		if l.rows[name] != n {
			return fmt.Errorf("%w: %d rows of %s, %d expected", ErrSnapshotDamaged, l.rows[name], name, n)
		}
	}
	if len(e.Rows) != len(l.rows) {
		return fmt.Errorf("%w: it has sections that its end does not list", ErrSnapshotDamaged)
	}
	return nil
}

// block reads the rows of one block.
func (l *loader) block(t Table, payload []byte) error {
	for len(payload) > 0 {
		size, n := binary.Uvarint(payload)
		if n <= 0 || size > uint64(len(payload)-n) {
			return fmt.Errorf("%w: a row of %s is longer than its block", ErrSnapshotDamaged, t)
		}
		row := payload[n : n+int(size)]
		payload = payload[n+int(size):]
		if err := l.row(t, row); err != nil {
			return fmt.Errorf("%w: row %d of %s: %w", ErrSnapshotDamaged, l.rows[string(t)], t, err)
		}
		l.rows[string(t)]++
	}
	return nil
}

func (l *loader) row(t Table, b []byte) error {
	switch t {
	case TableNamespaces:
		return load[model.Namespace](l, &namespaceSchema, b)
	case TableNodePools:
		return load[model.NodePool](l, &poolSchema, b)
	case sectionScheduler:
		return load[model.SchedulerConfiguration](l, &schedulerSchema, b)
	case sectionAutopilot:
		return load[model.AutopilotConfiguration](l, &autopilotSchema, b)
	case sectionCluster:
		return load[model.ClusterMetadata](l, &clusterSchema, b)
	case sectionSigning:
		return load[model.SigningKey](l, &signingSchema, b)
	case TableNodes:
		return load[model.Node](l, &nodeSchema, b)
	case TableJobs:
		return load[model.Job](l, &jobSchema, b)
	case TableJobVersions:
		return load[model.Job](l, &versionSchema, b)
	case TableSubmissions:
		return load[Submission](l, &submissionSchema, b)
	case TableJobSummary:
		return load[model.JobSummary](l, &summarySchema, b)
	case TableEvals:
		return load[model.Evaluation](l, &evalSchema, b)
	case TableDeployments:
		return load[model.Deployment](l, &deploySchema, b)
	case TableRequests:
		return load[Request](l, &requestSchema, b)
	}
	return l.alloc(b)
}

// load decodes one row and puts it into its table.
func load[T any, P interface {
	*T
	msgp.Unmarshaler
}](l *loader, sc *schema[T], b []byte) error {
	row := new(T)
	if err := decode(P(row), b); err != nil {
		return err
	}
	return insert(l, sc, row)
}

// insert puts a row that must be new into its table.
func insert[T any](l *loader, sc *schema[T], row *T) error {
	if sc.content(&l.x.Snapshot).trees[byKey].row(row, sc.indexes[byKey].order) != nil {
		return fmt.Errorf("the key %q comes twice", sc.key(row))
	}
	set(l.x, sc, nil, row)
	return nil
}

func (l *loader) alloc(b []byte) error {
	if err := CheckMessage(b); err != nil {
		return err
	}
	l.record = allocRecord{}
	if _, err := l.record.UnmarshalMsg(b); err != nil {
		return err
	}
	a, err := l.allocs.alloc(&l.record)
	if err != nil {
		return err
	}
	return insert(l, &allocSchema, a)
}
