package tasks

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/plugins"
)

// Scope is the place of a task in the control group tree.
func (s *Set) Scope(c *plugins.TaskConfig, state State) *cgroup.Scope {
	if state.Outside {
		return new(cgroup.Tree).Scope(c.AllocID, c.Name, false)
	}
	return s.tree.Scope(c.AllocID, c.Name, state.Reserved)
}

// result explains the exit of an ended task, once.
func (s *Set) result(t *Task) *plugins.ExitResult {
	t.explain.Do(func() {
		exit, _ := t.Shim.Exited()
		t.exit = explain(exit, t.Scope.OOMKills(), t.Scope.PIDLimitHits(), t.Config.Resources)
		if exit.DroppedLogBytes > 0 {
			s.events.Emit(t.Config, fmt.Sprintf("%d bytes of the task's output could not be written to its log files", exit.DroppedLogBytes), nil)
		}
	})
	out := t.exit
	return &out
}

// explain puts an exit into words. A task that ended well needs none.
func explain(e shim.Exit, oomKills, pidHits int64, r *plugins.Resources) plugins.ExitResult {
	out := plugins.ExitResult{ExitCode: e.Code, Signal: e.Signal}
	switch {
	case e.Lost:
		out.Err = "the task was lost: its supervising process was killed or the machine restarted, so its exit status is unknown"
	case e.Code == 0:
	case oomKills > 0:
		out.OOMKilled = true
		out.Err = "out of memory: the kernel killed the task"
		if limit := memoryLimitMB(r); limit > 0 {
			out.Err = fmt.Sprintf("out of memory: the task used its memory limit of %d MB", limit)
		}
	case e.Signal == int(unix.SIGSYS):
		out.Err = "bad system call: the task made a call that its system call filter answers with death (a program of another processor architecture does)"
	case pidHits > 0:
		out.Err = fmt.Sprintf("the task hit its limit on processes: %d times the kernel refused it a new process or thread", pidHits)
	}
	return out
}

// memoryLimitMB is the hard limit of a task, 0 if it has none.
func memoryLimitMB(r *plugins.Resources) int64 {
	switch {
	case r == nil:
		return 0
	case r.MemoryMaxMB > 0:
		return r.MemoryMaxMB
	case r.MemoryMB > 0:
		return r.MemoryMB
	case r.Linux != nil:
		return r.Linux.MemoryLimitBytes >> 20
	}
	return 0
}
