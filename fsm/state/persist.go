package state

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/model"
)

// A snapshot is a sequence of blocks after the magic and the format version:
//
//	magic "STEPPE" · format (2 bytes)
//	block: length of payload (4 bytes) · section (1 byte) · payload · CRC-32C (4 bytes)
//
// numbers big endian. The sum covers the block's number, its section and its
// payload, so that a block cannot be lost, repeated or moved. The first block
// is the header, the last one the end, which says how many rows there are of
// each section; between them, rows follow one another as length (uvarint) and
// msgpack. A row is never split.
const (
	snapshotMagic  = "STEPPE"
	snapshotFormat = 1
)

// Limits of a snapshot's blocks.
const (
	// blockBytes is the payload at which a block is closed: large enough that
	// its frame costs nothing, small enough to buffer.
	blockBytes = 256 << 10
	// maxBlockBytes bounds a block to read: one row as large as an entry can be.
	maxBlockBytes = 80 << 20
	// readStep is how much of a block is read at once, so that a length that is
	// not backed by data costs little.
	readStep = 1 << 20
)

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
	sectionFeature: 26, TableLaunches: 27,
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
	ErrSnapshotDamaged = errors.New("snapshot is damaged")
	ErrSnapshotCut     = errors.New("snapshot is incomplete")
	ErrSnapshotNewer   = errors.New("snapshot was written by a newer version of steppe")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockSum is the checksum of a block.
func blockSum(number uint64, section byte, payload []byte) uint32 {
	var head [9]byte
	binary.BigEndian.PutUint64(head[:8], number)
	head[8] = section
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
}

// WriteTo writes the snapshot in the form that Store.Restore reads, and returns
// the number of bytes.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	sw := &snapshotWriter{out: bufio.NewWriterSize(w, blockBytes), end: snapshotEnd{Rows: make(map[string]uint64)}}
	sw.allocs = newAllocWriter(s)
	err := sw.write(s)
	if err == nil {
		err = sw.out.Flush()
	}
	return sw.bytes, err
}

// snapshotWriter is the visitor that writes a snapshot.
type snapshotWriter struct {
	out     *bufio.Writer
	bytes   int64
	number  uint64 // of the next block
	name    Table
	section byte
	payload []byte
	scratch []byte
	allocs  *allocWriter
	record  allocRecord
	end     snapshotEnd
}

func (w *snapshotWriter) write(s *Snapshot) error {
	head := append([]byte(snapshotMagic), 0, snapshotFormat)
	if err := w.raw(head); err != nil {
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
	return w.block(section, b)
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
	if len(w.payload) >= blockBytes {
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
	err := w.block(w.section, w.payload)
	w.payload = w.payload[:0]
	return err
}

func (w *snapshotWriter) block(section byte, payload []byte) error {
	if len(payload) > maxBlockBytes {
		return fmt.Errorf("a block of %d bytes is larger than the %d that can be read back", len(payload), maxBlockBytes)
	}
	var head [5]byte
	binary.BigEndian.PutUint32(head[:4], uint32(len(payload)))
	head[4] = section
	sum := blockSum(w.number, section, payload)
	w.number++
	if err := w.raw(head[:]); err != nil {
		return err
	}
	if err := w.raw(payload); err != nil {
		return err
	}
	return w.raw(binary.BigEndian.AppendUint32(nil, sum))
}

func (w *snapshotWriter) raw(b []byte) error {
	n, err := w.out.Write(b)
	w.bytes += int64(n)
	return err
}

// blockReader reads a snapshot's blocks.
type blockReader struct {
	in     *bufio.Reader
	number uint64
	buf    bytes.Buffer
}

// open reads magic and format version.
func (r *blockReader) open() error {
	head := make([]byte, len(snapshotMagic)+2)
	if _, err := io.ReadFull(r.in, head); err != nil {
		return cut(err, "in its first bytes")
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("%w: it does not start with %q", ErrSnapshotDamaged, snapshotMagic)
	}
	switch format := binary.BigEndian.Uint16(head[len(snapshotMagic):]); {
	case format > snapshotFormat:
		return fmt.Errorf("%w: format %d, this version reads up to %d", ErrSnapshotNewer, format, snapshotFormat)
	case format == 0:
		return fmt.Errorf("%w: format 0", ErrSnapshotDamaged)
	}
	return nil
}

// cut tells an end of input from another error of reading.
func cut(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends %s", ErrSnapshotCut, where)
	}
	return fmt.Errorf("reading a snapshot: %w", err)
}

// next reads one block. The payload is valid until the next call.
func (r *blockReader) next() (section byte, payload []byte, err error) {
	where := fmt.Sprintf("in block %d", r.number)
	var head [5]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return 0, nil, cut(err, where)
	}
	size := int64(binary.BigEndian.Uint32(head[:4]))
	if size > maxBlockBytes {
		return 0, nil, fmt.Errorf("%w: block %d claims %d bytes", ErrSnapshotDamaged, r.number, size)
	}
	r.buf.Reset()
	for size > 0 {
		n, err := io.CopyN(&r.buf, r.in, min(size, readStep))
		if err != nil {
			return 0, nil, cut(err, where)
		}
		size -= n
	}
	var sum [4]byte
	if _, err := io.ReadFull(r.in, sum[:]); err != nil {
		return 0, nil, cut(err, where)
	}
	payload = r.buf.Bytes()
	if binary.BigEndian.Uint32(sum[:]) != blockSum(r.number, head[4], payload) {
		return 0, nil, fmt.Errorf("%w: wrong checksum of block %d", ErrSnapshotDamaged, r.number)
	}
	r.number++
	return head[4], payload, nil
}
