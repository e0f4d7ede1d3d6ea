// Package guard has a server notice what its disk did not keep: what flipped in the
// log file, and what the file forgot.
//
// Contract and invariants:
//
//   - Log and Votes return what was written, or ErrDamaged.
//   - TailedLog and TailedVotes note beside the file how far it went (Tail); what
//     the file has less at the next start, Check names.
//   - Files of versions that knew neither are read.
//
// Example:
//
//	tail, err := guard.OpenTail(dir)
//	logs := guard.TailedLog{LogStore: guard.Log{LogStore: files}, Tail: tail}
//	err = tail.Check(files, votes, covered)
package guard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// ErrDamaged is the error of what was read and is not what was written. A server
// must not go on with it: its state would differ from the others'.
var ErrDamaged = errors.New("the server's log is damaged; restore this server from the others by starting it with an empty data directory, or a lone one from a snapshot")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Log gives every entry a checksum: a bit
// that flips on disk is noticed when it is read, not applied. It stands in the
// entry's Extensions, on disk only. Entries without one are of an earlier version.
type Log struct{ raft.LogStore }

// sumMark opens a checksum in Extensions; the digit is its kind.
const sumMark = "c1"

// checksum covers all of an entry that counts.
func checksum(l *raft.Log) []byte {
	var head [17]byte
	binary.BigEndian.PutUint64(head[:], l.Index)
	binary.BigEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, l.Data)
	return binary.BigEndian.AppendUint32([]byte(sumMark), sum)
}

// StoreLog implements raft.LogStore.
func (g Log) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore. The entries are raft's and stay as they are.
func (g Log) StoreLogs(logs []*raft.Log) error {
	copies := make([]raft.Log, len(logs))
	guarded := make([]*raft.Log, len(logs))
	for i, l := range logs {
		copies[i] = *l
		copies[i].Extensions = checksum(l)
		guarded[i] = &copies[i]
	}
	return g.LogStore.StoreLogs(guarded)
}

// GetLog implements raft.LogStore.
func (g Log) GetLog(index uint64, l *raft.Log) error {
	if err := g.LogStore.GetLog(index, l); err != nil {
		return err
	}
	if l.Index != index || len(l.Extensions) > 0 && !bytes.Equal(l.Extensions, checksum(l)) {
		return fmt.Errorf("entry %d: %w", index, ErrDamaged)
	}
	l.Extensions = nil
	return nil
}

// IsMonotonic implements raft.MonotonicLogStore.
func (g Log) IsMonotonic() bool { return Monotonic(g.LogStore) }

// Monotonic tells whether a log store has no gaps, which raft must know through all
// that is wrapped around it: it removes what an installed snapshot has then, instead
// of leaving a gap behind it.
func Monotonic(logs raft.LogStore) bool {
	m, ok := logs.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// Verify reads the whole log. Entries that the newest snapshot, at covered, makes
// superfluous may be missing: a snapshot that was restored leaves a gap.
func (g Log) Verify(covered uint64) error {
	first, err := g.FirstIndex()
	if err != nil {
		return err
	}
	last, err := g.LastIndex()
	if err != nil {
		return err
	}
	for i := first; i <= last && i > 0; i++ {
		var l raft.Log
		switch err := g.GetLog(i, &l); {
		case errors.Is(err, raft.ErrLogNotFound) && i <= covered:
		case errors.Is(err, raft.ErrLogNotFound):
			return fmt.Errorf("entry %d is missing: %w", i, ErrDamaged)
		case err != nil && !errors.Is(err, ErrDamaged):
			return fmt.Errorf("entry %d cannot be decoded (%w): %w", i, err, ErrDamaged)
		case err != nil:
			return err
		}
	}
	return nil
}

// Votes gives term and vote a checksum: with a wrong one a server may vote
// twice. They stand beside the plain values, which an earlier version reads.
type Votes struct{ raft.StableStore }

// sumSuffix names the value with its checksum.
const sumSuffix = "+sum"

func voteSum(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return binary.BigEndian.AppendUint32(nil, sum)
}

// Set implements raft.StableStore.
func (g Votes) Set(key, value []byte) error {
	if err := g.StableStore.Set(key, value); err != nil {
		return err
	}
	return g.StableStore.Set(append(bytes.Clone(key), sumSuffix...), append(bytes.Clone(value), voteSum(key, value)...))
}

// SetUint64 implements raft.StableStore.
func (g Votes) SetUint64(key []byte, value uint64) error {
	return g.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// Get implements raft.StableStore.
func (g Votes) Get(key []byte) ([]byte, error) {
	both, err := g.StableStore.Get(append(bytes.Clone(key), sumSuffix...))
	if err != nil || len(both) == 0 {
		return g.StableStore.Get(key) // not set, or by an earlier version
	}
	n := len(both) - crc32.Size
	if n < 0 || !bytes.Equal(both[n:], voteSum(key, both[:n])) {
		return nil, fmt.Errorf("%s: %w", key, ErrDamaged)
	}
	return both[:n], nil
}

// GetUint64 implements raft.StableStore.
func (g Votes) GetUint64(key []byte) (uint64, error) {
	value, err := g.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%s: %w", key, ErrDamaged)
	}
	return binary.BigEndian.Uint64(value), nil
}
