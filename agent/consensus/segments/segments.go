// Package segments keeps a server's log in segment files, by hashicorp/raft-wal, and
// its term and vote beside them.
//
//	dir/meta                 which segments there are, term and vote (meta)
//	dir/<first>-<id>.wal     entries in order, a checksum for each batch; the last
//	                         one is written to, and allocated in advance
//
// Contract and invariants:
//
//   - An entry that StoreLogs returned for is on disk, and so is a value that Set did.
//   - What is damaged or missing is refused at opening, and never a crash; nothing of
//     it is changed. What a crash left of a batch that was not acknowledged is cut off.
//   - Entries have no gaps. Entries that begin above the end of the log replace it: a
//     snapshot has what is between.
//   - After a write that failed for want of space the next one finds the log as it was
//     before. After any other failure all writes fail.
//
// Example:
//
//	s, err := segments.Open(dir, segments.Options{Logger: logger})
//	defer s.Close()
//	err = s.StoreLogs(entries)
package segments

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/internal/durable"
)

// DefaultBytes is the size of a segment: what is allocated in advance and what
// compaction frees at a time. A larger one is measurably no faster.
const DefaultBytes = 16 << 20

// lockPatience is how long an opening waits for a process that is ending.
const lockPatience = time.Second

// ErrBusy is the error of files that another process has open.
var ErrBusy = errors.New("the files of the log are in use")

// Options may be left zero.
type Options struct {
	// Bytes is the size of a segment. 0 = DefaultBytes.
	Bytes int
	// Check, when set, is told at opening where the log ends, 0 for an empty one,
	// before anything is changed; its error is Open's.
	Check func(last uint64) error
	// Logger gets raft-wal's words.
	Logger hclog.Logger
}

// Store is an open log. It implements raft.LogStore, raft.MonotonicLogStore and
// raft.StableStore.
type Store struct {
	dir   string
	opts  Options
	lock  *os.File
	meta  *meta
	files *files
	filer *segment.Filer
	// failure is why files could not be changed, first of all in the background,
	// where raft-wal only logs it.
	failure atomic.Pointer[error]

	write  sync.Mutex // held by whoever changes entries
	broken bool       // a write failed: what raft-wal has in memory is not relied upon

	mu     sync.RWMutex // held to replace wal, or to take segments from it
	wal    *wal.WAL
	closed atomic.Bool
}

// Open opens or creates the log in dir, which must exist.
func Open(dir string, opts Options) (*Store, error) {
	if opts.Bytes == 0 {
		opts.Bytes = DefaultBytes
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	s := &Store{dir: dir, opts: opts}
	var err error
	if s.lock, err = acquire(dir); err != nil {
		return nil, err
	}
	s.files = &files{note: s.note}
	s.filer = segment.NewFiler(dir, s.files)
	if s.meta, err = openMeta(filepath.Join(dir, metaFile), s.note); err == nil {
		err = s.open(opts.Check)
	}
	if err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

// acquire locks a directory; the kernel lets go of it when the process ends.
func acquire(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Since(began) > lockPatience {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
}

// open makes raft-wal read the files anew. An earlier one is replaced when that
// has succeeded, so that reading goes on.
func (s *Store) open(check func(last uint64) error) error {
	s.failure.Store(nil)
	err := caught(func() error { return s.settle(check) })
	if err != nil {
		return err
	}
	var fresh *wal.WAL
	err = caught(func() (err error) {
		fresh, err = wal.Open(s.dir, wal.WithMetaStore(s.meta), wal.WithSegmentFiler(s.filer),
			wal.WithSegmentSize(s.opts.Bytes), wal.WithLogger(s.opts.Logger))
		return err
	})
	if err != nil {
		return explain(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.wal
	s.wal, s.broken = fresh, false
	if old != nil {
		return old.Close()
	}
	return nil
}

// caught turns a crash of the library, which trusts what it reads, into an error.
func caught(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v: %w", p, guard.ErrDamaged)
		}
	}()
	return do()
}

// explain tells damage from trouble with the disk.
func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("a segment is missing (%w): %w", err, guard.ErrDamaged)
	case errors.Is(err, wal.ErrCorrupt):
		return fmt.Errorf("%w: %w", err, guard.ErrDamaged)
	}
	return err
}

// settle makes what raft-wal is to open whole, if it is not: a crash, or a full
// disk, may have left the last segment with a part of a batch, or full without the
// next one, in which case raft-wal would refuse every entry for ever.
func (s *Store) settle(check func(last uint64) error) error {
	if s.meta.fresh() {
		if err := s.orphans(); err != nil {
			return err
		}
	}
	state := s.meta.state()
	var tail *types.SegmentInfo
	last := uint64(0)
	for i := range state.Segments {
		seg := &state.Segments[i]
		if seg.SealTime.IsZero() {
			tail = seg
		} else {
			last = seg.MaxIndex
		}
	}
	var found scan
	if tail != nil {
		var err error
		if found, err = s.scan(tail); err != nil {
			return err
		}
		if found.entries > 0 {
			last = tail.BaseIndex + found.entries - 1
		}
	}
	if check != nil {
		if err := check(last); err != nil {
			return err
		}
	}
	if found.torn {
		if err := s.cut(tail, found.end); err != nil {
			return err
		}
	}
	if found.index == 0 {
		return nil
	}
	next := types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: last + 1, MinIndex: last + 1, SizeLimit: uint32(s.opts.Bytes),
		Codec: tail.Codec, CreateTime: time.Now(),
	}
	tail.MaxIndex, tail.IndexStart, tail.SealTime = last, uint64(found.index), time.Now()
	state.Segments = append(state.Segments, next)
	state.NextSegmentID++
	return s.meta.CommitState(state)
}

