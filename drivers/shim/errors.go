package shim

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// Stage is the step of a start that failed; shim.h has the same numbers.
type Stage int

// Stages of a start, in their order.
const (
	StageConfig Stage = iota + 1
	StageControlDir
	StageOutput
	StageFork
	StageCgroup
	StageOOMScore
	StageRlimit
	StageGroups
	StageUser
	StageWorkDir
	StageExec
	StageLauncher
	StageNetwork
)

// StartError tells why a task could not be started. Errno is 0 when Text, in
// the launcher's own words, is all that is known.
type StartError struct {
	Stage Stage
	Errno syscall.Errno
	Text  string
	cfg   *Config
}

// Error says it in words a job's author can act on.
func (e *StartError) Error() string {
	if e.Text != "" {
		return e.Text
	}
	switch e.Stage {
	case StageConfig:
		return "the shim could not read its configuration" + e.suffix()
	case StageControlDir:
		return fmt.Sprintf("cannot write the task's records in %s%s", e.cfg.Dir, e.suffix())
	case StageOutput:
		return "cannot open the task's output files" + e.suffix()
	case StageFork:
		return "cannot create a process for the task" + e.suffix()
	case StageCgroup:
		return fmt.Sprintf("cannot put the task into its cgroup %s%s", e.cfg.KillDir, e.suffix())
	case StageNetwork:
		return fmt.Sprintf("cannot enter the network namespace %s%s", e.cfg.Network, e.suffix())
	case StageGroups, StageUser:
		return e.userText()
	case StageWorkDir:
		return e.workDirText()
	case StageExec:
		return e.execText()
	case StageLauncher:
		return "the container launcher ended without a word" + e.suffix()
	}
	return fmt.Sprintf("start failed at stage %d%s", e.Stage, e.suffix())
}

// Unwrap gives the errno, so that errors.Is(err, fs.ErrNotExist) works.
func (e *StartError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// Recoverable tells whether the same start may work a moment later.
func (e *StartError) Recoverable() bool {
	switch e.Errno {
	case syscall.EAGAIN, syscall.ENOMEM, syscall.ENFILE, syscall.EMFILE, syscall.ENOSPC, syscall.ETXTBSY:
		return true
	}
	return false
}

func (e *StartError) suffix() string {
	if e.Errno == 0 {
		return ""
	}
	return ": " + e.Errno.Error()
}

func (e *StartError) userText() string {
	c := e.cfg.Credential
	if c == nil {
		return "cannot change the task's user" + e.suffix()
	}
	if e.Errno == syscall.EPERM {
		return fmt.Sprintf("cannot run as user id %d: the agent is not root and may only run tasks as itself", c.UID)
	}
	return fmt.Sprintf("cannot run as user id %d, group id %d%s", c.UID, c.GID, e.suffix())
}

func (e *StartError) workDirText() string {
	switch e.Errno {
	case syscall.ENOENT:
		return fmt.Sprintf("the working directory %s does not exist", e.cfg.WorkDir)
	case syscall.ENOTDIR:
		return fmt.Sprintf("the working directory %s is not a directory", e.cfg.WorkDir)
	case syscall.EACCES:
		return fmt.Sprintf("the working directory %s may not be entered by %s", e.cfg.WorkDir, e.who())
	}
	return fmt.Sprintf("cannot enter the working directory %s%s", e.cfg.WorkDir, e.suffix())
}

func (e *StartError) who() string {
	if c := e.cfg.Credential; c != nil {
		return fmt.Sprintf("user id %d", c.UID)
	}
	return "the agent's user"
}

func (e *StartError) execText() string {
	switch e.Errno {
	case syscall.ENOENT:
		return fmt.Sprintf("command not found: %s, or the interpreter it names, does not exist", e.cfg.Path)
	case syscall.EACCES:
		return fmt.Sprintf("permission denied: %s is not executable by %s", e.cfg.Path, e.who())
	case syscall.ENOEXEC:
		return fmt.Sprintf("%s is not a program for this machine (a script needs a first line such as #!/bin/sh)", e.cfg.Path)
	case syscall.E2BIG:
		return fmt.Sprintf("the arguments and environment of %s are larger than the kernel accepts", e.cfg.Path)
	case syscall.EISDIR:
		return fmt.Sprintf("%s is a directory", e.cfg.Path)
	}
	return fmt.Sprintf("cannot execute %s%s", e.cfg.Path, e.suffix())
}

// warningText words a setting that the kernel refused but the task can do
// without.
func warningText(stage Stage, errno syscall.Errno) string {
	switch stage {
	case StageOOMScore:
		return "oom_score_adj was not set: " + errno.Error()
	case StageRlimit:
		return "a resource limit was not set: " + errno.Error()
	}
	return fmt.Sprintf("stage %d: %s", stage, errno)
}

// parseFailure reads "<stage> <errno>" of a report line.
func parseFailure(s string) (Stage, syscall.Errno) {
	stage, errno, _ := strings.Cut(s, " ")
	a, _ := strconv.Atoi(stage)
	b, _ := strconv.Atoi(errno)
	return Stage(a), syscall.Errno(b)
}
