// Package block frames a state snapshot: a sequence of blocks, each with a
// checksum, after a magic and a format version.
//
//	magic "STEPPE" · format (2 bytes)
//	block: length of payload (4 bytes) · section (1 byte) · payload · CRC-32C (4 bytes)
//
// Numbers are big endian. The sum covers the block's number, its section and its
// payload, so that a block cannot be lost, repeated or moved. What the sections
// mean is the caller's.
//
// Example:
//
//	w := block.NewWriter(file)
//	err := w.Open()
//	err = w.Write(section, payload)
//	err = w.Flush()
package block

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	magic  = "STEPPE"
	format = 1
)

const (
	// Bytes is the payload at which a block is closed: large enough that its
	// frame costs nothing, small enough to buffer.
	Bytes = 256 << 10
	// maxBytes bounds a block to read: one row as large as an entry can be.
	maxBytes = 80 << 20
	// readStep is how much of a block is read at once, so that a length that is
	// not backed by data costs little.
	readStep = 1 << 20
)

// Errors of reading. They are wrapped with where and what.
var (
	ErrDamaged = errors.New("snapshot is damaged")
	ErrCut     = errors.New("snapshot is incomplete")
	ErrNewer   = errors.New("snapshot was written by a newer version of steppe")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of a block.
func sum(number uint64, section byte, payload []byte) uint32 {
	var head [9]byte
	binary.BigEndian.PutUint64(head[:8], number)
	head[8] = section
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
}

// Writer writes blocks.
type Writer struct {
	out    *bufio.Writer
	bytes  int64
	number uint64 // of the next block
}

// NewWriter writes to w. Flush it at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{out: bufio.NewWriterSize(w, Bytes)} }

// Open writes magic and format version.
func (w *Writer) Open() error { return w.raw(append([]byte(magic), 0, format)) }

// Write writes one block.
func (w *Writer) Write(section byte, payload []byte) error {
	if len(payload) > maxBytes {
		return fmt.Errorf("a block of %d bytes is larger than the %d that can be read back", len(payload), maxBytes)
	}
	var head [5]byte
	binary.BigEndian.PutUint32(head[:4], uint32(len(payload)))
	head[4] = section
	check := sum(w.number, section, payload)
	w.number++
	if err := w.raw(head[:]); err != nil {
		return err
	}
	if err := w.raw(payload); err != nil {
		return err
	}
	return w.raw(binary.BigEndian.AppendUint32(nil, check))
}

// Flush writes what is buffered.
func (w *Writer) Flush() error { return w.out.Flush() }

// Bytes is how much was written.
func (w *Writer) Bytes() int64 { return w.bytes }

func (w *Writer) raw(b []byte) error {
	n, err := w.out.Write(b)
	w.bytes += int64(n)
	return err
}

// Reader reads blocks. It may buffer beyond the last one.
type Reader struct {
	in     *bufio.Reader
	number uint64
	buf    bytes.Buffer
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, Bytes)} }

// Open reads magic and format version.
func (r *Reader) Open() error {
	head := make([]byte, len(magic)+2)
	if _, err := io.ReadFull(r.in, head); err != nil {
		return cut(err, "in its first bytes")
	}
	if string(head[:len(magic)]) != magic {
		return fmt.Errorf("%w: it does not start with %q", ErrDamaged, magic)
	}
	switch f := binary.BigEndian.Uint16(head[len(magic):]); {
	case f > format:
		return fmt.Errorf("%w: format %d, this version reads up to %d", ErrNewer, f, format)
	case f == 0:
		return fmt.Errorf("%w: format 0", ErrDamaged)
	}
	return nil
}

// cut tells an end of input from another error of reading.
func cut(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends %s", ErrCut, where)
	}
	return fmt.Errorf("reading a snapshot: %w", err)
}

// Number is how many blocks were read.
func (r *Reader) Number() uint64 { return r.number }

// Next reads one block. The payload is valid until the next call.
func (r *Reader) Next() (section byte, payload []byte, err error) {
	where := fmt.Sprintf("in block %d", r.number)
	var head [5]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return 0, nil, cut(err, where)
	}
	size := int64(binary.BigEndian.Uint32(head[:4]))
	if size > maxBytes {
		return 0, nil, fmt.Errorf("%w: block %d claims %d bytes", ErrDamaged, r.number, size)
	}
	r.buf.Reset()
	for size > 0 {
		n, err := io.CopyN(&r.buf, r.in, min(size, readStep))
		if err != nil {
			return 0, nil, cut(err, where)
		}
		size -= n
	}
	var check [4]byte
	if _, err := io.ReadFull(r.in, check[:]); err != nil {
		return 0, nil, cut(err, where)
	}
	payload = r.buf.Bytes()
	if binary.BigEndian.Uint32(check[:]) != sum(r.number, head[4], payload) {
		return 0, nil, fmt.Errorf("%w: wrong checksum of block %d", ErrDamaged, r.number)
	}
	r.number++
	return head[4], payload, nil
}
