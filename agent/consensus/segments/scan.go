package segments

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/steppe-project/steppe/agent/consensus/guard"
)

// A segment file, as raft-wal writes it, is a header and frames. A commit ends a
// batch: its second word is the CRC-32C of everything since the one before it.
//
//	header 32 │ entry, entry … [index] commit │ entry … commit │ zeros
//	frame: kind 1, zeros 3, length or checksum 4 │ body, filled up to 8
const (
	segmentHeader = 32
	frameHeader   = 8
	scanBuffer    = 64 << 10
)

// scan is what a last segment holds.
type scan struct {
	entries uint64 // in whole batches
	end     int64  // of the last whole batch
	index   int64  // where its index begins, when it is full; else 0
	torn    bool   // something follows that is no whole batch
}

// scanner reads a segment from its begin.
type scanner struct {
	in    *bufio.Reader
	sum   hash.Hash32 // of the batch
	at    int64
	began int64 // the batch
	batch scan
	found scan
	// broken is where a batch begins that is not whole, -1 while there is none.
	broken int64
}

// scan reads a last segment, and changes nothing. A batch that is not whole before
// one that is is damage; a crash leaves such a one at the end only.
func (s *Store) scan(info *types.SegmentInfo) (scan, error) {
	path := filepath.Join(s.dir, segment.FileName(*info))
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return scan{}, nil
	}
	if err != nil {
		return scan{}, err
	}
	defer f.Close() // it was only read
	r := &scanner{in: bufio.NewReaderSize(f, scanBuffer), sum: crc32.New(castagnoli), broken: -1}
	for err = r.take(segmentHeader); err == nil; {
		err = r.frame()
	}
	if errors.Is(err, guard.ErrDamaged) {
		return scan{}, fmt.Errorf("%s: %w", path, err)
	}
	if !errors.Is(err, io.EOF) {
		return scan{}, err
	}
	r.found.torn, err = written(f, r.found.end)
	return r.found, err
}

// take reads n bytes of the batch.
func (r *scanner) take(n int64) error {
	got, err := io.CopyN(r.sum, r.in, n)
	r.at += got
	return err
}

// frame reads one; io.EOF when there is none.
func (r *scanner) frame() error {
	head, err := r.in.Peek(frameHeader)
	if err != nil {
		return err
	}
	kind, word := head[0], binary.LittleEndian.Uint32(head[4:])
	if kind == segment.FrameCommit {
		return r.commit(word)
	}
	switch kind {
	case segment.FrameEntry:
		r.batch.entries++
	case segment.FrameIndex:
		r.batch.index = r.at + frameHeader
	default:
		return io.EOF
	}
	return r.take(frameHeader + (int64(word)+frameHeader-1)/frameHeader*frameHeader)
}

// commit ends a batch with its checksum.
func (r *scanner) commit(want uint32) error {
	whole := r.sum.Sum32() == want
	if whole && r.broken >= 0 {
		return fmt.Errorf("the entries at byte %d are not what was written: %w", r.broken, guard.ErrDamaged)
	}
	if !whole && r.broken < 0 {
		r.broken = r.began
	}
	err := r.take(frameHeader)
	r.sum.Reset()
	r.began = r.at
	if whole {
		r.found = scan{entries: r.found.entries + r.batch.entries, end: r.at, index: r.batch.index}
	}
	r.batch = scan{}
	return err
}

// written tells whether a file has anything but zeros from off on.
func written(f *os.File, off int64) (bool, error) {
	b := make([]byte, scanBuffer)
	for {
		n, err := f.ReadAt(b, off)
		for _, v := range b[:n] {
			if v != 0 {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		off += int64(n)
	}
}

// cut removes what follows the last whole batch. Left there, it could look like a
// batch once new ones have been written before it, or as if the segment were full.
func (s *Store) cut(info *types.SegmentInfo, end int64) error {
	w, err := s.files.OpenWriter(s.dir, segment.FileName(*info))
	if err != nil {
		return err
	}
	f := w.(*file)
	if err = s.note(f.Truncate(end)); err == nil {
		allocate(f.File, int64(s.opts.Bytes))
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
