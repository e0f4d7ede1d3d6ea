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
		oomKills, pidHits := t.Scope.OOMKills(), t.Scope.PIDLimitHits()
		t.exit = explain(exit, oomKills, pidHits, t.Config.Resources)
		for _, text := range survived(exit, oomKills, pidHits, t.Config.Resources) {
			s.events.Emit(t.Config, text, nil)
		}
		if exit.DroppedLogBytes > 0 {
			s.events.Emit(t.Config, fmt.Sprintf("%d bytes of the task's output could not be written to its log files", exit.DroppedLogBytes), nil)
		}
	})
	out := t.exit
	return &out
}

// survived says which limits a task met although it ended well: a fork that was
// refused or a child that was killed is often the reason for what it left undone.
// It cannot be a part of the exit, because an exit with words is a failure.
func survived(e shim.Exit, oomKills, pidHits int64, r *plugins.Resources) (texts []string) {
	if e.Lost || e.Code != 0 {
		return nil
	}
	if oomKills > 0 {
		text := fmt.Sprintf("out of memory: the task ended well, but the kernel killed %d of its processes", oomKills)
		if limit := memoryLimitMB(r); limit > 0 {
			text += fmt.Sprintf(" at its memory limit of %d MB", limit)
		}
		texts = append(texts, text)
	}
	if pidHits > 0 {
		texts = append(texts, pidsText(pidHits))
	}
	return texts
}

func pidsText(hits int64) string {
	times := "times"
	if hits == 1 {
		times = "time"
	}
	return fmt.Sprintf("the task hit its limit on processes: %d %s the kernel refused it a new process or thread", hits, times)
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
		out.Err = pidsText(pidHits)
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
