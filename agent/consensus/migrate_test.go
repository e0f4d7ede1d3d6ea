package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/consensus/migrate"
	"github.com/steppe-project/steppe/internal/oldlog"
)

// TestMigration: a server goes on from the log of an earlier version, says so, and
// removes it.
func TestMigration(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	m := startAlone(t, dir)
	var acked []string
	for i := range 60 {
		acked = append(acked, fmt.Sprint("entry ", i))
		if _, err := m.Propose(testCtx(t), command(acked[i])); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			if err := m.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	term := m.Leadership().Term
	if err := errors.Join(m.stop(), oldlog.TurnBack(dir)); err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	h, err := Open(Config{ID: "a", Addr: "alone", Dir: dir, Machine: &ledger{}, Logger: slog.New(slog.NewTextHandler(&told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(told.String(), "turned from one file into segments") {
		t.Errorf("it was not told: %s", told.String())
	}
	if _, err := os.Stat(filepath.Join(dir, migrate.File)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old file is still there: %v", err)
	}
	m = startAlone(t, dir)
	if now := m.Leadership().Term; now <= term {
		t.Errorf("term %d was led, the next is %d", term, now)
	}
	if have := m.all(); !slices.Equal(have, acked) {
		t.Errorf("%d of %d are there", len(have), len(acked))
	}
}
