package consensus

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/fsm"
)

// TestDamagedRoot: with its newest root damaged the log file goes back to the one
// before, and so to a log without the newest entry. The server says so.
func TestDamagedRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	m := startAlone(t, dir)
	for _, body := range []string{"one", "two", "three"} {
		if _, err := m.Propose(context.Background(), fsm.Command{Kind: 1, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, logFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refusals := 0
	for root := range 2 { // pages 0 and 1; the newest is one of them
		bad := append([]byte{}, good...)
		bad[root*os.Getpagesize()+40] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := Open(Config{ID: "a", Addr: "alone", Dir: dir, Machine: &ledger{}, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = h.Close()
		} else if strings.Contains(err.Error(), "are missing at the log's end") && errors.Is(err, guard.ErrDamaged) {
			refusals, err = refusals+1, nil
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if refusals != 1 {
		t.Errorf("%d refusals, want that of the newest root", refusals)
	}
}
