// Package oldlog writes a server's log as versions before format 2 of the data
// directory did: one file of raft-boltdb. Tests turn a directory back with it, to
// see it turned into segments again.
//
// Contract and invariants:
//
//   - A crash at any point leaves the segments or the file, whole.
//
// Example:
//
//	err := oldlog.TurnBack(filepath.Join(dataDir, "server", "raft"))
package oldlog

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/agent/consensus/segments"
	"github.com/steppe-project/steppe/internal/durable"
)

// Names below a server's raft directory: the old log and the present one.
const (
	File = "log.db"
	dir  = "log"
)

// Create makes an old log at path, and has fill write it.
func Create(path string, fill func(logs raft.LogStore, votes raft.StableStore) error) error {
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path: path, MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
	})
	if err != nil {
		return err
	}
	return errors.Join(fill(guard.Log{LogStore: bolt}, guard.Votes{StableStore: bolt}), bolt.Close())
}

// TurnBack puts the log of a stopped server into an old file.
func TurnBack(raftDir string) error {
	present, old := filepath.Join(raftDir, dir), filepath.Join(raftDir, File)
	s, err := segments.Open(present, segments.Options{})
	if err != nil {
		return err
	}
	err = Create(old+".new", func(logs raft.LogStore, votes raft.StableStore) error { return copyAll(s, logs, votes) })
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	gone := present + ".gone"
	for _, step := range []func() error{
		func() error { return os.Rename(old+".new", old) },
		func() error { return durable.SyncDir(raftDir) },
		func() error { return os.Rename(present, gone) },
		func() error { return durable.SyncDir(raftDir) },
		func() error { return os.RemoveAll(gone) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func copyAll(s *segments.Store, logs raft.LogStore, votes raft.StableStore) error {
	for _, key := range []string{guard.KeyTerm, guard.KeyVoteTerm, guard.KeyCandidate} {
		value, err := s.Get([]byte(key))
		if err == nil && value != nil {
			err = votes.Set([]byte(key), value)
		}
		if err != nil {
			return err
		}
	}
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	var all []*raft.Log
	for i := first; i <= last && i > 0; i++ {
		l := new(raft.Log)
		if err := (guard.Log{LogStore: s}).GetLog(i, l); err != nil {
			return err
		}
		all = append(all, l)
	}
	return logs.StoreLogs(all)
}
