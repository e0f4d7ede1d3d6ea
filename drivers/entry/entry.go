// Package entry holds the short-lived processes by which drivers start
// containers; all of them are this same binary, re-executed.
//
//	driver -> shim -> launcher -> libcontainer's init -> the task
//	                  (ends)      (becomes the task)
//
// Contract: a binary that imports this package answers to the launcher's and
// libcontainer's arguments before its main function runs, and even before most
// other packages are initialized, which keeps a container's start short. The
// shim is the parent that remains: it adopts the task when the launcher ends.
//
// Invariants: the launcher tells the shim either the task's process id or, in
// words, why there is none, and leaves nothing behind in the second case.
//
//	spec := &entry.Spec{Root: dir, ID: "task", Config: config, ...}
//	payload, err := spec.Encode()
//	shim.Start(ctx, &shim.Config{Launch: payload, ...})
package entry

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // device rules
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // namespaces, before Go starts
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/drivers/shim"
)

// initArg and initEnv mark libcontainer's own process; both are its choice.
const (
	initArg = "init"
	initEnv = "_LIBCONTAINER_INITPIPE"
)

// Spec is one container to start.
type Spec struct {
	// Root and ID name libcontainer's state: directory Root/ID.
	Root, ID string
	Config   *configs.Config
	Args     []string
	Env      []string
	Cwd      string
	UID, GID int
	Groups   []int
	// JoinLast are cgroup.procs files that the task joins after libcontainer has
	// placed it.
	JoinLast []string
}

// Encode is the payload for shim.Config.Launch.
func (s *Spec) Encode() ([]byte, error) { return json.Marshal(s) }

func init() { Main(os.Args) }

// Main takes over a process that was started as launcher or as libcontainer's
// init, and never returns from it; for any other it returns false. It has run
// before main does: calling it there changes nothing, but shows where the
// process forks.
func Main(args []string) (handled bool) {
	switch {
	case len(args) < 2:
		return false
	case args[1] == initArg && os.Getenv(initEnv) != "":
		debug.SetGCPercent(-1) // lives for milliseconds
		libcontainer.Init()
	case args[1] == shim.LauncherArg && len(args) == 2:
		debug.SetGCPercent(-1)
		os.Exit(launch())
	}
	return false
}

// launch is the launcher's whole life.
func launch() int {
	report := shim.NewReport()
	// Its words would end in the task's log otherwise.
	logrus.SetLevel(logrus.WarnLevel)
	logrus.SetFormatter(&logrus.TextFormatter{DisableColors: true, DisableTimestamp: true})
	logrus.SetOutput(warner{report})
	var spec Spec
	if err := json.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		report.Failed(fmt.Errorf("the container launcher cannot read its task: %w", err))
		return 1
	}
	pid, err := spec.start()
	if err != nil {
		report.Failed(spec.InWords(err))
		return 1
	}
	if err := report.Started(pid); err != nil {
		return 1
	}
	return 0
}

// warner makes events of the task out of what libcontainer logs.
type warner struct{ report *shim.Report }

func (w warner) Write(p []byte) (int, error) {
	w.report.Warn(strings.TrimSpace(string(p)))
	return len(p), nil
}

// start runs the container and returns the process id of its init.
func (s *Spec) start() (pid int, err error) {
	container, err := libcontainer.Create(s.Root, s.ID, s.Config)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			if s.outOfMemory() {
				err = errors.New(outOfMemory)
			}
			_ = container.Signal(unix.SIGKILL)
			err = errors.Join(err, s.discard())
		}
	}()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	p := s.Process()
	p.Init, p.Stdin, p.Stdout, p.Stderr = true, null, os.Stdout, os.Stderr
	if err := container.Start(p); err != nil {
		return 0, err
	}
	if pid, err = p.Pid(); err != nil {
		return 0, err
	}
	for _, file := range s.JoinLast {
		if err := cgroups.WriteCgroupProc(filepath.Dir(file), pid); err != nil {
			return 0, err
		}
	}
	before := comm(pid)
	if err := container.Exec(); err != nil {
		return 0, err
	}
	return pid, s.awaitExec(pid, before)
}

// The task's program replaces libcontainer's init a moment after that was told
// to go on. Until then a signal would hit the wrong program.
const (
	execPoll = 100 * time.Microsecond
	execWait = 5 * time.Second
)

// awaitExec returns once the process has another name than before, or an error
// when it ended under that name, which means that the kernel refused the program.
func (s *Spec) awaitExec(pid int, before string) error {
	for end := time.Now().Add(execWait); comm(pid) == before; time.Sleep(execPoll) {
		var ws unix.WaitStatus
		if got, _ := unix.Wait4(pid, &ws, unix.WNOHANG, nil); got == pid {
			return fmt.Errorf("exec: %q: %s", s.Args[0], refused)
		}
		if time.Now().After(end) {
			return fmt.Errorf("the task's program was not executed within %v", execWait)
		}
	}
	return nil
}

// comm is the name of a process, also of one that has ended and not been reaped.
func comm(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return string(b)
}

// Process is the task's main process, or with other Args one like it.
func (s *Spec) Process() *libcontainer.Process {
	return &libcontainer.Process{
		Args: s.Args, Env: s.Env, Cwd: s.Cwd, UID: s.UID, GID: s.GID, AdditionalGroups: s.Groups,
	}
}

// outOfMemory tells whether the container's own start did not fit its limit.
func (s *Spec) outOfMemory() bool {
	m, err := manager.New(s.Config.Cgroups)
	if err != nil {
		return false
	}
	n, err := m.OOMKillCount()
	return err == nil && n > 0
}

// discard removes the state directory of a container that did not start.
func (s *Spec) discard() error { return os.RemoveAll(filepath.Join(s.Root, s.ID)) }
