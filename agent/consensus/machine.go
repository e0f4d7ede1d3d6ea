package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/fsm"
)

// snapshotMagic opens the state in raft's snapshots; the digit is the version
// of the header: magic, index and time (unix ns) of the last entry applied, each
// big endian 8 bytes. The machine's own form follows.
const snapshotMagic = "STEPPE1\n"

// headerBytes is the header's length.
const headerBytes = len(snapshotMagic) + 16

// adapter is the raft.FSM in front of the Machine.
type adapter struct {
	machine Machine
	fatal   func(error) // stops the host; called at most once

	broken  atomic.Bool   // after fatal nothing is applied any more
	applied atomic.Uint64 // index of the last command entry applied
	time    atomic.Int64  // its time
	noted   func(time int64, term uint64)
	saved   atomic.Int64 // bytes of the newest snapshot, 0 before the first
}

// Apply implements raft.FSM.
func (a *adapter) Apply(l *raft.Log) any { return a.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. A response is a []fsm.Outcome, or an
// error for an entry that could not be applied.
func (a *adapter) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			out[i] = a.applyOne(l)
		}
	}
	return out
}

var errStopped = errors.New("this server's state machine has stopped")

func (a *adapter) applyOne(l *raft.Log) any {
	if a.broken.Load() {
		return errStopped
	}
	e, err := fsm.DecodeEntry(l.Index, l.Term, l.Data)
	if err != nil {
		// The others applied it: going on without would be another state.
		return a.stop(err)
	}
	outcomes := a.machine.Apply(e)
	for i := range outcomes {
		if fsm.Fatal(outcomes[i].Err) {
			return a.stop(outcomes[i].Err)
		}
	}
	a.time.Store(e.Time)
	a.noted(e.Time, e.Term)
	a.applied.Store(e.Index)
	return outcomes
}

func (a *adapter) stop(err error) error {
	if a.broken.CompareAndSwap(false, true) {
		a.fatal(err)
	}
	return err
}

// Snapshot implements raft.FSM.
func (a *adapter) Snapshot() (raft.FSMSnapshot, error) {
	if a.broken.Load() {
		return nil, errStopped
	}
	return &capture{index: a.applied.Load(), time: a.time.Load(), state: a.machine.Snapshot(), saved: &a.saved}, nil
}

// Restore implements raft.FSM.
func (a *adapter) Restore(rc io.ReadCloser) error {
	defer rc.Close() // raft closes it too; nothing was written
	header := make([]byte, headerBytes)
	if _, err := io.ReadFull(rc, header); err != nil {
		return fmt.Errorf("snapshot header: %w", err)
	}
	if string(header[:len(snapshotMagic)]) != snapshotMagic {
		return errors.New("snapshot was not written by this version of steppe, or is damaged")
	}
	if err := a.machine.Restore(rc); err != nil {
		if fsm.Fatal(err) {
			return a.stop(err)
		}
		return err
	}
	a.applied.Store(binary.BigEndian.Uint64(header[len(snapshotMagic):]))
	a.time.Store(int64(binary.BigEndian.Uint64(header[len(snapshotMagic)+8:])))
	return nil
}

// capture is a snapshot being written.
type capture struct {
	index uint64
	time  int64
	state io.WriterTo
	saved *atomic.Int64
}

// Persist implements raft.FSMSnapshot.
func (c *capture) Persist(sink raft.SnapshotSink) error {
	header := []byte(snapshotMagic)
	header = binary.BigEndian.AppendUint64(header, c.index)
	header = binary.BigEndian.AppendUint64(header, uint64(c.time))
	_, err := sink.Write(header)
	var bytes int64
	if err == nil {
		bytes, err = c.state.WriteTo(sink)
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	c.saved.Store(bytes)
	return nil
}

// Release implements raft.FSMSnapshot.
func (c *capture) Release() {}
