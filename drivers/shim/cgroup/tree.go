package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Version of the control group hierarchy.
type Version int

// Versions; a hybrid machine counts as V1, because its controllers are there.
const (
	None Version = iota
	V1
	V2
)

// String is the form used in fingerprint attributes.
func (v Version) String() string { return [...]string{"none", "v1", "v2"}[v] }

// Names that existing drivers have compiled in.
const (
	parentV1     = "nomad"
	parentV2     = "nomad.slice"
	shareSlice   = "share.slice"
	reserveSlice = "reserve.slice"
	scopeSuffix  = ".scope"
)

// controllersV1 are joined by tasks without limits: the freezer to find and
// kill them, the others to see what they use. Joining all costs 0.3 ms.
var controllersV1 = []string{"freezer", "cpu", "cpuacct", "memory", "pids"}

// controllersV2 are asked for one by one, because a kernel without one of them
// refuses a write that names it together with others.
var controllersV2 = []string{"cpuset", "cpu", "io", "memory", "pids"}

// Tree is the control group file system of this machine.
type Tree struct {
	root    string
	version Version
	// reason says in words why Version is None.
	reason string
	enable sync.Once // v2: controllers of the parents, once per process
}

// mountPoint is where every distribution mounts control groups.
const mountPoint = "/sys/fs/cgroup"

// Detect looks at what this machine offers and what this process may use.
func Detect() *Tree {
	var fs unix.Statfs_t
	if err := unix.Statfs(mountPoint, &fs); err != nil {
		return &Tree{reason: "no control groups are mounted: " + err.Error()}
	}
	version := V1
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		version = V2
	}
	return At(mountPoint, version)
}

// At is Detect for a tree at another place, for tests and unusual mounts.
func At(root string, version Version) *Tree {
	t := &Tree{root: root, version: version}
	parent := filepath.Join(root, "freezer", parentV1)
	if version == V2 {
		parent = filepath.Join(root, parentV2, shareSlice)
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return &Tree{reason: "control groups may not be used: " + err.Error()}
	}
	if unix.Access(parent, unix.W_OK) != nil {
		return &Tree{reason: "control groups may not be used: no write permission in " + parent}
	}
	return t
}

// Version of the tree; None when tasks can have no control groups.
func (t *Tree) Version() Version { return t.version }

// Reason says in words why the version is None.
func (t *Tree) Reason() string { return t.reason }

// enableControllers makes the parents hand their controllers down; those that
// the kernel lacks are left out.
func (t *Tree) enableControllers() {
	for _, dir := range []string{"", parentV2, parentV2 + "/" + shareSlice, parentV2 + "/" + reserveSlice} {
		full := filepath.Join(t.root, dir)
		if os.MkdirAll(full, 0o755) != nil {
			continue
		}
		for _, c := range controllersV2 {
			_ = os.WriteFile(filepath.Join(full, "cgroup.subtree_control"), []byte("+"+c), 0o644)
		}
	}
}

// Label names the task that a scope belongs to.
type Label struct {
	AllocID, Task string
	PIDs          []int
}

// List returns every task that has a living process in a scope of this tree,
// whoever started it. An allocation id holds no dot; a task name may.
func (t *Tree) List() ([]Label, error) {
	var parents []string
	switch t.version {
	case None:
		return nil, nil
	case V1:
		parents = []string{filepath.Join(t.root, "freezer", parentV1)}
	case V2:
		parents = []string{filepath.Join(t.root, parentV2, shareSlice), filepath.Join(t.root, parentV2, reserveSlice)}
	}
	var all []Label
	for _, parent := range parents {
		entries, err := os.ReadDir(parent)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("list control groups: %w", err)
		}
		for _, e := range entries {
			alloc, task, ok := strings.Cut(strings.TrimSuffix(e.Name(), scopeSuffix), ".")
			if !e.IsDir() || !ok {
				continue
			}
			if pids := readPIDs(filepath.Join(parent, e.Name())); len(pids) > 0 {
				all = append(all, Label{AllocID: alloc, Task: task, PIDs: pids})
			}
		}
	}
	return slices.Clip(all), nil
}

// Resolve turns a path that a job gave, relative to the controller's root (v1)
// or the tree's (v2, controller "") or absolute in the file system, into the
// file by which a process joins it.
func (t *Tree) Resolve(controller, path string) string {
	root := filepath.Join(t.root, controller)
	if !strings.HasPrefix(filepath.Clean(path)+"/", t.root+"/") {
		path = filepath.Join(root, path)
	}
	return filepath.Join(path, "cgroup.procs")
}

// Controller names the v1 controller whose tree a file is in, "" if none.
func (t *Tree) Controller(file string) string {
	rel, err := filepath.Rel(t.root, file)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(rel, "/")
	return first
}

// Has tells whether the kernel offers a file of a v1 controller.
func (t *Tree) Has(controller, file string) bool {
	_, err := os.Stat(filepath.Join(t.root, controller, file))
	return err == nil
}
