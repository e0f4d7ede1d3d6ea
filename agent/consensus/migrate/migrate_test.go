package migrate

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/agent/consensus/segments"
	"github.com/steppe-project/steppe/internal/oldlog"
)

const to = "log"

func entry(i uint64) *raft.Log {
	return &raft.Log{Index: i, Term: 2, Type: raft.LogType(i % 2), Data: bytes.Repeat([]byte{byte(i)}, 200), AppendedAt: time.Unix(0, int64(i)).UTC()}
}

// old makes a directory with an old log of some entries, term and vote, and with the
// mark that belongs to it.
func old(t *testing.T, indexes ...uint64) string {
	t.Helper()
	dir := t.TempDir()
	tail, err := guard.OpenTail(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = oldlog.Create(filepath.Join(dir, File), func(logs raft.LogStore, stable raft.StableStore) error {
		votes := guard.TailedVotes{StableStore: stable, Tail: tail}
		if err := errors.Join(votes.SetUint64([]byte(guard.KeyTerm), 4), votes.SetUint64([]byte(guard.KeyVoteTerm), 3), votes.Set([]byte(guard.KeyCandidate), []byte("b"))); err != nil {
			return err
		}
		for _, i := range indexes {
			if err := (guard.TailedLog{LogStore: logs, Tail: tail}).StoreLog(entry(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, tail.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func to60() []uint64 {
	var out []uint64
	for i := uint64(1); i <= 60; i++ {
		out = append(out, i)
	}
	return out
}

func run(t *testing.T, dir string, covered uint64) (Done, error) {
	t.Helper()
	tail, err := guard.OpenTail(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	return Log{Dir: dir, To: to, Tail: tail, Covered: covered, Bytes: 4 << 10}.Run()
}

// check sees that the segments hold what the old log did, and nothing else is left.
func check(t *testing.T, dir string, first, last uint64) {
	t.Helper()
	for _, name := range []string{File, File + aside, to + aside} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	s, err := segments.Open(filepath.Join(dir, to), segments.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err1 := s.FirstIndex()
	l, err2 := s.LastIndex()
	term, err3 := s.GetUint64([]byte(guard.KeyTerm))
	voted, err4 := s.GetUint64([]byte(guard.KeyVoteTerm))
	candidate, err5 := s.Get([]byte(guard.KeyCandidate))
	if f != first || l != last || term != 4 || voted != 3 || string(candidate) != "b" {
		t.Errorf("entries %d to %d, term %d, vote of %d for %q, %v", f, l, term, voted, candidate, errors.Join(err1, err2, err3, err4, err5))
	}
	for i := first; i <= last && i > 0; i++ {
		var got raft.Log
		want := entry(i)
		if err := (guard.Log{LogStore: s}).GetLog(i, &got); err != nil || got.Index != i || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("entry %d: %+v, %v", i, got, err)
		}
	}
}

// TestRun: entries, term and vote are kept, from wherever a crash left an earlier run.
func TestRun(t *testing.T) {
	whole := func(t *testing.T, dir string) { // all but the removal of the old file
		file, err := os.ReadFile(filepath.Join(dir, File))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run(t, dir, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, File), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		when  string
		crash func(t *testing.T, dir string)
		last  uint64
	}{
		{"at once", func(*testing.T, string) {}, 60},
		{"half built", func(t *testing.T, dir string) {
			whole(t, dir)
			fresh := filepath.Join(dir, to+aside)
			if err := errors.Join(os.Rename(filepath.Join(dir, to), fresh), os.Truncate(filepath.Join(fresh, "meta"), 10)); err != nil {
				t.Fatal(err)
			}
		}, 60},
		{"built", whole, 0},
		{"the old file half made", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, File+aside), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 60},
	} {
		t.Run(tt.when, func(t *testing.T) {
			dir := old(t, to60()...)
			tt.crash(t, dir)
			if did, err := run(t, dir, 0); err != nil || did.Last != tt.last || did.Took == 0 {
				t.Errorf("%+v, %v", did, err)
			}
			check(t, dir, 1, 60)
			if did, err := run(t, dir, 0); err != nil || did != (Done{}) {
				t.Errorf("once more: %+v, %v", did, err)
			}
			check(t, dir, 1, 60)
		})
	}
}

// TestGap: what is before a gap that a snapshot covers is left behind.
func TestGap(t *testing.T) {
	for _, tt := range []struct {
		indexes              []uint64
		covered, first, last uint64
	}{
		{[]uint64{1, 2, 3, 20, 21, 22}, 19, 20, 22},
		{[]uint64{1, 2, 3, 20, 21, 22}, 21, 20, 22},
		{[]uint64{1, 2, 3}, 0, 1, 3},
		{[]uint64{1, 2, 3}, 19, 0, 0}, // all of it is covered
		{nil, 0, 0, 0},
	} {
		dir := old(t, tt.indexes...)
		if did, err := run(t, dir, tt.covered); err != nil || did.First != tt.first || did.Last != tt.last {
			t.Errorf("%+v: %+v, %v", tt, did, err)
		}
		check(t, dir, tt.first, tt.last)
	}
}

// TestRefuses: an old file that is damaged, cut off, or has lost its end is refused in
// words, and stays what it is.
func TestRefuses(t *testing.T) {
	dir := old(t, to60()...)
	path, page := filepath.Join(dir, File), os.Getpagesize()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	attempt := func(bad []byte) error {
		t.Helper()
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := run(t, dir, 0)
		if err == nil {
			check(t, dir, 1, 60)
			if err := os.RemoveAll(filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
			return nil
		}
		if now, rerr := os.ReadFile(path); rerr != nil || !bytes.Equal(now, bad) {
			t.Errorf("the old file was touched: %v", rerr)
		}
		for _, name := range []string{to, to + aside} {
			if _, serr := os.Stat(filepath.Join(dir, name)); !errors.Is(serr, fs.ErrNotExist) {
				t.Errorf("%s is there: %v", name, serr)
			}
		}
		return err
	}
	missing := 0
	for root := range 2 { // pages 0 and 1; the newest is one of them
		bad := bytes.Clone(good)
		bad[root*page+40] ^= 1
		if err := attempt(bad); err != nil && errors.Is(err, guard.ErrDamaged) && strings.Contains(err.Error(), "are missing") {
			missing++
		}
	}
	if missing != 1 {
		t.Errorf("%d refusals for missing entries, want that of the newest root", missing)
	}
	refused := 0
	for at := 3 * page; at < len(good); at += 1021 {
		bad := bytes.Clone(good)
		bad[at] ^= 16
		if attempt(bad) != nil {
			refused++
		}
	}
	if refused < 5 || attempt(good[:4*page]) == nil {
		t.Errorf("%d flips were refused", refused)
	}
	if err := attempt(good); err != nil {
		t.Errorf("the whole file: %v", err)
	}
}
