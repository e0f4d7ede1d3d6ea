package consensus

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

// trouble is a log store that remembers why it last could not be written: raft
// passes on the text only.
//
// A full disk is a state that ends, and the log is as it was. After any other
// error, above all of an fsync, what the kernel shows may not be what the disk has
// (it drops what it could not write and reports that once), so that going on could
// build upon what the next start will not find: the server ends.
type trouble struct {
	raft.LogStore
	fatal func(error)
	room  *space.Space // nil = there is no disk
	last  atomic.Pointer[error]
	over  atomic.Bool // fatal was told
	done  chan struct{}
}

func newTrouble(logs raft.LogStore, fatal func(error), room *space.Space) *trouble {
	return &trouble{LogStore: logs, fatal: fatal, room: room, done: make(chan struct{})}
}

// StoreLogs implements raft.LogStore.
func (s *trouble) StoreLogs(logs []*raft.Log) error {
	return s.try(func() error { return s.LogStore.StoreLogs(logs) })
}

// StoreLog implements raft.LogStore.
func (s *trouble) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// IsMonotonic implements raft.MonotonicLogStore.
func (s *trouble) IsMonotonic() bool { return guard.Monotonic(s.LogStore) }

// DeleteRange implements raft.LogStore.
func (s *trouble) DeleteRange(from, to uint64) error {
	return s.try(func() error { return s.LogStore.DeleteRange(from, to) })
}

// try writes, once more when the reserved space was given up for it.
func (s *trouble) try(write func() error) error {
	err := write()
	if durable.OutOfSpace(err) && s.room != nil && s.room.Full() {
		err = write()
	}
	return s.note(err)
}

func (s *trouble) note(err error) error {
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

// why returns the last error of writing, nil if there never was one; another
// pointer is another failure.
func (s *trouble) why() *error { return s.last.Load() }

// steadyVotes is a stable store whose writes do not fail: raft panics when its term
// cannot be written. While the disk is full they wait; after another error the
// caller, a goroutine of raft, ends, and with it soon the host.
type steadyVotes struct {
	raft.StableStore
	trouble *trouble
}

// Set implements raft.StableStore.
func (s steadyVotes) Set(key, value []byte) error {
	return s.insist(func() error { return s.StableStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore. Raft writes its term at every start, in
// the goroutine of its caller: what is there already is not written again.
func (s steadyVotes) SetUint64(key []byte, value uint64) error {
	if string(key) == guard.KeyTerm && guard.StoredUint64(s.StableStore, guard.KeyTerm) == value {
		return nil
	}
	return s.insist(func() error { return s.StableStore.SetUint64(key, value) })
}

func (s steadyVotes) insist(write func() error) error {
	for {
		err := s.trouble.try(write)
		if err == nil {
			return nil
		}
		select {
		case <-s.trouble.done:
			runtime.Goexit()
		case <-time.After(spacePause):
		}
	}
}

// stop ends what waits for space.
func (s *trouble) stop() {
	if s.over.CompareAndSwap(false, true) {
		close(s.done)
	}
}
