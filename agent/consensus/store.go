package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/agent/consensus/migrate"
	"github.com/steppe-project/steppe/agent/consensus/segments"
	"github.com/steppe-project/steppe/agent/consensus/space"
	"github.com/steppe-project/steppe/agent/consensus/trouble"
	"github.com/steppe-project/steppe/internal/durable"
	"github.com/steppe-project/steppe/model"
)

// logDir is the log's name below Config.Dir.
const logDir = "log"

// store is where a server keeps its log, vote and snapshots.
type store struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
	trouble   *trouble.Log
	space     *space.Space // nil in memory
	covered   uint64       // by the newest snapshot at opening
}

// openStore opens or creates what cfg names. fatal is told, and must not block,
// when the disk fails so that nothing that is read can be trusted.
func openStore(cfg *Config, logger hclog.Logger, fatal func(error)) (store, error) {
	if cfg.Dir == "" {
		mem := raft.NewInmemStore()
		logs := trouble.New(mem, fatal, nil)
		return store{logs, mem, raft.NewInmemSnapshotStore(), func() error { return nil }, logs, nil, 0}, nil
	}
	if err := durable.MkdirAll(cfg.Dir, 0o700); err != nil {
		return store{}, explainOpen(cfg.Dir, err)
	}
	room, err := space.Open(space.Config{Dir: cfg.Dir, Reserve: cfg.Reserve, Logger: cfg.Logger})
	if err != nil {
		return store{}, err
	}
	s, err := openDir(cfg, room, logger, fatal)
	if err != nil {
		return store{}, explainOpen(cfg.Dir, err)
	}
	return s, nil
}

// openDir opens or creates the store in dir.
//
//	raft ─► cache ─► trouble.Log ─► guard.TailedLog ─► guard.Log ─► segments ─► raft-wal
//	     ─► trouble.Votes ─► guard.TailedVotes ────────────────────┘
func openDir(cfg *Config, room *space.Space, logger hclog.Logger, fatal func(error)) (store, error) {
	snaps, covered, err := openSnapshots(cfg.Dir, room, logger, fatal)
	if err != nil {
		return store{}, err
	}
	t, err := guard.OpenTail(cfg.Dir)
	if err != nil {
		return store{}, err
	}
	files, err := openLog(cfg, room, t, covered, logger)
	if err != nil {
		return store{}, errors.Join(err, t.Close())
	}
	closeAll := func() error { return errors.Join(t.Close(), files.Close()) }
	votes := guard.TailedVotes{StableStore: files, Tail: t}
	if err = t.Check(files, votes, covered); err == nil {
		err = errors.Join(undoFounding(files, votes, covered), dropCovered(files, covered))
	}
	logs := trouble.New(guard.TailedLog{LogStore: guard.Log{LogStore: files}, Tail: t}, fatal, room)
	var cache *raft.LogCache
	if err == nil {
		cache, err = raft.NewLogCache(logCacheEntries, logs)
	}
	if err != nil {
		return store{}, errors.Join(err, closeAll())
	}
	return store{cache, trouble.Votes{StableStore: votes, Log: logs}, snaps, closeAll, logs, room, covered}, nil
}

// openLog opens the log, an old file turned into segments before, and reads all of
// it: what is damaged is found here, and not by a crash later. covered is the index of
// the newest snapshot.
func openLog(cfg *Config, room *space.Space, t guard.Tail, covered uint64, logger hclog.Logger) (*segments.Store, error) {
	m := migrate.Log{Dir: cfg.Dir, To: logDir, Tail: t, Covered: covered, Bytes: cfg.SegmentBytes}
	did, err := m.Run()
	if durable.OutOfSpace(err) && room.Full() {
		did, err = m.Run()
	}
	if err != nil {
		return nil, err
	}
	if did.Took > 0 {
		cfg.Logger.Info("the log was turned from one file into segments; versions before this one cannot read it",
			"removed", filepath.Join(cfg.Dir, migrate.File), "first", did.First, "last", did.Last, "took", did.Took)
	}
	dir := filepath.Join(cfg.Dir, logDir)
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := segments.Open(dir, segments.Options{
		Bytes: cfg.SegmentBytes, Logger: logger,
		Check: func(last uint64) error { return t.CheckLast(last, covered) },
	})
	if err != nil {
		return nil, err
	}
	if err := (guard.Log{LogStore: files}).Verify(covered); err != nil {
		return nil, errors.Join(err, files.Close())
	}
	return files, nil
}

// dropCovered removes entries that end before the newest snapshot, which a crash
// left: raft removes them when it installs one, and the log has no gaps.
func dropCovered(logs raft.LogStore, covered uint64) error {
	first, err := logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := logs.LastIndex()
	if err != nil || last == 0 || last >= covered {
		return err
	}
	return logs.DeleteRange(first, last)
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

func explainOpen(dir string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, segments.ErrBusy):
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

// contiguous checks that the log goes on where the snapshot that was loaded ends,
// and that nothing is missing when that is not the newest one: raft would find out
// when it applies, or never.
func (s *store) contiguous(loaded uint64) error {
	first, err := s.logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return err
	}
	if first > loaded+1 {
		return fmt.Errorf("the newest snapshot that can be read ends at entry %d, the log begins at %d; entries between are missing: %w", loaded, first, guard.ErrDamaged)
	}
	if reached := max(last, loaded); reached < s.covered {
		return fmt.Errorf("the newest snapshot, up to entry %d, cannot be read, and log and older ones end at %d; entries after it are missing: %w", s.covered, reached, guard.ErrDamaged)
	}
	return nil
}

// begins is the first entry that the log has, or will have when it is empty: what
// is before is in a snapshot. 0 for neither.
func (s *store) begins() (uint64, error) {
	first, err := s.logs.FirstIndex()
	if err != nil || first > 0 {
		return first, err
	}
	list, err := s.snapshots.List()
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return list[0].Index + 1, nil
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
// newest snapshot counts, as for raft itself.
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
