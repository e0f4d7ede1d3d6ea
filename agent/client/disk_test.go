package client

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// TestDiskFull: on a full disk a task does not start and says why, what runs goes
// on, and all is well again when there is room.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("this machine does not let us mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	c := newCluster(t)
	a := start(t, config(t, c, dir))
	first := shell(1, model.JobTypeService, stays)
	c.assign(first)
	c.await(first.Alloc.ID, model.ClientRunning)
	taskPID := pid(t, a, first.Alloc.ID)
	fill(t, filepath.Join(dir, "filler"))
	second := shell(2, model.JobTypeService, stays)
	second.Job.TaskGroups[0].RestartPolicy = &model.RestartPolicy{Mode: "fail", Interval: time.Hour, Attempts: 1000, Delay: 50 * time.Millisecond}
	c.assign(second)
	c.eventually("it says why", func() bool {
		u := c.latest[second.Alloc.ID]
		return u != nil && strings.Contains(words(u), "no space left on device")
	})
	if !alive(taskPID) {
		t.Error("the running task ended")
	}
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	c.await(second.Alloc.ID, model.ClientRunning)
	c.stop(first.Alloc.ID)
	c.stop(second.Alloc.ID)
	c.await(first.Alloc.ID, model.ClientComplete)
	c.await(second.Alloc.ID, model.ClientComplete)
}

// fill writes until nothing fits any more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !strings.Contains(err.Error(), "no space left") {
			t.Fatal(err)
		}
		err = nil
	}
}
