// Package trouble decides what a server does when its log cannot be written.
//
// Contract and invariants:
//
//   - A full disk is a state that ends: entries are refused, with the reserve given up
//     first, and terms and votes wait.
//   - After any other failure nothing is written any more, and the server ends.
//
// Example:
//
//	logs := trouble.New(files, fatal, room)
//	votes := trouble.Votes{StableStore: files, Log: logs}
package trouble

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/agent/consensus/space"
	"github.com/steppe-project/steppe/internal/durable"
)

// spacePause is how often a write that must not fail is tried again while the disk
// is full.
const spacePause = 250 * time.Millisecond

// Log is a log store that remembers why it last could not be written: raft
// passes on the text only.
//
// A full disk is a state that ends, and the log is as it was. After any other
// error, above all of an fsync, what the kernel shows may not be what the disk has
// (it drops what it could not write and reports that once), so that going on could
// build upon what the next start will not find: the server ends.
type Log struct {
	raft.LogStore
	fatal func(error)
	room  *space.Space // nil = there is no disk
	last  atomic.Pointer[error]
	over  atomic.Bool // fatal was told
	done  chan struct{}
}

// New makes one upon logs. fatal is told, and must not block, why the server must end.
func New(logs raft.LogStore, fatal func(error), room *space.Space) *Log {
	return &Log{LogStore: logs, fatal: fatal, room: room, done: make(chan struct{})}
}

// StoreLogs implements raft.LogStore.
func (s *Log) StoreLogs(logs []*raft.Log) error {
	return s.try(func() error { return s.LogStore.StoreLogs(logs) })
}

// StoreLog implements raft.LogStore.
func (s *Log) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// IsMonotonic implements raft.MonotonicLogStore.
func (s *Log) IsMonotonic() bool { return guard.Monotonic(s.LogStore) }

// DeleteRange implements raft.LogStore.
func (s *Log) DeleteRange(from, to uint64) error {
	return s.try(func() error { return s.LogStore.DeleteRange(from, to) })
}

// try writes, once more when the reserved space was given up for it.
func (s *Log) try(write func() error) error {
	err := write()
	if durable.OutOfSpace(err) && s.room != nil && s.room.Full() {
		err = write()
	}
	return s.note(err)
}

func (s *Log) note(err error) error {
	if err == nil {
		return nil
	}
	s.last.Store(&err)
	if !durable.OutOfSpace(err) && s.over.CompareAndSwap(false, true) {
		close(s.done)
		s.fatal(fmt.Errorf("the log cannot be written, and what of it is on disk is not known; mend the disk, then start this server again: %w", err))
	}
	return err
}

// Why returns the last error of writing, nil if there never was one; another
// pointer is another failure.
func (s *Log) Why() *error { return s.last.Load() }

// Votes is a stable store whose writes do not fail: raft panics when its term
// cannot be written. While the disk is full they wait; after another error the
// caller, a goroutine of raft, ends, and with it soon the host.
type Votes struct {
	raft.StableStore
	Log *Log
}

// Set implements raft.StableStore.
func (s Votes) Set(key, value []byte) error {
	return s.insist(func() error { return s.StableStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore. Raft writes its term at every start, in
// the goroutine of its caller: what is there already is not written again.
func (s Votes) SetUint64(key []byte, value uint64) error {
	if string(key) == guard.KeyTerm && guard.StoredUint64(s.StableStore, guard.KeyTerm) == value {
		return nil
	}
	return s.insist(func() error { return s.StableStore.SetUint64(key, value) })
}

func (s Votes) insist(write func() error) error {
	for {
		err := s.Log.try(write)
		if err == nil {
			return nil
		}
		select {
		case <-s.Log.done:
			runtime.Goexit()
		case <-time.After(spacePause):
		}
	}
}

// Stop ends what waits for space.
func (s *Log) Stop() {
	if s.over.CompareAndSwap(false, true) {
		close(s.done)
	}
}
