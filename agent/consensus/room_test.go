package consensus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/agent/consensus/space"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// smallDisk mounts a file system of a given size, or skips.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	mnt := t.TempDir()
	if err := unix.Mount("steppe-test", mnt, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return mnt
}

// fill takes the space that is free as it is called, and none that a reserve gives
// up meanwhile; the returned function gives it back.
func fill(t *testing.T, dir string) (release func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		free := int64(st.Bavail) * st.Bsize
		if free == 0 {
			break
		}
		if err := unix.Fallocate(int(f.Fd()), 0, size, free); err == nil {
			break
		} else if !errors.Is(err, syscall.ENOSPC) { // of which something was written meanwhile
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReserve: on a full disk a server refuses new work in words, reads, takes what
// ends work, saves snapshots and starts again, and takes new work when there is
// room.
func TestReserve(t *testing.T) {
	mnt := smallDisk(t, "64m")
	dir := filepath.Join(mnt, "raft")
	m := startAlone(t, dir)
	propose := func(kind fsm.Kind, body string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := m.Propose(ctx, fsm.Command{Kind: kind, Body: []byte(body)})
		return err
	}
	if err := propose(fsm.KindRegisterJob, "before"); err != nil {
		t.Fatal(err)
	}
	if st := m.Space(); st.Level != space.Ample || st.HeldBytes != st.ReserveBytes || st.ReserveBytes < 3<<20 {
		t.Fatalf("at first %+v", st)
	}
	release := fill(t, mnt)
	waitFor(t, "the reserve is given up", func() bool { return m.Space().Level == space.Short })
	check := func(when string) {
		t.Helper()
		err := propose(fsm.KindRegisterJob, "refused")
		if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "new work is refused until") || !strings.Contains(err.Error(), dir) {
			t.Fatalf("%s: new work: %v", when, err)
		}
		if err := errors.Join(propose(fsm.KindDeregisterJob, "stop "+when), propose(fsm.KindUpdateAllocs, "report "+when)); err != nil {
			t.Fatalf("%s: what ends work: %v", when, err)
		}
		if _, err := m.ReadIndex(context.Background()); err != nil {
			t.Fatalf("%s: a read: %v", when, err)
		}
		var archive bytes.Buffer
		if _, err := m.SaveSnapshot(context.Background(), &archive); err != nil {
			t.Fatalf("%s: snapshot: %v", when, err)
		}
	}
	check("full")
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	m = startAlone(t, dir)
	if level := m.Space().Level; level == space.Ample {
		t.Fatalf("after a restart on a full disk: %s", level)
	}
	check("restarted")
	refill := fill(t, mnt) // what the reserve had left
	_ = refill             // the same file
	waitFor(t, "nothing is left", func() bool { return m.Space().Level == space.Scarce })
	if err := propose(fsm.KindUpdateAllocs, "report"); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("scarce: a report: %v", err)
	}
	if err := propose(fsm.KindCollect, "gc"); err != nil {
		t.Logf("scarce: gc: %v", err) // as far as the space goes
	}
	release()
	waitFor(t, "room again", func() bool {
		st := m.Space()
		return st.Level == space.Ample && st.HeldBytes == st.ReserveBytes
	})
	if err := propose(fsm.KindRegisterJob, "after"); err != nil {
		t.Fatal(err)
	}
	have := strings.Join(m.all(), "|")
	for _, body := range []string{"before", "stop full", "report full", "stop restarted", "report restarted", "after"} {
		if strings.Count(have, body) != 1 {
			t.Errorf("%q is not there once: %s", body, have)
		}
	}
	if strings.Contains(have, "refused") {
		t.Error("refused work is there")
	}
}

// TestFullAtOnce: a disk that fills between two looks at it costs no write and no
// leadership: the reserve is given up for the write that failed.
func TestFullAtOnce(t *testing.T) {
	mnt := smallDisk(t, "64m")
	m := startAlone(t, filepath.Join(mnt, "raft"))
	term := m.Leadership().Term
	release := fill(t, mnt)
	defer release()
	large := fsm.Command{Kind: fsm.KindUpdateAllocs, Body: bytes.Repeat([]byte("x"), 1<<20)}
	if _, err := m.Propose(context.Background(), large); err != nil {
		t.Fatal(err)
	}
	if now := m.Leadership(); !now.Self || now.Term != term {
		t.Errorf("term %d was led; now %+v", term, now)
	}
	if m.Space().Level == space.Ample {
		t.Error("the reserve was not needed")
	}
	if _, err := m.SaveSnapshot(context.Background(), io.Discard); err != nil {
		t.Error(err)
	}
}
