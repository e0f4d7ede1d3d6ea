package segments

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/agent/consensus/guard"
)

// small makes a segment of some ten entries of entry.
const small = 4 << 10

func entry(index, term uint64) *raft.Log {
	return &raft.Log{Index: index, Term: term, Data: bytes.Repeat([]byte{byte(index)}, 300), AppendedAt: time.Unix(int64(index), 0)}
}

func run(from, to, term uint64) []*raft.Log {
	var out []*raft.Log
	for i := from; i <= to; i++ {
		out = append(out, entry(i, term))
	}
	return out
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{Bytes: small})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, s.dir)
}

// store writes entries one by one.
func store(t *testing.T, s *Store, logs []*raft.Log) {
	t.Helper()
	for _, l := range logs {
		if err := s.StoreLog(l); err != nil {
			t.Fatal(err)
		}
	}
}

// check compares all of a log: terms by index.
func check(t *testing.T, s *Store, first, last uint64, term func(uint64) uint64) {
	t.Helper()
	f, err1 := s.FirstIndex()
	l, err2 := s.LastIndex()
	if err := errors.Join(err1, err2); err != nil || f != first || l != last {
		t.Fatalf("entries %d to %d, want %d to %d; %v", f, l, first, last, err)
	}
	for i := first; i <= last && i > 0; i++ {
		var got raft.Log
		if err := s.GetLog(i, &got); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		want := entry(i, term(i))
		if got.Index != i || got.Term != want.Term || !bytes.Equal(got.Data, want.Data) || !got.AppendedAt.Equal(want.AppendedAt) {
			t.Fatalf("entry %d is %+v", i, got)
		}
	}
	for _, i := range []uint64{first - 1, last + 1} {
		if err := s.GetLog(i, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func one(uint64) uint64 { return 1 }

// TestStore writes over many segments, cuts at both ends, and opens again each time.
func TestStore(t *testing.T) {
	s := open(t, t.TempDir())
	check(t, s, 0, 0, one)
	store(t, s, run(1, 100, 1))
	check(t, s, 1, 100, one)
	s = reopen(t, s)
	check(t, s, 1, 100, one)
	if err := s.DeleteRange(1, 47); err != nil {
		t.Fatal(err)
	}
	check(t, s, 48, 100, one)
	s = reopen(t, s)
	check(t, s, 48, 100, one)
	// A conflict: a follower's last entries are replaced by another leader's.
	if err := s.DeleteRange(93, 100); err != nil {
		t.Fatal(err)
	}
	two := func(i uint64) uint64 {
		if i >= 93 {
			return 2
		}
		return 1
	}
	s = reopen(t, s)
	check(t, s, 48, 92, two)
	store(t, s, run(93, 120, 2))
	s = reopen(t, s)
	check(t, s, 48, 120, two)
	if err := s.DeleteRange(48, 120); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 0, one)
	s = reopen(t, s)
	check(t, s, 0, 0, one)
	store(t, s, run(500, 520, 3))
	s = reopen(t, s)
	check(t, s, 500, 520, func(uint64) uint64 { return 3 })
	if !s.IsMonotonic() || !(guard.TailedLog{LogStore: guard.Log{LogStore: s}}).IsMonotonic() {
		t.Error("not monotonic")
	}
}

// TestGap: entries above the log's end replace it.
func TestGap(t *testing.T) {
	s := open(t, t.TempDir())
	store(t, s, run(1, 30, 1))
	store(t, s, run(50, 51, 1))
	check(t, s, 50, 51, one)
	s = reopen(t, s)
	check(t, s, 50, 51, one)
}

// TestValues: term and vote stay; what was never set is empty.
func TestValues(t *testing.T) {
	s := open(t, t.TempDir())
	if n, err := s.GetUint64([]byte("CurrentTerm")); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.Set([]byte("LastVoteCand"), []byte("s1"))); err != nil {
		t.Fatal(err)
	}
	store(t, s, run(1, 30, 1))
	s = reopen(t, s)
	n, err := s.GetUint64([]byte("CurrentTerm"))
	v, err2 := s.Get([]byte("LastVoteCand"))
	if n != 7 || string(v) != "s1" || err != nil || err2 != nil {
		t.Errorf("%d, %q, %v, %v", n, v, err, err2)
	}
}

// TestSecondProcess is refused while the first has the files.
func TestSecondProcess(t *testing.T) {
	s := open(t, t.TempDir())
	if _, err := Open(s.dir, Options{}); !errors.Is(err, ErrBusy) {
		t.Errorf("opened twice: %v", err)
	}
}

// TestInterruptedRotation: a full segment whose successor was never noted, as after a
// kill, is gone on from. raft-wal by itself refuses every entry then.
func TestInterruptedRotation(t *testing.T) {
	for n := uint64(8); n < 24; n++ {
		s := open(t, t.TempDir())
		if err := s.StoreLogs(run(1, n, 1)); err != nil { // the close comes before the rotation
			t.Fatal(err)
		}
		s = reopen(t, s)
		check(t, s, 1, n, one)
		store(t, s, run(n+1, n+2, 1))
		s = reopen(t, s)
		check(t, s, 1, n+2, one)
	}
}

// TestTornBatch cuts the last batch off at every sixteenth byte, full segments
// included: it is gone, all before it is there, and the log goes on.
func TestTornBatch(t *testing.T) {
	for _, n := range []uint64{5, 10, 11} { // with the last batch of five the segment is full, or not
		s := open(t, t.TempDir())
		if err := s.StoreLogs(run(1, n, 1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(s.dir, "00000000000000000001-0000000000000000.wal")
		before, err := os.ReadFile(path)
		meta, err2 := os.ReadFile(filepath.Join(s.dir, metaFile)) // a batch is whole before it is noted that it was the last
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		s = open(t, s.dir)
		if err := s.StoreLogs(run(n+1, n+5, 1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		begin := len(bytes.TrimRight(before, "\x00"))
		for at := begin; at < len(bytes.TrimRight(after, "\x00")); at += 16 {
			dir := t.TempDir()
			torn := append(bytes.Clone(after[:at]), make([]byte, len(after)-at)...)
			if err := errors.Join(os.WriteFile(filepath.Join(dir, filepath.Base(path)), torn, 0o600), os.WriteFile(filepath.Join(dir, metaFile), meta, 0o600)); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir)
			check(t, s, 1, n, one)
			store(t, s, run(n+1, n+1, 1))
			s = reopen(t, s)
			check(t, s, 1, n+1, one)
		}
	}
}

// TestStaleBatch: what a torn batch left behind does not become entries when shorter
// ones are written before it.
func TestStaleBatch(t *testing.T) {
	s := open(t, t.TempDir())
	store(t, s, run(1, 2, 1))
	if err := s.StoreLogs(run(3, 8, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(s.dir, "00000000000000000001-0000000000000000.wal"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The first sector of the batch never reached the disk.
	if _, err := f.WriteAt(make([]byte, 200), 760); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.dir)
	check(t, s, 1, 2, one)
	store(t, s, run(3, 3, 2))
	s = reopen(t, s)
	check(t, s, 1, 3, func(i uint64) uint64 { return 1 + i/3 })
}

// TestDamage: files that are missing, short or changed are refused in words, and
// left as they are; nothing crashes.
func TestDamage(t *testing.T) {
	good := t.TempDir()
	s := open(t, good)
	for _, l := range run(1, 65, 1) {
		if err := (guard.Log{LogStore: s}).StoreLog(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := s.files.ListDir(good)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	first, tail := names[0], names[len(names)-2]
	if len(names) < 5 || !strings.HasSuffix(tail, segmentSuffix) || names[len(names)-1] != metaFile {
		t.Fatal(names)
	}
	edit := func(name string, change func([]byte) []byte) func(string) error {
		return func(dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, name), change(data), 0o600)
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	remove := func(name string) func(string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
	}
	for _, tt := range []struct {
		what  string
		spoil func(dir string) error
		want  string
	}{
		{"no meta", remove(metaFile), "meta is missing, but there is"},
		{"short meta", edit(metaFile, func(b []byte) []byte { return b[:20] }), "its checksum is wrong"},
		{"empty meta", edit(metaFile, func([]byte) []byte { return nil }), "its checksum is wrong"},
		{"flipped meta", edit(metaFile, flip(60)), "its checksum is wrong"},
		{"no segment", remove(first), "a segment is missing"},
		{"short segment", edit(first, func(b []byte) []byte { return b[:700] }), "cannot be decoded"},
		{"empty segment", edit(first, func([]byte) []byte { return nil }), "failed to read header"},
		{"flipped entry", edit(first, flip(60)), "entry 1"},
		{"flipped header", edit(first, flip(9)), "doesn't match"},
		{"no last segment", remove(tail), "ends early"},
		{"last segment flipped", edit(tail, flip(60)), "not what was written"},
	} {
		dir := t.TempDir()
		if err := errors.Join(os.CopyFS(dir, os.DirFS(good)), tt.spoil(dir)); err != nil {
			t.Fatal(err)
		}
		before := listing(t, dir)
		s, err := Open(dir, Options{Bytes: small, Check: func(last uint64) error {
			if last < 65 {
				return fmt.Errorf("ends early: %w", guard.ErrDamaged)
			}
			return nil
		}})
		if err == nil {
			err = errors.Join(guard.Log{LogStore: s}.Verify(0), s.Close())
		}
		if !errors.Is(err, guard.ErrDamaged) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.what, err)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s: there was %s, there is %s", tt.what, before, after)
		}
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(e.Name(), info.Size()))
	}
	return strings.Join(out, " ")
}

// TestGarbage: whatever the files hold, opening and reading end with an error or
// not, and never crash.
func TestGarbage(t *testing.T) {
	good := t.TempDir()
	s := open(t, good)
	for _, l := range run(1, 40, 1) {
		if err := (guard.Log{LogStore: s}).StoreLog(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := s.files.ListDir(good)
	if err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, names[dice.IntN(len(names))])
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + dice.IntN(20) {
			data[dice.IntN(len(data))] = byte(dice.IntN(256))
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{Bytes: small})
		if err != nil {
			continue
		}
		err = guard.Log{LogStore: s}.Verify(0)
		if err != nil && !errors.Is(err, guard.ErrDamaged) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNoSpace: while there is no space writes fail in words, in the middle of
// segments and between them; then the log goes on, and nothing is lost.
func TestNoSpace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	mnt := t.TempDir()
	if err := unix.Mount("steppe-test", mnt, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir, filler := filepath.Join(mnt, "log"), filepath.Join(mnt, "filler")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, next := open(t, dir), uint64(1)
	for round := range 12 {
		if err := os.WriteFile(filler, make([]byte, 256<<10), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		failed := 0
		for range 40 {
			err := s.StoreLog(entry(next, 1))
			if err == nil {
				next++
			} else if failed++; !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			var l raft.Log
			if next > 1 {
				if err := s.GetLog(next-1, &l); err != nil {
					t.Fatal(err)
				}
			}
		}
		if failed == 0 {
			t.Errorf("round %d: no write failed", round)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		for range 1 + round%4 {
			if err := s.StoreLog(entry(next, 1)); err != nil {
				t.Fatal(err)
			}
			next++
		}
		check(t, s, 1, next-1, one)
	}
	s = reopen(t, s)
	check(t, s, 1, next-1, one)
}
