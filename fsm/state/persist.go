package state

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/fsm/state/block"
	"github.com/steppe-project/steppe/model"
)

// A snapshot is a sequence of blocks (package block). The first block is the
// header, the last one the end, which says how many rows there are of each section;
// between them, rows follow one another as length (uvarint) and msgpack. A row is
// never split.

// Sections of the config table in snapshots and hash.
const (
	sectionScheduler Table = "config_scheduler"
	sectionAutopilot Table = "config_autopilot"
	sectionCluster   Table = "config_cluster"
	sectionSigning   Table = "config_signing_keys"
	sectionFeature   Table = "config_feature"
)

// section numbers of blocks; never reused.
const (
	blockHeader = 1
	blockEnd    = 2
)

var sections = map[Table]byte{
	TableNamespaces: 10, TableNodePools: 11, sectionScheduler: 12, sectionAutopilot: 13, sectionCluster: 14,
	sectionSigning: 15, TableNodes: 16, TableJobs: 17, TableJobVersions: 18, TableSubmissions: 19,
	TableJobSummary: 20, TableEvals: 21, TableDeployments: 22, TableAllocs: 23, TableRequests: 24, TableScaling: 25,
	sectionFeature: 26, TableLaunches: 27, TableQuotas: 29,
}

var sectionTables = func() map[byte]Table {
	m := make(map[byte]Table, len(sections))
	for t, n := range sections {
		m[n] = t
	}
	return m
}()

// Errors of a restore. They are wrapped with where and what.
var (
	ErrSnapshotDamaged = block.ErrDamaged
	ErrSnapshotCut     = block.ErrCut
	ErrSnapshotNewer   = block.ErrNewer
)

// WriteTo writes the snapshot in the form that Store.Restore reads, and returns
// the number of bytes.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	sw := &snapshotWriter{out: block.NewWriter(w), end: snapshotEnd{Rows: make(map[string]uint64)}}
	sw.allocs = newAllocWriter(s)
	err := sw.write(s)
	if err == nil {
		err = sw.out.Flush()
	}
	return sw.out.Bytes(), err
}

// snapshotWriter is the visitor that writes a snapshot.
type snapshotWriter struct {
	out     *block.Writer
	name    Table
	section byte
	payload []byte
	scratch []byte
	allocs  *allocWriter
	record  allocRecord
	end     snapshotEnd
}

func (w *snapshotWriter) write(s *Snapshot) error {
	if err := w.out.Open(); err != nil {
		return err
	}
	header := snapshotHeader{Index: s.index, Changed: make(map[string]uint64, tableCount)}
	if active := s.Feature(); active != nil {
		header.Level = int(active.Level)
	}
	for i, t := range Tables {
		if !s.untouched(t) {
			header.Changed[string(t)] = s.changed[i]
		}
	}
	if err := w.single(blockHeader, &header); err != nil {
		return err
	}
	if err := eachTable(s, w); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.single(blockEnd, &w.end)
}

// single writes a block that is one message.
func (w *snapshotWriter) single(section byte, m msgp.Marshaler) error {
	b, err := m.MarshalMsg(nil)
	if err != nil {
		return err
	}
	return w.out.Write(section, b)
}

func (w *snapshotWriter) table(t Table, _ int) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.name, w.section = t, sections[t]
	return nil
}

func (w *snapshotWriter) row(row msgp.Marshaler) error {
	b, err := row.MarshalMsg(w.scratch[:0])
	if err != nil {
		return fmt.Errorf("a row of %s cannot be encoded: %w", w.name, err)
	}
	w.scratch = b
	w.payload = binary.AppendUvarint(w.payload, uint64(len(b)))
	w.payload = append(w.payload, b...)
	w.end.Rows[string(w.name)]++
	if len(w.payload) >= block.Bytes {
		return w.flush()
	}
	return nil
}

func (w *snapshotWriter) alloc(a *model.Allocation) error {
	if err := w.allocs.record(&w.record, a); err != nil {
		return fmt.Errorf("allocation %s cannot be encoded: %w", a.ID, err)
	}
	return w.row(short{&w.record})
}

// flush closes the open block.
func (w *snapshotWriter) flush() error {
	if len(w.payload) == 0 {
		return nil
	}
	err := w.out.Write(w.section, w.payload)
	w.payload = w.payload[:0]
	return err
}
