package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

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
}

// trouble is a log store that remembers why it last could not be written: raft
// passes on the text only.
type trouble struct {
	raft.LogStore
	last atomic.Pointer[error]
}

// StoreLogs implements raft.LogStore.
func (s *trouble) StoreLogs(logs []*raft.Log) error {
	err := s.LogStore.StoreLogs(logs)
	if err != nil {
		s.last.Store(&err)
	}
	return err
}

// why returns the last error of writing, nil if there never was one; another
// pointer is another failure.
func (s *trouble) why() *error { return s.last.Load() }

// openStore opens or creates what cfg names.
func openStore(cfg *Config, logger hclog.Logger) (store, error) {
	if cfg.Dir == "" {
		mem := raft.NewInmemStore()
		logs := &trouble{LogStore: mem}
		return store{logs, mem, raft.NewInmemSnapshotStore(), func() error { return nil }, logs}, nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return store{}, explainOpen(cfg.Dir, err)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, retainSnapshots, logger)
	if err != nil {
		return store{}, explainOpen(cfg.Dir, err)
	}
	kept, err := snaps.List()
	if err != nil {
		return store{}, explainOpen(cfg.Dir, err)
	}
	covered := uint64(0)
	if len(kept) > 0 {
		covered = kept[0].Index
	}
	bolt, err := openLog(filepath.Join(cfg.Dir, logFile), covered)
	if err != nil {
		return store{}, explainOpen(cfg.Dir, err)
	}
	logs := &trouble{LogStore: guardedLog{bolt}}
	cache, err := raft.NewLogCache(logCacheEntries, logs)
	if err == nil {
		return store{cache, guardedVotes{bolt}, snaps, bolt.Close, logs}, nil
	}
	return store{}, errors.Join(explainOpen(cfg.Dir, err), bolt.Close())
}

// openLog opens the log file and reads all of it: what is damaged is found here,
// and not by a crash later. covered is the index of the newest snapshot.
func openLog(path string, covered uint64) (bolt *raftboltdb.BoltStore, err error) {
	// The library trusts its pages, which are mapped into memory.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			bolt, err = nil, fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		// Reading comes first, through a read-only handle: a writable one walks
		// the pages in a goroutine of its own, where a damaged one cannot be caught.
		bolt, err := raftboltdb.New(logOptions(path, true))
		if err != nil {
			return nil, err
		}
		if err := errors.Join((guardedLog{bolt}).verify(covered), bolt.Close()); err != nil {
			return nil, err
		}
	}
	return raftboltdb.New(logOptions(path, false))
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
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return model.Errorf(model.CodeInvalid, "cannot open the server's log in %s%s: %w", dir, hint, err)
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
