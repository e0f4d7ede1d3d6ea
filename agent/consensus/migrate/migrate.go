// Package migrate turns a server's log of versions that write format 1 of the data
// directory, one file of raft-boltdb, into segments.
//
// Contract and invariants:
//
//   - All or nothing: a crash at any point leaves the old file or the segments, whole,
//     and the next run goes on from there.
//   - All entries that are of use, term and vote are kept, and read back before the old
//     file is removed.
//   - An old file that is damaged, or shorter than its mark says, stays as it is.
//
// Example:
//
//	did, err := migrate.Log{Dir: dir, To: "log", Tail: tail, Covered: covered}.Run()
package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/agent/consensus/segments"
	"github.com/steppe-project/steppe/internal/durable"
)

// File is the old log's name.
const File = "log.db"

const (
	// aside ends the name of what is built and does not count yet.
	aside = ".new"
	// copyBytes is about how much is copied at a time.
	copyBytes = 4 << 20
	// openTimeout bounds waiting for the file's lock.
	openTimeout = time.Second
)

// Log is what to turn into segments.
type Log struct {
	// Dir has the old file, and the segments in To below it.
	Dir, To string
	// Tail is the log's mark, Covered the index of the newest snapshot.
	Tail    guard.Tail
	Covered uint64
	// Bytes is the size of a segment; see segments.Options.
	Bytes int
}

// Done is what a run did.
type Done struct {
	// First and Last are the entries that were copied, 0 when an earlier run did.
	First, Last uint64
	// Took is how long it took, 0 when there was no old file.
	Took time.Duration
}

// Run does it all or nothing, and goes on where a crash left an earlier run:
//
//	log.db ─► log.new/ ─► compared ─► log/ ─► log.db is removed
//
// Each arrow is durable before the next. An older version finds the data directory's
// format raised before any of this (datadir), and does not start on what it would
// take for an empty log.
func (m Log) Run() (did Done, err error) {
	began := time.Now()
	old, fresh, whole := filepath.Join(m.Dir, File), filepath.Join(m.Dir, m.To+aside), filepath.Join(m.Dir, m.To)
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(old+aside)); err != nil {
		return did, err
	}
	if _, err := os.Stat(old); errors.Is(err, fs.ErrNotExist) {
		return did, nil
	}
	if _, err = os.Stat(whole); errors.Is(err, fs.ErrNotExist) {
		if did, err = m.build(old, fresh); err != nil {
			return did, errors.Join(err, os.RemoveAll(fresh))
		}
		err = os.Rename(fresh, whole)
	}
	if err != nil {
		return did, err
	}
	if err := durable.SyncDir(m.Dir); err != nil { // of an earlier run, perhaps
		return did, err
	}
	if err := os.Remove(old); err != nil {
		return did, err
	}
	did.Took = time.Since(began)
	return did, durable.SyncDir(m.Dir)
}

// build makes segments of the old file, in a directory that does not count yet.
func (m Log) build(old, fresh string) (did Done, err error) {
	// The library trusts its pages, which are mapped into memory.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", guard.ErrDamaged, p)
		}
	}()
	// Read-only: a writable handle walks the pages in a goroutine of its own, where
	// a damaged one cannot be caught.
	bolt, err := raftboltdb.New(oldOptions(old))
	if err != nil {
		return did, err
	}
	defer bolt.Close() // it was only read
	from, votes := guard.Log{LogStore: bolt}, guard.Votes{StableStore: bolt}
	if err := errors.Join(from.Verify(m.Covered), m.Tail.Check(bolt, votes, m.Covered)); err != nil {
		return did, err
	}
	if err := durable.MkdirAll(fresh, 0o700); err != nil {
		return did, err
	}
	to, err := segments.Open(fresh, segments.Options{Bytes: m.Bytes})
	if err != nil {
		return did, err
	}
	err = m.entries(from, guard.Log{LogStore: to})
	if err == nil {
		err = copyVotes(votes, to)
	}
	if err == nil {
		did, err = m.compare(from, guard.Log{LogStore: to})
	}
	return did, errors.Join(err, to.Close())
}

func oldOptions(path string) raftboltdb.Options {
	return raftboltdb.Options{
		Path: path, MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{Timeout: openTimeout, ReadOnly: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
	}
}

// entries copies them. Where the newest snapshot covers a gap, what is before it is
// of no use and left behind: the new log has no gaps.
func (m Log) entries(from, to guard.Log) error {
	first, err1 := from.FirstIndex()
	last, err2 := from.LastIndex()
	if err := errors.Join(err1, err2); err != nil || last < m.Covered {
		return err
	}
	var batch []*raft.Log
	size := 0
	flush := func() error {
		err := to.StoreLogs(batch)
		batch, size = nil, 0
		return err
	}
	for i := first; i <= last && i > 0; i++ {
		l := new(raft.Log)
		err := from.GetLog(i, l)
		gap := errors.Is(err, raft.ErrLogNotFound) && i <= m.Covered
		if err != nil && !gap {
			return err
		}
		if !gap {
			batch, size = append(batch, l), size+len(l.Data)
		}
		if gap || size >= copyBytes || i == last {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyVotes copies term and vote.
func copyVotes(from guard.Votes, to raft.StableStore) error {
	for _, key := range []string{guard.KeyTerm, guard.KeyVoteTerm, guard.KeyCandidate} {
		value, err := from.Get([]byte(key))
		if errors.Is(err, raftboltdb.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := to.Set([]byte(key), value); err != nil {
			return err
		}
		back, err := to.Get([]byte(key))
		if err != nil || !bytes.Equal(back, value) {
			return fmt.Errorf("%s was copied and reads %q, not %q (%v)", key, back, value, err)
		}
	}
	return nil
}

// compare reads back what was copied.
func (m Log) compare(from, to guard.Log) (did Done, err error) {
	end, err1 := from.LastIndex()
	first, err2 := to.FirstIndex()
	last, err3 := to.LastIndex()
	if err := errors.Join(err1, err2, err3); err != nil {
		return did, err
	}
	if end >= m.Covered && (last != end || first > m.Covered+1) {
		return did, fmt.Errorf("entries %d to %d were copied, of a log that ends at %d", first, last, end)
	}
	for i := first; i <= last && i > 0; i++ {
		var a, b raft.Log
		if err := errors.Join(from.GetLog(i, &a), to.GetLog(i, &b)); err != nil {
			return did, err
		}
		if a.Index != b.Index || a.Term != b.Term || a.Type != b.Type || !bytes.Equal(a.Data, b.Data) || !a.AppendedAt.Equal(b.AppendedAt) {
			return did, fmt.Errorf("entry %d was copied and reads differently", i)
		}
	}
	return Done{First: first, Last: last}, nil
}