// orphans refuses segments that nothing tells of: raft-wal would remove them.
func (s *Store) orphans() error {
	names, err := s.files.ListDir(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) {
			return fmt.Errorf("%s is missing, but there is %s: %w", s.meta.path, name, guard.ErrDamaged)
		}
	}
	return nil
}

// note remembers why files could not be changed.
func (s *Store) note(err error) error {
	if err != nil {
		s.failure.CompareAndSwap(nil, &err)
	}
	return err
}

// change makes a change of entries. What raft-wal has in memory after a failure may
// not be what is on disk: it reads that anew before the next one.
func (s *Store) change(do func() error) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.closed.Load() {
		return wal.ErrClosed
	}
	for again := true; ; again = false {
		if cause := s.failure.Load(); cause != nil {
			if !durable.OutOfSpace(*cause) {
				return *cause
			}
			s.broken = true
		}
		if s.broken {
			if err := s.open(nil); err != nil {
				s.broken = true
				return err
			}
		}
		err := caught(do)
		if s.broken = err != nil; !errors.Is(err, wal.ErrSealed) || !again {
			return err
		}
	}
}

// StoreLog implements raft.LogStore.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	return s.change(func() error {
		last, err := s.wal.LastIndex()
		if err != nil {
			return err
		}
		if last > 0 && logs[0].Index > last+1 {
			if err := s.remove(0, last); err != nil {
				return err
			}
		}
		return s.wal.StoreLogs(logs)
	})
}

// DeleteRange implements raft.LogStore, at the log's ends.
func (s *Store) DeleteRange(from, to uint64) error {
	return s.change(func() error { return s.remove(from, to) })
}

// remove keeps readers away: raft-wal may close what they read.
func (s *Store) remove(from, to uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wal.DeleteRange(from, to)
}

// IsMonotonic implements raft.MonotonicLogStore: there are no gaps.
func (s *Store) IsMonotonic() bool { return true }

// FirstIndex implements raft.LogStore.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.wal.FirstIndex()
}

// LastIndex implements raft.LogStore.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.wal.LastIndex()
}

// GetLog implements raft.LogStore.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return caught(func() error {
		first, err := s.wal.FirstIndex()
		if err != nil {
			return err
		}
		if index < first { // raft-wal still shows what it has removed from the last segment
			return raft.ErrLogNotFound
		}
		return s.wal.GetLog(index, l)
	})
}

// Set implements raft.StableStore.
func (s *Store) Set(key, value []byte) error {
	if s.closed.Load() {
		return wal.ErrClosed
	}
	return s.meta.SetStable(key, value)
}

// Get implements raft.StableStore; nil for what was never set.
func (s *Store) Get(key []byte) ([]byte, error) { return s.meta.GetStable(key) }

// SetUint64 implements raft.StableStore.
func (s *Store) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore; 0 for what was never set.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil || len(value) == 0 {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%s has %d bytes: %w", key, len(value), guard.ErrDamaged)
	}
	return binary.BigEndian.Uint64(value), nil
}

// Close closes the files. Nothing is left to be written.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.wal.Close(), s.lock.Close())
}
