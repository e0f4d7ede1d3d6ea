package tasks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/plugins"
)

// State is the DriverState of a handle: JSON, so that people can read it too.
type State struct {
	// Dir is the control directory of the run.
	Dir string `json:"dir"`
	// Reserved says in which part of the control group tree the task lives.
	Reserved bool `json:"reserved,omitempty"`
	// Outside is set when the job chose control groups of its own, which are
	// neither read nor removed.
	Outside bool `json:"outside,omitempty"`
}

func (s State) encode() ([]byte, error) { return json.Marshal(s) }

// TaskDir is the directory that the host prepares for a task.
func TaskDir(c *plugins.TaskConfig) string { return filepath.Join(c.AllocDir, c.Name) }

// controlParent holds the control directories of all runs of a task.
func controlParent(c *plugins.TaskConfig) string {
	return filepath.Join(TaskDir(c), "private", "shim")
}

// ControlDir is where the shim of this run keeps its records: it lives and dies
// with the allocation, and every run of the task has its own.
func ControlDir(c *plugins.TaskConfig) string {
	run := c.ID[strings.LastIndexByte(c.ID, '/')+1:]
	if run == "" || len(run) > 64 || strings.Trim(run, ".") == "" {
		sum := sha256.Sum256([]byte(c.ID))
		run = hex.EncodeToString(sum[:8])
	}
	return filepath.Join(controlParent(c), run)
}

// CheckConfig refuses a task that names no place or cannot be found again.
func CheckConfig(c *plugins.TaskConfig) error {
	switch {
	case c == nil:
		return errors.New("no task configuration")
	case c.ID == "" || c.Name == "" || c.Name == "." || c.Name == ".." || strings.ContainsAny(c.Name, "/\x00"):
		return fmt.Errorf("task id %q or name %q is not usable", c.ID, c.Name)
	case !filepath.IsAbs(c.AllocDir):
		return fmt.Errorf("allocation directory %q is not absolute", c.AllocDir)
	}
	return nil
}

// IsReserved tells whether the host placed the task among those with cores of
// their own, by the control group path that it prepared.
func IsReserved(c *plugins.TaskConfig) bool {
	if c.Resources == nil || c.Resources.Linux == nil {
		return false
	}
	return strings.Contains(c.Resources.Linux.CpusetCgroup+"/", "/reserve") // reserve/ or reserve.slice/
}

// RecoverTask implements plugins.TaskRunner. Without a driver state, as after
// the loss of the agent's records, the newest run of the task in its allocation
// directory is taken.
func (s *Set) RecoverTask(_ context.Context, h *plugins.TaskHandle) error {
	if h == nil {
		return errors.New("no task handle")
	}
	if err := CheckConfig(h.Config); err != nil {
		return err
	}
	if _, err := s.Get(h.Config.ID); err == nil {
		return nil
	}
	var state State
	if len(h.DriverState) == 0 {
		state = State{Dir: newestRun(controlParent(h.Config)), Reserved: IsReserved(h.Config)}
	} else if err := json.Unmarshal(h.DriverState, &state); err != nil {
		return fmt.Errorf("the task's handle is damaged: %w", err)
	}
	if state.Dir == "" {
		return plugins.ErrTaskNotFound
	}
	held, err := shim.Load(state.Dir)
	if errors.Is(err, shim.ErrNoTask) {
		return plugins.ErrTaskNotFound
	}
	if err != nil {
		return err
	}
	t := &Task{Config: h.Config, Shim: held, State: state}
	t.Scope = s.Scope(h.Config, state)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[h.Config.ID] != nil { // another call was faster
		held.Release()
		return nil
	}
	s.tasks[h.Config.ID] = t
	return nil
}

// Prepare clears the place for a new run of a task: a run that nobody knows of,
// as after the loss of a handle, is killed, and the control groups with the
// counters of earlier runs are removed. A known run that still lives is an error.
func (s *Set) Prepare(ctx context.Context, c *plugins.TaskConfig, scope *cgroup.Scope) error {
	runs, err := os.ReadDir(controlParent(c))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look for earlier runs: %w", err)
	}
	for _, run := range runs {
		dir := filepath.Join(controlParent(c), run.Name())
		if err := s.clear(ctx, dir); err != nil {
			return err
		}
	}
	return scope.Remove()
}

func (s *Set) clear(ctx context.Context, dir string) error {
	held, err := shim.Load(dir)
	if err != nil {
		return nil // not a run, or one that never started
	}
	defer held.Release()
	if _, over := held.Exited(); over {
		return nil
	}
	s.mu.Lock()
	for id, t := range s.tasks {
		if t != nil && t.State.Dir == dir {
			s.mu.Unlock()
			return fmt.Errorf("an earlier run of the task, %s, is still running", id)
		}
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	return held.Kill(ctx)
}

// newestRun finds the control directory that was made last, "" if there is none.
func newestRun(parent string) string {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return ""
	}
	best, bestTime := "", int64(0)
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(parent, e.Name(), "status"))
		if err == nil && info.ModTime().UnixNano() > bestTime {
			best, bestTime = filepath.Join(parent, e.Name()), info.ModTime().UnixNano()
		}
	}
	return best
}
