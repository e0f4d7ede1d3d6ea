package consensus

import (
	"strings"
	"testing"
	"time"
)

func TestEntriesFor(t *testing.T) {
	timing := Timing{}.withDefaults()
	for bytes, want := range map[int64]uint64{0: 8192, 1 << 20: 8192, 256 << 20: 131072, -1: 8192} {
		if got := timing.entriesFor(bytes); got != want {
			t.Errorf("after a snapshot of %d bytes the next comes after %d entries, want %d", bytes, got, want)
		}
	}
}

// TestReplayStaysShort: a server takes snapshots as soon as there are enough
// entries, and fewer of them when they are large; after a restart, too.
func TestReplayStaysShort(t *testing.T) {
	dir := t.TempDir()
	tune := func(c *Config) { c.Timing.SnapshotInterval, c.Timing.SnapshotEntries = 10*time.Millisecond, 10 }
	m := startAlone(t, dir, tune)
	large := strings.Repeat("x", 4<<10)
	for range 20 {
		if _, err := m.Propose(testCtx(t), command(large)); err != nil {
			t.Fatal(err)
		}
	}
	threshold := func(m *member) uint64 { return m.raft.ReloadableConfig().SnapshotThreshold }
	waitFor(t, "a snapshot, and a longer way to the next", func() bool { return m.size() > 0 && threshold(m) > 10 })
	if want := m.cfg.Timing.entriesFor(m.adapter.saved.Load()); threshold(m) > want {
		t.Errorf("the next snapshot comes after %d entries, want at most %d", threshold(m), want)
	}
	m.stop()
	m = start(t, &member{id: "a", addr: "alone", dir: dir}, tune)
	if threshold(m) <= 10 {
		t.Error("after the restart the size of the last snapshot is forgotten")
	}
}
