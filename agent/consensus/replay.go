package consensus

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// A server that restarts applies the log since its last snapshot before it is of
// use. How long the log may grow decides how long that takes, and a server that
// keeps being killed must not get further behind each time: so the need for a
// snapshot is looked at every few seconds, not minutes. A snapshot costs what the
// state is large, so a large state waits for more entries.
//
//	entries until the next snapshot = max(SnapshotEntries, bytes of the last / snapshotEntryBytes)
//
// Reading a state of so many bytes and applying so many entries take about as
// long.
const snapshotEntryBytes = 2 << 10

// entriesFor is how many entries call for a snapshot after one of some bytes.
func (t Timing) entriesFor(bytes int64) uint64 {
	return max(t.SnapshotEntries, uint64(max(bytes, 0))/snapshotEntryBytes)
}

// size is how large the newest snapshot on disk is; 0 for none.
func (h *Host) size() int64 {
	list, err := h.store.snapshots.List()
	if err != nil || len(list) == 0 {
		return 0 // raft says it when it has to read them
	}
	return list[0].Size
}

// pace follows the size of snapshots until ctx ends.
func (h *Host) pace(ctx context.Context) {
	tick := time.NewTicker(h.cfg.Timing.SnapshotInterval)
	defer tick.Stop()
	seen := int64(0)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		size := h.adapter.saved.Load()
		if size == seen {
			continue
		}
		seen = size
		rc := h.raft.ReloadableConfig()
		if rc.SnapshotThreshold = h.cfg.Timing.entriesFor(size); h.reload(rc) {
			h.cfg.Logger.Debug("snapshots follow the state's size", "bytes", size, "entries", rc.SnapshotThreshold)
		}
	}
}

func (h *Host) reload(rc raft.ReloadableConfig) bool {
	if err := h.raft.ReloadConfig(rc); err != nil {
		h.cfg.Logger.Warn("the pace of snapshots was not changed", "error", err)
		return false
	}
	return true
}
