package driverset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/drivers/shim/cgroup"
)

// Sweeps of what has lost its driver.
const (
	sweepTries = 50
	sweepPause = 10 * time.Millisecond
)

// Sweep kills every process that still is in the control group of a task, or of
// any task of an allocation (task ""), and removes the group. It is for tasks
// that no driver knows: what their drivers left is found by these labels alone.
func Sweep(allocID, task string) error {
	tree := cgroup.Detect()
	if tree.Version() == cgroup.None {
		return nil
	}
	for range sweepTries {
		labels, err := tree.List()
		if err != nil {
			return err
		}
		left := false
		for _, l := range labels {
			if l.AllocID != allocID || task != "" && l.Task != task {
				continue
			}
			left = true
			for _, pid := range l.PIDs {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					return fmt.Errorf("kill process %d of %s.%s: %w", pid, l.AllocID, l.Task, err)
				}
			}
		}
		if !left {
			if task == "" {
				return nil
			}
			return errors.Join(tree.Scope(allocID, task, false).Remove(), tree.Scope(allocID, task, true).Remove())
		}
		time.Sleep(sweepPause)
	}
	return fmt.Errorf("processes of allocation %s do not end", allocID)
}

// RemoveGroups removes the groups that all tasks' groups are made in, where no
// task of anyone is in them. Another user's stay.
func RemoveGroups() error {
	var errs []error
	for _, pattern := range []string{
		"/sys/fs/cgroup/*/nomad/share", "/sys/fs/cgroup/*/nomad/reserve", "/sys/fs/cgroup/*/nomad",
		"/sys/fs/cgroup/nomad.slice/share.slice", "/sys/fs/cgroup/nomad.slice/reserve.slice", "/sys/fs/cgroup/nomad.slice",
	} {
		dirs, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, dir := range dirs {
			err := syscall.Rmdir(dir)
			if err != nil && !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, os.ErrPermission) {
				errs = append(errs, fmt.Errorf("remove control group %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}
