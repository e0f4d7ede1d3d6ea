package consensus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// TestFullDisk fills a small file system under the log, then makes room.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	mnt := t.TempDir()
	if err := unix.Mount("steppe-test", mnt, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(mnt, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mnt, "raft")
	m := startAlone(t, dir)
	var acked []string
	next := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		body := fmt.Sprintf("%06d%s", len(acked), strings.Repeat("x", 32<<10))
		_, err := m.Propose(ctx, fsm.Command{Kind: 1, Body: []byte(body)})
		if err == nil {
			acked = append(acked, body)
		}
		return err
	}
	var err error
	for err == nil && len(acked) < 1000 {
		err = next()
	}
	if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "disk of the leader's data directory is full") {
		t.Fatalf("full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "writes again", func() bool { return next() == nil })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	m = startAlone(t, dir)
	have := make(map[string]int)
	for _, b := range m.all() {
		have[b]++
	}
	for _, b := range acked {
		if have[b] == 0 {
			t.Errorf("acknowledged %s is lost", b[:6])
		}
	}
	t.Logf("%d acknowledged", len(acked))
}
