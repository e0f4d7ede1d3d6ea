package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/agent/consensus/space"
	"github.com/steppe-project/steppe/internal/durable"
)

// Names in Config.Dir.
const (
	snapshotsDir = "snapshots" // raft's
	tmpSuffix    = ".tmp"      // raft's, of a snapshot being written
	spoolPrefix  = "restore-"  // of an operator's snapshot being checked
)

// durableSnapshots has the names of a snapshot's files on disk before the
// snapshot gets its own: else a loss of power could leave an empty one, and the
// log has been compacted by then.
type durableSnapshots struct {
	raft.SnapshotStore
	dir   string
	room  *space.Space
	fatal func(error)
}

// snapshotSink writes one snapshot. It tells when that fails for want of space, so
// that the next try has the reserved; and when it fails at its end, there is none:
// raft's own has its name by then, and the next start would load a state that was
// never reached, as an operator's snapshot that could not be restored.
type snapshotSink struct {
	raft.SnapshotSink
	of durableSnapshots
}

// Close implements raft.SnapshotSink.
func (s snapshotSink) Close() error {
	err := s.SnapshotSink.Close()
	if err == nil {
		return nil
	}
	path := filepath.Join(s.of.dir, s.ID())
	if rerr := errors.Join(os.RemoveAll(path), durable.SyncDir(s.of.dir)); rerr != nil {
		s.of.fatal(fmt.Errorf("a snapshot failed and cannot be removed; mend the disk and remove %s, then start this server again: %w", path, rerr))
		return errors.Join(err, rerr)
	}
	return err
}

// Write implements raft.SnapshotSink.
func (s snapshotSink) Write(p []byte) (int, error) {
	n, err := s.SnapshotSink.Write(p)
	if durable.OutOfSpace(err) {
		s.of.room.Full()
	}
	return n, err
}

// Create implements raft.SnapshotStore.
func (s durableSnapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, conf, confIndex, trans)
	if durable.OutOfSpace(err) && s.room.Full() {
		sink, err = s.SnapshotStore.Create(version, index, term, conf, confIndex, trans)
	}
	if err != nil {
		return nil, err
	}
	if err := durable.SyncDir(filepath.Join(s.dir, sink.ID()+tmpSuffix)); err != nil {
		return nil, errors.Join(fmt.Errorf("create a snapshot: %w", err), sink.Cancel())
	}
	return snapshotSink{sink, s}, nil
}

// openSnapshots opens or creates the snapshots below dir, and removes what a crash
// left half done. covered is the index of the newest one, 0 without.
func openSnapshots(dir string, room *space.Space, logger hclog.Logger, fatal func(error)) (snaps raft.SnapshotStore, covered uint64, err error) {
	below := filepath.Join(dir, snapshotsDir)
	if err := durable.MkdirAll(below, 0o700); err != nil {
		return nil, 0, err
	}
	if err := errors.Join(removeHalves(dir, spoolPrefix, ""), removeHalves(below, "", tmpSuffix)); err != nil {
		return nil, 0, err
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, retainSnapshots, logger)
	if err != nil {
		return nil, 0, err
	}
	kept, err := files.List()
	if err != nil {
		return nil, 0, err
	}
	if len(kept) > 0 {
		covered = kept[0].Index
	}
	return durableSnapshots{files, below, room, fatal}, covered, nil
}

// removeHalves removes what lies in dir under such names.
func removeHalves(dir, prefix, suffix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
