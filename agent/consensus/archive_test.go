package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/model"
)

// archiveOf makes a server with n commands and returns its archive.
func archiveOf(t *testing.T, n int) ([]byte, ArchiveMeta) {
	t.Helper()
	m := startAlone(t, t.TempDir())
	for i := range n {
		if _, err := m.Propose(testCtx(t), command(fmt.Sprint("c", i))); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	meta, err := m.SaveSnapshot(testCtx(t), &b)
	if err != nil {
		t.Fatal(err)
	}
	// Again, without anything new.
	var again bytes.Buffer
	if second, err := m.SaveSnapshot(testCtx(t), &again); err != nil || second.Index != meta.Index {
		t.Fatalf("saved again: %v %v", second, err)
	}
	return b.Bytes(), meta
}

func TestArchiveRoundTrip(t *testing.T) {
	archive, meta := archiveOf(t, 50)
	got, err := VerifySnapshot(bytes.NewReader(archive))
	if err != nil || got.Index != meta.Index || got.Size != meta.Size || !got.Created.Equal(meta.Created) {
		t.Fatalf("verify: %+v %v, want %+v", got, err, meta)
	}
	// Into another cluster that has its own past.
	members := startCluster(t, 3)
	leader := waitLeader(t, members...)
	ctx := testCtx(t)
	for i := range 5 {
		if _, err := leader.Propose(ctx, command(fmt.Sprint("own", i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		if m != leader {
			if _, err := m.RestoreSnapshot(ctx, bytes.NewReader(archive)); model.CodeOf(err) != model.CodeNotLeader {
				t.Errorf("restore at a follower: %v", err)
			}
		}
	}
	if _, err := leader.RestoreSnapshot(ctx, bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	out, err := leader.Propose(ctx, command("after"))
	if err != nil || out[0].Index <= meta.Index {
		t.Fatalf("after the restore: %v %v", out, err)
	}
	for _, m := range members {
		waitFor(t, "restored everywhere", func() bool {
			all := m.all()
			return len(all) == 51 && all[0] == "c0" && all[49] == "c49" && all[50] == "after"
		})
	}
}

func TestRestoreRefusesStateThatCannotBeLoaded(t *testing.T) {
	archive, _ := archiveOf(t, 3)
	m := startAlone(t, "", func(c *Config) {
		c.CheckState = func(r io.Reader) error {
			if err := new(ledger).Restore(r); err != nil {
				return err
			}
			return errors.New("no thanks")
		}
	})
	_, err := m.RestoreSnapshot(testCtx(t), bytes.NewReader(archive))
	if model.CodeOf(err) != model.CodeInvalid || !strings.Contains(err.Error(), "its state cannot be loaded: no thanks") {
		t.Errorf("got %v", err)
	}
}

// TestRestartAfterRestore: a restore leaves a gap between the log's old entries
// and the snapshot's index.
func TestRestartAfterRestore(t *testing.T) {
	archive, meta := archiveOf(t, 40)
	dir := filepath.Join(t.TempDir(), "raft")
	m := startAlone(t, dir)
	if _, err := m.Propose(testCtx(t), command("before")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.RestoreSnapshot(testCtx(t), bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		m = startAlone(t, dir)
		if _, err := m.Propose(testCtx(t), command("after")); err != nil {
			t.Fatalf("after a restart on a snapshot of index %d: %v", meta.Index, err)
		}
	}
	if got := len(m.all()); got != 42 {
		t.Errorf("%d commands, want the 40 restored and two more", got)
	}
}

// TestRestoredSnapshotDamaged: a server that has nothing but an older snapshot for what
// it restored says so, instead of going on from there.
func TestRestoredSnapshotDamaged(t *testing.T) {
	archive, _ := archiveOf(t, 40)
	dir := filepath.Join(t.TempDir(), "raft")
	m := startAlone(t, dir)
	if _, err := m.Propose(testCtx(t), command("before")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SaveSnapshot(testCtx(t), io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := m.RestoreSnapshot(testCtx(t), bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	list, err := m.store.snapshots.List()
	if err != nil || len(list) != 2 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	if err := errors.Join(m.stop(), os.Truncate(filepath.Join(dir, snapshotsDir, list[0].ID, stateName), list[0].Size/2)); err != nil {
		t.Fatal(err)
	}
	h, err := Open(Config{ID: "a", Addr: "alone", Dir: dir, Machine: &ledger{}, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = h.Close()
	}
	if !errors.Is(err, guard.ErrDamaged) || !strings.Contains(err.Error(), "the newest snapshot that can be read") {
		t.Errorf("it starts, or says %v", err)
	}
}

func TestDamagedArchives(t *testing.T) {
	archive, _ := archiveOf(t, 20)
	m := startAlone(t, "")
	if _, err := m.Propose(testCtx(t), command("mine")); err != nil {
		t.Fatal(err)
	}
	refused := func(t interface{ Fatalf(string, ...any) }, what string, data []byte) {
		if _, err := m.RestoreSnapshot(context.Background(), bytes.NewReader(data)); model.CodeOf(err) != model.CodeInvalid {
			t.Fatalf("%s: %v", what, err)
		}
		if !slices.Equal(m.all(), []string{"mine"}) {
			t.Fatalf("%s: the state was changed", what)
		}
	}
	refused(t, "empty", nil)
	refused(t, "foreign", []byte("PK\x03\x04 something else entirely"))
	for n := range archive {
		refused(t, fmt.Sprintf("cut at %d of %d", n, len(archive)), archive[:n])
	}
	var state bytes.Buffer
	meta, err := readArchive(bytes.NewReader(archive), &state)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		data := bytes.Clone(archive)
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		data[at] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		// A few bits of gzip mean nothing; then nothing may have changed.
		var got bytes.Buffer
		if m, err := readArchive(bytes.NewReader(data), &got); err == nil && (m != meta || !bytes.Equal(got.Bytes(), state.Bytes())) {
			t.Fatalf("bit flipped in byte %d: accepted something else", at)
		}
	})
}

func FuzzVerifySnapshot(f *testing.F) {
	var b bytes.Buffer
	state := append([]byte(snapshotMagic), make([]byte, 20)...)
	if err := writeArchive(&b, ArchiveMeta{Format: archiveFormat, Size: int64(len(state))}, bytes.NewReader(state)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, data []byte) {
		meta, err := VerifySnapshot(bytes.NewReader(data))
		if err == nil && meta.Format != archiveFormat && meta.Format != 0 {
			t.Errorf("accepted format %d", meta.Format)
		}
	})
}
