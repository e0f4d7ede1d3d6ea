package durable

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 {
		if err := MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "f")
	if data, err := ReadFile(path); data != nil || err != nil {
		t.Fatalf("%q, %v", data, err)
	}
	for _, text := range []string{"old", "new"} {
		if err := WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if data, err := ReadFile(path); string(data) != text || err != nil {
			t.Fatalf("%q, %v", data, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := MkdirAll(filepath.Join(path, "d"), 0o700); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a directory below a file: %v", err)
	}
	if err := MkdirAll(path, 0o700); !errors.Is(err, os.ErrExist) {
		t.Errorf("a directory in place of a file: %v", err)
	}
}

// TestMark: the newest whole slot counts, whatever became of the other.
func TestMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mark")
	open := func() *Mark {
		m, err := OpenMark(path, "TESTmark", 2)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	for i := range uint64(5) {
		if err := m.Note(func(v []uint64) { v[0], v[1] = i, 10*i }, i%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(data []byte, want ...uint64) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m := open()
		defer m.Close()
		if got := m.Values(); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	check(good, 4, 40)
	for at := range markMagic + 8 + 16 + 4 {
		for slot, want := range [][]uint64{{4, 40}, {3, 30}} {
			bad := bytes.Clone(good)
			bad[slot*markSlot+at] ^= 1
			check(bad, want...)
		}
	}
	check(make([]byte, len(good)), 0, 0)
	check(good[:markSlot+10], 3, 30)
	check(good[:10], 0, 0)
	check(nil, 0, 0)
}
