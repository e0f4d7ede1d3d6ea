package space

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/model"
)

func TestSizes(t *testing.T) {
	for _, size := range []int64{-1, 1, MinReserve - 1, MaxReserve + 1} {
		if _, err := Open(Config{Dir: t.TempDir(), Reserve: size, Logger: slog.New(slog.DiscardHandler)}); model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("a reserve of %d: %v", size, err)
		}
	}
}

// TestLevels: a disk of 64 MiB has a reserve of 4, a mark of 1. It fills up, with
// and without a write that tells, and is freed.
func TestLevels(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("steppe-test", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	leave := func(mib int64) { // so much free, but for the reserve
		t.Helper()
		if err := os.Remove(filler); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		_, free, err := s.measure()
		if err == nil {
			err = os.WriteFile(filler, make([]byte, free-mib<<20), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when string, level Level, held int64) {
		t.Helper()
		st := s.Status()
		if st.Level != level || st.HeldBytes != held<<20 || (st.NeededBytes == 0) != (level == Ample) {
			t.Fatalf("%s: %+v", when, st)
		}
		err := s.Refuse()
		if (err == nil) != (level == Ample) || err != nil && (model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), dir)) {
			t.Fatalf("%s: refusal %v", when, err)
		}
	}
	expect("at first", Ample, 4)
	leave(2)
	s.Look()
	expect("more than the mark is free", Ample, 4)
	if s.Full(); s.Full() {
		t.Error("the reserve was given up twice")
	}
	expect("a write failed", Short, 0)
	leave(5)
	s.Look()
	expect("not enough for reserve and twice the mark", Short, 0)
	leave(0)
	s.Look()
	expect("the reserve is used up", Scarce, 0)
	leave(3)
	s.Look()
	expect("some is back", Short, 0)
	again, err := Open(s.cfg)
	if err != nil || again.Status().Level != Short {
		t.Errorf("opened on a full disk: %+v, %v", again.Status(), err)
	}
	leave(7)
	s.Look()
	expect("enough is back", Ample, 4)
	leave(0)
	s.Look()
	expect("nothing is free", Short, 0)
	if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, 1<<20), 0o600); err != nil {
		t.Errorf("the reserve is of no use: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "y"), make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more than the reserve: %v", err)
	}
}
