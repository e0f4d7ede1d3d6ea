package driverset

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/steppe-project/steppe/drivers/shim/cgroup"
)

// cpusetV1 is where existing drivers look for the cores of tasks without any of
// their own, on control groups of version 1.
const cpusetV1 = "/sys/fs/cgroup/cpuset/nomad"

// Place makes the control groups of a task for drivers that expect their host
// to have made them. Where the machine offers none, there are none.
func Place(allocID, task string, reserved bool) error {
	tree := cgroup.Detect()
	if tree.Version() == cgroup.None {
		return nil
	}
	if err := tree.Scope(allocID, task, reserved).Create(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cpusetV1, "..", "cpuset.cpus")); tree.Version() != cgroup.V1 || err != nil {
		return nil // version 2, or a machine without this controller
	}
	dir := filepath.Join(cpusetV1, "share")
	if reserved {
		dir = filepath.Join(cpusetV1, "reserve", allocID+"."+task)
	}
	return fillCpuset(dir)
}

// fillCpuset makes a cpuset group usable: a new one has neither cores nor
// memory, and nothing can run in it.
func fillCpuset(dir string) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(filepath.Join(parent, "cpuset.cpus")); errors.Is(err, fs.ErrNotExist) {
		if err := fillCpuset(parent); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		has, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.TrimSpace(string(has)) != "" {
			continue // set already, or not a cpuset after all
		}
		value, err := os.ReadFile(filepath.Join(parent, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}
