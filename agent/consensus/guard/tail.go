package guard

import (
	"fmt"
	"hash/crc32"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/internal/durable"
)

// TailFile is the tail's name in the log's directory.
const TailFile = "log.tail"

// Tail remembers, outside of the log file, how far that file went: see
// durable.Mark. Only cutting entries off at the log's end writes through.
type Tail struct{ *durable.Mark }

// What a tail's values are. The candidate is the checksum of whom the vote went
// to, noCandidate while that is not known.
const (
	tailLast = iota
	tailTerm
	tailVoteTerm
	tailCandidate
	tailValues
)

const (
	tailMagic    = "STEPPEt1"
	noCandidate  = 0
	KeyTerm      = "CurrentTerm" // raft's names
	KeyVoteTerm  = "LastVoteTerm"
	KeyCandidate = "LastVoteCand"
)

// OpenTail opens or makes the tail below dir.
func OpenTail(dir string) (Tail, error) {
	m, err := durable.OpenMark(filepath.Join(dir, TailFile), tailMagic, tailValues)
	return Tail{m}, err
}

// Check compares the mark with what log, stable store and snapshots have. covered
// is the index of the newest snapshot.
func (t Tail) Check(logs raft.LogStore, stable raft.StableStore, covered uint64) error {
	last, err := logs.LastIndex()
	if err != nil {
		return err
	}
	if err := t.CheckLast(last, covered); err != nil {
		return err
	}
	v := t.Values()
	term, voteTerm := StoredUint64(stable, KeyTerm), StoredUint64(stable, KeyVoteTerm)
	candidate, err := stable.Get([]byte(KeyCandidate))
	changed := err == nil && voteTerm == v[tailVoteTerm] && v[tailCandidate] != noCandidate && candidateSum(candidate) != v[tailCandidate]
	if term < v[tailTerm] || voteTerm < v[tailVoteTerm] || changed {
		return fmt.Errorf("the newest term or vote is missing (term %d, vote of term %d; there were %d and %d): %w", term, voteTerm, v[tailTerm], v[tailVoteTerm], ErrDamaged)
	}
	return nil
}

// CheckLast compares the mark with where log and snapshots end.
func (t Tail) CheckLast(last, covered uint64) error {
	reached, want := max(last, covered), t.Values()[tailLast]
	if reached < want {
		return fmt.Errorf("entries %d to %d are missing at the log's end (if an older version of steppe ran here since, remove %s): %w", reached+1, want, TailFile, ErrDamaged)
	}
	return nil
}

// StoredUint64 is 0 for what is not there; damage is found by raft.
func StoredUint64(stable raft.StableStore, key string) uint64 {
	v, err := stable.GetUint64([]byte(key))
	if err != nil {
		return 0
	}
	return v
}

func candidateSum(value []byte) uint64 {
	return max(uint64(crc32.Checksum(value, castagnoli)), noCandidate+1)
}

// TailedLog keeps the tail current.
type TailedLog struct {
	raft.LogStore
	Tail Tail
}

// StoreLog implements raft.LogStore.
func (l TailedLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// IsMonotonic implements raft.MonotonicLogStore.
func (l TailedLog) IsMonotonic() bool { return Monotonic(l.LogStore) }

// StoreLogs implements raft.LogStore.
func (l TailedLog) StoreLogs(logs []*raft.Log) error {
	if err := l.LogStore.StoreLogs(logs); err != nil {
		return err
	}
	return l.Tail.Note(func(v []uint64) { v[tailLast] = logs[len(logs)-1].Index }, false)
}

// DeleteRange implements raft.LogStore.
func (l TailedLog) DeleteRange(from, to uint64) error {
	if to >= l.Tail.Values()[tailLast] {
		if err := l.Tail.Note(func(v []uint64) { v[tailLast] = min(v[tailLast], from-1) }, true); err != nil {
			return err
		}
	}
	return l.LogStore.DeleteRange(from, to)
}

// TailedVotes keeps the tail current.
type TailedVotes struct {
	raft.StableStore
	Tail Tail
}

// Set implements raft.StableStore.
func (v TailedVotes) Set(key, value []byte) error {
	if err := v.StableStore.Set(key, value); err != nil || string(key) != KeyCandidate {
		return err
	}
	return v.Tail.Note(func(m []uint64) { m[tailCandidate] = candidateSum(value) }, false)
}

// SetUint64 implements raft.StableStore.
func (v TailedVotes) SetUint64(key []byte, value uint64) error {
	if string(key) == KeyTerm && value == 0 { // see undoFounding
		if err := v.Tail.Note(func(m []uint64) { m[tailTerm] = 0 }, true); err != nil {
			return err
		}
	}
	if err := v.StableStore.SetUint64(key, value); err != nil {
		return err
	}
	return v.Tail.Note(func(m []uint64) {
		switch string(key) {
		case KeyTerm:
			m[tailTerm] = value
		case KeyVoteTerm:
			m[tailVoteTerm], m[tailCandidate] = value, noCandidate
		}
	}, false)
}
