package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Scope is the place of one task. The zero Scope (and that of a Tree without
// control groups) has no place: everything on it does nothing.
type Scope struct {
	version Version
	name    string            // <alloc>.<task>
	dirs    map[string]string // v1: by controller; v2: under ""
	tree    *Tree
	cores   string // to be confined to; empty = all
}

// Scope returns the place of a task; reserved puts it with those that own whole
// cores. Characters that cannot be in a directory's name are replaced.
func (t *Tree) Scope(allocID, task string, reserved bool) *Scope {
	s := &Scope{version: t.version, name: clean(allocID) + "." + clean(task), dirs: map[string]string{}, tree: t}
	switch t.version {
	case V1:
		for _, c := range controllersV1 {
			if _, err := os.Stat(filepath.Join(t.root, c)); err == nil {
				s.dirs[c] = filepath.Join(t.root, c, parentV1, s.name)
			}
		}
	case V2:
		slice := shareSlice
		if reserved {
			slice = reserveSlice
		}
		s.dirs[""] = filepath.Join(t.root, parentV2, slice, s.name+scopeSuffix)
	}
	return s
}

func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
}

// Version of the scope's tree.
func (s *Scope) Version() Version { return s.version }

// Path is the scope's path below the mount point of a controller, as
// libcontainer wants it; empty without control groups.
func (s *Scope) Path() string {
	switch s.version {
	case V1:
		return "/" + parentV1 + "/" + s.name
	case V2:
		return strings.TrimPrefix(s.dirs[""], s.tree.root)
	}
	return ""
}

// Create makes the scope's directories.
func (s *Scope) Create() error {
	if s.version == V2 {
		s.tree.enable.Do(s.tree.enableControllers)
	}
	for _, dir := range s.dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("create the task's control group: %w", err)
		}
	}
	return s.setCores()
}

// JoinFiles are the files a process writes itself into to be in the scope.
func (s *Scope) JoinFiles() []string {
	var files []string
	for _, c := range append([]string{"", cpuset}, controllersV1...) {
		if dir, ok := s.dirs[c]; ok {
			files = append(files, filepath.Join(dir, "cgroup.procs"))
		}
	}
	return files
}

// KillDir is the directory by which all processes of the scope can be ended;
// empty without control groups.
func (s *Scope) KillDir() string {
	if s.version == V1 {
		return s.dirs["freezer"]
	}
	return s.dirs[""]
}

// SetCPUWeight gives the scope its share of a busy machine, in MHz as jobs ask
// for it: no limit while others idle. A kernel that refuses is left alone.
func (s *Scope) SetCPUWeight(mhz int64) {
	if mhz <= 0 {
		return
	}
	switch s.version {
	case V1:
		if dir, ok := s.dirs["cpu"]; ok {
			_ = os.WriteFile(filepath.Join(dir, "cpu.shares"), []byte(strconv.FormatInt(max(2, mhz), 10)), 0o644)
		}
	case V2:
		_ = os.WriteFile(filepath.Join(s.dirs[""], "cpu.weight"), []byte(strconv.FormatUint(WeightOfShares(mhz), 10)), 0o644)
	}
}

// WeightOfShares maps v1 cpu.shares (2 to 262144) onto v2 cpu.weight (1 to
// 10000), linearly as container runtimes do.
func WeightOfShares(shares int64) uint64 {
	s := min(max(shares, 2), 262144)
	return uint64(1 + (s-2)*9999/262142)
}

// PIDs lists the processes of the scope.
func (s *Scope) PIDs() []int {
	dir := s.KillDir()
	if dir == "" {
		return nil
	}
	return readPIDs(dir)
}

func readPIDs(dir string) []int {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, f := range bytes.Fields(b) {
		if pid, err := strconv.Atoi(string(f)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// A directory of dying processes cannot be removed for a moment.
const (
	removeTries = 50
	removePause = 2 * time.Millisecond
)

// Remove deletes the scope's directories, on v1 those below every controller,
// as containers join them all. One that is in use (by the next run of the same
// task) stays.
func (s *Scope) Remove() error {
	var errs []error
	for _, dir := range s.allDirs() {
		errs = append(errs, removeDir(dir))
	}
	return errors.Join(errs...)
}

func (s *Scope) allDirs() []string {
	if s.version != V1 {
		return slices.Collect(maps.Values(s.dirs))
	}
	controllers, err := os.ReadDir(s.tree.root)
	if err != nil {
		return nil
	}
	var dirs []string
	for _, c := range controllers {
		if c.IsDir() {
			dirs = append(dirs, filepath.Join(s.tree.root, c.Name(), parentV1, s.name))
		}
	}
	return dirs
}

func removeDir(dir string) error {
	for try := 0; ; try++ {
		err := unix.Rmdir(dir)
		switch {
		case err == nil, err == unix.ENOENT, err == unix.ENOTDIR:
			return nil
		case err == unix.ENOTEMPTY || err == unix.EBUSY:
			if removeChildren(dir) {
				continue
			}
			if len(readPIDs(dir)) > 0 || try >= removeTries {
				return nil
			}
			time.Sleep(removePause)
		default:
			return fmt.Errorf("remove control group %s: %w", dir, err)
		}
	}
}

// removeChildren removes the groups that a task made below its own.
func removeChildren(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	removed := false
	for _, e := range entries {
		if e.IsDir() {
			child := filepath.Join(dir, e.Name())
			removeChildren(child)
			removed = unix.Rmdir(child) == nil || removed
		}
	}
	return removed
}
