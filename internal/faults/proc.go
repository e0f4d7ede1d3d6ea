package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Mark is the environment variable by which the site's tasks are known, whoever
// their parents are by now.
const Mark = "STEPPE_FAULTS_SITE"

// process is one of the site's processes.
type process struct {
	pid    int
	kind   string // agent, driver, shim or task
	driver string // of a driver: its name
	agent  string // of all but tasks: whose
	task   string // of a task: <alloc id>/<task>
}

// processes lists the site's living processes.
func (s *Site) processes() []process {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.t.Error(err)
	}
	var out []process
	for _, dir := range dirs {
		p := process{}
		if p.pid, err = strconv.Atoi(filepath.Base(dir)); err != nil || !alive(dir) {
			continue
		}
		if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil && strings.HasPrefix(exe, s.dir+"/") {
			p.agent, _, _ = strings.Cut(strings.TrimPrefix(exe, s.dir+"/"), "/")
			p.kind, p.driver = role(dir)
			out = append(out, p)
			continue
		}
		if env := environment(dir); bytes.Contains(env, []byte(Mark+"="+s.tag+"\x00")) {
			p.kind, p.task = "task", variable(env, "NOMAD_ALLOC_ID")+"/"+variable(env, "NOMAD_TASK_NAME")
			out = append(out, p)
		}
	}
	return out
}

// alive tells whether a process is more than a zombie.
func alive(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b[max(0, bytes.LastIndexByte(b, ')')):]), " ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// role tells what a process of the binary is by its arguments.
func role(dir string) (kind, driver string) {
	b, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return "gone", ""
	}
	args := strings.Split(string(b), "\x00")
	if i := slices.Index(args, "__driver"); i >= 0 && i+1 < len(args) {
		return "driver", args[i+1]
	}
	if slices.Contains(args, "agent") {
		return "agent", ""
	}
	return "shim", ""
}

// environment reads a process's environment, nil if it is gone. In the middle of
// an exec the kernel shows an empty one, for milliseconds; kernel threads, which
// have none, have no executable either.
func environment(dir string) []byte {
	for range 50 {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || len(env) > 0 {
			return env
		}
		if _, err := os.Readlink(filepath.Join(dir, "exe")); err != nil {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

func variable(env []byte, name string) string {
	for v := range strings.SplitSeq(string(env), "\x00") {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// Tasks maps <alloc id>/<task> to the lowest process id of that task.
func (s *Site) Tasks() map[string]int {
	out := map[string]int{}
	for _, p := range s.processes() {
		if old, ok := out[p.task]; p.kind == "task" && (!ok || p.pid < old) {
			out[p.task] = p.pid
		}
	}
	return out
}

// Drivers maps driver names to the process ids of an agent's drivers.
func (a *Agent) Drivers() map[string]int {
	out := map[string]int{}
	for _, p := range a.site.processes() {
		if p.kind == "driver" && p.agent == a.Name {
			out[p.driver] = p.pid
		}
	}
	return out
}

// Left describes processes that are neither an agent nor a driver of a running
// agent: nil when no job runs.
func (s *Site) Left() error {
	var errs []error
	for _, p := range s.processes() {
		if p.kind == "shim" || p.kind == "task" {
			errs = append(errs, fmt.Errorf("process %d is left: %s of %s%s", p.pid, p.kind, p.agent, p.task))
		}
	}
	return errors.Join(errs...)
}

// killAll kills every process of the site until none is left.
func (s *Site) killAll() error {
	var left []process
	for range 200 {
		if left = s.processes(); len(left) == 0 {
			return nil
		}
		for _, p := range left {
			if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %d: %w", p.pid, err)
			}
		}
		time.Sleep(pollEvery)
	}
	return fmt.Errorf("processes that do not end: %+v", left)
}

// Groups lists the control groups of the site's allocations.
func (s *Site) Groups() []string {
	var out []string
	for _, dir := range s.allocDirs() {
		id := filepath.Base(dir)
		for _, pattern := range []string{"/sys/fs/cgroup/*/nomad/" + id + ".*", "/sys/fs/cgroup/*/nomad/*/" + id + ".*", "/sys/fs/cgroup/nomad.slice/*/" + id + ".*"} {
			found, err := filepath.Glob(pattern)
			if err != nil {
				s.t.Error(err)
			}
			out = append(out, found...)
		}
	}
	return out
}

// allocDirs lists the allocation directories of all agents.
func (s *Site) allocDirs() []string {
	var out []string
	for _, a := range s.agents {
		for _, pattern := range []string{filepath.Join(a.DataDir, "alloc", "*-*"), filepath.Join(s.dir, a.Name, "steppe-dev-*", "alloc", "*-*")} {
			found, err := filepath.Glob(pattern)
			if err != nil {
				s.t.Error(err)
			}
			out = append(out, found...)
		}
	}
	return out
}

// removeGroups removes control groups that a killed agent could not.
func (s *Site) removeGroups() error {
	var errs []error
	for _, dir := range s.Groups() {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() && path != dir {
				return syscall.Rmdir(path)
			}
			return err
		})
		if err == nil || errors.Is(err, os.ErrNotExist) {
			err = syscall.Rmdir(dir)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("control group %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}
