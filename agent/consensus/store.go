package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/agent/consensus/space"
	"github.com/steppe-project/steppe/internal/durable"
	"github.com/steppe-project/steppe/model"
)

// logFile is the log's name below Config.Dir.
const logFile = "log.db"

// mmapBytes is the address space reserved for the log file, so that growing to
// a usual size needs no remapping, which would wait for readers.
const mmapBytes = 256 << 20

// store is where a server keeps its log, vote and snapshots.
type store struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
	trouble   *trouble
	space     *space.Space // nil in memory
}

// openStore opens or creates what cfg names. fatal is told, and must not block,
// when the disk fails so that nothing that is read can be trusted.
func openStore(cfg *Config, logger hclog.Logger, fatal func(error)) (store, error) {
	if cfg.Dir == "" {
		mem := raft.NewInmemStore()
		logs := newTrouble(mem, fatal, nil)
		return store{logs, mem, raft.NewInmemSnapshotStore(), func() error { return nil }, logs, nil}, nil
	}
	if err := durable.MkdirAll(cfg.Dir, 0o700); err != nil {
		return store{}, explainOpen(cfg.Dir, err)
	}
	room, err := space.Open(space.Config{Dir: cfg.Dir, Reserve: cfg.Reserve, Logger: cfg.Logger})
	if err != nil {
		return store{}, err
	}
	s, err := openDir(cfg.Dir, room, logger, fatal)
	if err != nil {
		return store{}, explainOpen(cfg.Dir, err)
	}
	return s, nil
}

// openDir opens or creates the store in dir.
//
//	raft ─► cache ─► trouble ─► guard.TailedLog ─► guard.Log ─► raft-boltdb
//	     ─► steadyVotes ─► guard.TailedVotes ─► guard.Votes ─────┘
func openDir(dir string, room *space.Space, logger hclog.Logger, fatal func(error)) (store, error) {
	snaps, covered, err := openSnapshots(dir, room, logger, fatal)
	if err != nil {
		return store{}, err
	}
	bolt, err := openLog(filepath.Join(dir, logFile), covered)
	if err != nil {
		return store{}, err
	}
	t, err := guard.OpenTail(dir)
	if err != nil {
		return store{}, errors.Join(err, bolt.Close())
	}
	closeAll := func() error { return errors.Join(t.Close(), bolt.Close()) }
	votes := guard.TailedVotes{StableStore: guard.Votes{StableStore: bolt}, Tail: t}
	if err = t.Check(bolt, votes, covered); err == nil {
		err = undoFounding(bolt, votes, covered)
	}
	logs := newTrouble(guard.TailedLog{LogStore: guard.Log{LogStore: bolt}, Tail: t}, fatal, room)
	var cache *raft.LogCache
	if err == nil {
		cache, err = raft.NewLogCache(logCacheEntries, logs)
	}
	if err != nil {
		return store{}, errors.Join(err, closeAll())
	}
	return store{cache, steadyVotes{votes, logs}, snaps, closeAll, logs, room}, nil
}

// undoFounding forgets that founding a cluster had begun when it was not finished:
// raft writes term 1 first, and refuses to found with a term. Term 1 without a
// vote or an entry comes from nothing else: the first leader has term 2.
func undoFounding(logs raft.LogStore, votes raft.StableStore, covered uint64) error {
	last, err := logs.LastIndex()
	if err != nil || last > 0 || covered > 0 || guard.StoredUint64(votes, guard.KeyTerm) != 1 || guard.StoredUint64(votes, guard.KeyVoteTerm) != 0 {
		return err
	}
	return votes.SetUint64([]byte(guard.KeyTerm), 0)
}

// openLog opens the log file and reads all of it: what is damaged is found here,
// and not by a crash later. covered is the index of the newest snapshot. A file
// gets its name when it is complete.
func openLog(path string, covered uint64) (bolt *raftboltdb.BoltStore, err error) {
	// The library trusts its pages, which are mapped into memory.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			bolt, err = nil, fmt.Errorf("%w: %v", guard.ErrDamaged, p)
		}
	}()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createLog(path); err != nil {
			return nil, err
		}
	}
	// Reading comes first, through a read-only handle: a writable one walks
	// the pages in a goroutine of its own, where a damaged one cannot be caught.
	bolt, err = raftboltdb.New(logOptions(path, true))
	if err != nil {
		return nil, err
	}
	if err := errors.Join((guard.Log{LogStore: bolt}).Verify(covered), bolt.Close()); err != nil {
		return nil, err
	}
	return raftboltdb.New(logOptions(path, false))
}

func createLog(path string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	bolt, err := raftboltdb.New(logOptions(fresh, false))
	if err != nil {
		return err
	}
	if err := bolt.Close(); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

func logOptions(path string, readOnly bool) raftboltdb.Options {
	return raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout: openTimeout, ReadOnly: readOnly,
			// The list of free pages is rebuilt at opening instead of being
			// written with every commit.
			NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
			InitialMmapSize: mmapBytes,
		},
		MsgpackUseNewTimeFormat: true,
	}
}

func explainOpen(dir string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		hint = ": another process has it open"
	case errors.Is(err, os.ErrPermission):
		hint = ": no permission"
	case errors.Is(err, syscall.ENOSPC):
		hint = ": the disk is full"
	case errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", guard.ErrDamaged, err)
	}
	return model.Errorf(model.CodeInvalid, "cannot open the server's log in %s%s: %w", dir, hint, err)
}

// contiguous checks that the log goes on where the snapshot that was loaded ends:
// raft would find out when it applies.
func (s *store) contiguous(loaded uint64) error {
	first, err := s.logs.FirstIndex()
	if err == nil && first > loaded+1 {
		err = fmt.Errorf("the newest snapshot that can be read ends at entry %d, the log begins at %d; entries between are missing: %w", loaded, first, guard.ErrDamaged)
	}
	return err
}

// solitude tells whether the stored configuration has id as its only voter, and
// whether there is none yet.
func (s *store) solitude(id raft.ServerID) (alone, fresh bool, err error) {
	conf, err := s.configuration()
	if err != nil {
		return false, false, model.Errorf(model.CodeInvalid, "cannot read the server's log: %w", err)
	}
	voters := 0
	for _, srv := range conf.Servers {
		if srv.Suffrage == raft.Voter {
			voters++
			alone = srv.ID == id
		}
	}
	return alone && voters == 1, len(conf.Servers) == 0, nil
}

// configuration is the latest one in log or snapshots. Only the log after the
// newest snapshot counts, as for raft itself: a restored or received snapshot
// leaves a gap between it and the older entries that are kept.
func (s *store) configuration() (raft.Configuration, error) {
	var conf raft.Configuration
	snaps, err := s.snapshots.List()
	if err != nil {
		return conf, err
	}
	first, err := s.logs.FirstIndex()
	if err != nil {
		return conf, err
	}
	if len(snaps) > 0 {
		conf = snaps[0].Configuration
		first = max(first, snaps[0].Index+1)
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return conf, err
	}
	for i := last; i >= first && i > 0; i-- {
		var l raft.Log
		if err := s.logs.GetLog(i, &l); err != nil {
			return conf, err
		}
		if l.Type == raft.LogConfiguration {
			return raft.DecodeConfiguration(l.Data), nil
		}
	}
	return conf, nil
}
