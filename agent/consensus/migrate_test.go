package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/agent/consensus/segments"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/internal/oldlog"
)

// oldServer makes the directory of a server that an earlier version left, and says
// what it had acknowledged and in which term.
func oldServer(t *testing.T) (dir string, acked []string, term uint64) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "raft")
	m := startAlone(t, dir)
	for i := range 60 {
		body := fmt.Sprintf("%06d%s", i, strings.Repeat("x", 200))
		if _, err := m.Propose(context.Background(), fsm.Command{Kind: 1, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, body)
		if i == 30 {
			if err := m.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	term = m.Leadership().Term
	if err := errors.Join(m.stop(), oldlog.TurnBack(dir)); err != nil {
		t.Fatal(err)
	}
	return dir, acked, term
}

// TestMigration: a server goes on from the log of an earlier version, from wherever a
// crash left an earlier try.
func TestMigration(t *testing.T) {
	whole := func(t *testing.T, dir string) { // segments, made but for the removal of the old file
		t.Helper()
		copied := filepath.Join(t.TempDir(), "raft")
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		tail, err := guard.OpenTail(copied)
		if err != nil {
			t.Fatal(err)
		}
		defer tail.Close()
		if did, err := (migration{dir: copied, tail: tail}).run(); err != nil || did.last == 0 {
			t.Fatalf("%+v, %v", did, err)
		}
		if err := os.CopyFS(filepath.Join(dir, logDir), os.DirFS(filepath.Join(copied, logDir))); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		when  string
		crash func(t *testing.T, dir string)
		moves bool
	}{
		{"at once", func(*testing.T, string) {}, true},
		{"half built", func(t *testing.T, dir string) {
			whole(t, dir)
			fresh := filepath.Join(dir, logDir+aside)
			if err := errors.Join(os.Rename(filepath.Join(dir, logDir), fresh), os.Truncate(filepath.Join(fresh, "meta"), 10)); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"built", whole, false},
	} {
		t.Run(tt.when, func(t *testing.T) {
			dir, acked, term := oldServer(t)
			tt.crash(t, dir)
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
			if moves := strings.Contains(told.String(), "last=0") == false; moves != tt.moves {
				t.Errorf("entries were copied: %v", moves)
			}
			for _, name := range []string{oldFile, logDir + aside} {
				if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there: %v", name, err)
				}
			}
			m := startAlone(t, dir)
			if now := m.Leadership().Term; now <= term {
				t.Errorf("term %d was led, the next is %d", term, now)
			}
			if have := m.all(); strings.Join(have, " ") != strings.Join(acked, " ") {
				t.Errorf("%d of %d are there", len(have), len(acked))
			}
		})
	}
}

// TestMigrationRefuses: an old file that is damaged, or that has lost its end, is
// refused in words, and stays what it is.
func TestMigrationRefuses(t *testing.T) {
	dir, _, _ := oldServer(t)
	path := filepath.Join(dir, oldFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(filepath.Join(dir, guard.TailFile))
	if err != nil {
		t.Fatal(err)
	}
	attempt := func(bad []byte) error {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, bad, 0o600), os.WriteFile(filepath.Join(dir, guard.TailFile), mark, 0o600)); err != nil {
			t.Fatal(err)
		}
		h, err := Open(Config{ID: "a", Addr: "alone", Dir: dir, Machine: &ledger{}, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			if err = errors.Join(h.Close(), os.RemoveAll(filepath.Join(dir, logDir))); err != nil {
				t.Fatal(err)
			}
			return nil
		}
		if now, rerr := os.ReadFile(path); rerr != nil || !bytes.Equal(now, bad) {
			t.Errorf("the old file was touched: %v", rerr)
		}
		for _, name := range []string{logDir, logDir + aside} {
			if _, serr := os.Stat(filepath.Join(dir, name)); !errors.Is(serr, fs.ErrNotExist) {
				t.Errorf("%s is there: %v", name, serr)
			}
		}
		if !errors.Is(err, guard.ErrDamaged) {
			t.Errorf("it does not say damaged: %v", err)
		}
		return err
	}
	missing := 0
	for root := range 2 { // pages 0 and 1; the newest is one of them
		bad := bytes.Clone(good)
		bad[root*os.Getpagesize()+40] ^= 1
		if err := attempt(bad); err != nil && strings.Contains(err.Error(), "are missing") {
			missing++
		}
	}
	if missing != 1 {
		t.Errorf("%d refusals for entries or a vote that are missing, want that of the newest root", missing)
	}
	refused := 0
	for at := 3 * os.Getpagesize(); at < len(good); at += 4099 {
		bad := bytes.Clone(good)
		bad[at] ^= 16
		if attempt(bad) != nil {
			refused++
		}
	}
	if refused == 0 || attempt(good[:4*os.Getpagesize()]) == nil {
		t.Errorf("%d flips were refused", refused)
	}
	if err := attempt(good); err != nil {
		t.Errorf("the whole file: %v", err)
	}
}

// TestMigrationGap: what is before a gap that a snapshot covers is left behind, and
// votes come along.
func TestMigrationGap(t *testing.T) {
	for _, tt := range []struct {
		from, to, covered, first, last uint64 // besides entries 1 to 5
	}{
		{20, 25, 19, 20, 25},
		{20, 25, 22, 20, 25},
		{6, 9, 0, 1, 9},
		{1, 5, 19, 0, 0}, // all of it is covered
	} {
		dir := t.TempDir()
		err := oldlog.Create(filepath.Join(dir, oldFile), func(logs raft.LogStore, votes raft.StableStore) error {
			for i := uint64(1); i <= tt.to; i++ {
				if i <= 5 || i >= tt.from {
					if err := logs.StoreLog(&raft.Log{Index: i, Term: 2, Data: []byte{byte(i)}, AppendedAt: time.Now()}); err != nil {
						return err
					}
				}
			}
			return errors.Join(votes.SetUint64([]byte(guard.KeyTerm), 4), votes.SetUint64([]byte(guard.KeyVoteTerm), 3), votes.Set([]byte(guard.KeyCandidate), []byte("b")))
		})
		if err != nil {
			t.Fatal(err)
		}
		tail, err := guard.OpenTail(dir)
		if err != nil {
			t.Fatal(err)
		}
		did, err := migration{dir: dir, tail: tail, covered: tt.covered}.run()
		if err != nil || did.first != tt.first || did.last != tt.last {
			t.Errorf("%+v: %+v, %v", tt, did, err)
		}
		s, err := segments.Open(filepath.Join(dir, logDir), segments.Options{})
		if err != nil {
			t.Fatal(err)
		}
		term, err1 := s.GetUint64([]byte(guard.KeyTerm))
		voted, err2 := s.GetUint64([]byte(guard.KeyVoteTerm))
		candidate, err3 := s.Get([]byte(guard.KeyCandidate))
		if term != 4 || voted != 3 || string(candidate) != "b" {
			t.Errorf("term %d, vote of %d for %q, %v", term, voted, candidate, errors.Join(err1, err2, err3))
		}
		if err := errors.Join(s.Close(), tail.Close()); err != nil {
			t.Error(err)
		}
	}
}
