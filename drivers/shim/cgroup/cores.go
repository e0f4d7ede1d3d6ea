package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// LimitCores confines the scope, when it is created, to cores as the kernel lists
// them ("0-2,5"). An empty list, or a kernel without cpusets, is no limit.
func (s *Scope) LimitCores(list string) {
	if list == "" || s.version == None {
		return
	}
	if s.version == V1 {
		if !s.tree.Has(cpuset, "cpuset.cpus") {
			return
		}
		s.dirs[cpuset] = filepath.Join(s.tree.root, cpuset, parentV1, s.name)
	}
	s.cores = list
}

// cpuset is a controller's name.
const cpuset = "cpuset"

// setCores follows LimitCores. On v1 a group without cores and memory nodes
// admits nobody, and new ones have neither: they are those of the parent.
func (s *Scope) setCores() error {
	if s.cores == "" {
		return nil
	}
	dir := s.dirs[""]
	if s.version == V1 {
		dir = s.dirs[cpuset]
		for _, at := range []string{filepath.Dir(dir), dir} {
			if err := errors.Join(inherit(at, "cpuset.cpus"), inherit(at, "cpuset.mems")); err != nil {
				return fmt.Errorf("give the task its cores: %w", err)
			}
		}
	}
	file := filepath.Join(dir, "cpuset.cpus")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.WriteFile(file, []byte(s.cores), 0o644); err != nil {
		return fmt.Errorf("give the task its cores %s: %w", s.cores, err)
	}
	return nil
}

// inherit fills an empty setting with that of the parent.
func inherit(dir, name string) error {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || len(bytes.TrimSpace(b)) > 0 {
		return err
	}
	if b, err = os.ReadFile(filepath.Join(filepath.Dir(dir), name)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), bytes.TrimSpace(b), 0o644)
}
