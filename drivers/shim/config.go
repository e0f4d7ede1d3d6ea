package shim

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// maxConfigBytes bounds the encoded configuration; shim.h has the same figure
// (SHIM_MAX_CONFIG): the kernel accepts about 6 MiB of arguments and
// environment, and a launcher's payload holds them once more.
const maxConfigBytes = 32 << 20

// Limits of lists in a Config; shim.h has the same figures.
const (
	maxJoin    = 16
	maxRlimits = 16
	maxGroups  = 1024
)

// Config describes one task to start.
type Config struct {
	// Dir is the control directory of this run, made by Start; it must not hold
	// an earlier run. Absolute.
	Dir string
	// Title is shown by ps beside the shim, for people; may be empty.
	Title string
	// Path of the program, absolute; Args includes the program's own name.
	Path string
	Args []string
	// Env holds KEY=VALUE pairs.
	Env     []string
	WorkDir string
	// Credential of the task; nil = that of the caller.
	Credential *Credential
	// Join lists cgroup.procs files that the task writes itself into.
	Join []string
	// KillDir is the cgroup directory (v2, or v1 freezer) whose processes end
	// with the task; may be empty.
	KillDir string
	// Network is the path of a network namespace to enter; empty = the host's.
	Network string
	Rlimits []Rlimit
	// OOMScoreAdj, if set, from -1000 to 1000.
	OOMScoreAdj *int
	// Logs, if set, makes the shim pump and rotate both output streams; else
	// Stdout and Stderr are paths to open (empty = /dev/null).
	Logs           *LogFiles
	Stdout, Stderr string
	// Files are written into Dir before the start, for the task to be mounted.
	Files map[string][]byte
	// Launch, if set, is handed on standard input to a launcher: the executable
	// Launcher (empty = this binary) with the argument LauncherArg. The launcher
	// starts the task, reports it with a Report, and exits; Path and Args are
	// then ignored.
	Launch   []byte
	Launcher string
}

// Credential is a resolved user.
type Credential struct {
	UID, GID uint32
	Groups   []uint32
}

// Rlimit is one resource limit, as in setrlimit(2).
type Rlimit struct {
	Resource   int
	Soft, Hard uint64
}

// LogFiles says where logs go: Dir/<Name>.stdout.N and Dir/<Name>.stderr.N with
// N rising, at most MaxFiles files of MaxBytes each per stream (0 = 10 of 10 MiB).
type LogFiles struct {
	Dir      string
	Name     string
	MaxFiles int
	MaxBytes int64
}

func (c *Config) validate() error {
	switch {
	case !filepath.IsAbs(c.Dir) || !filepath.IsAbs(c.WorkDir):
		return fmt.Errorf("control directory %q and working directory %q must be absolute", c.Dir, c.WorkDir)
	case c.Launch == nil && (!filepath.IsAbs(c.Path) || len(c.Args) == 0):
		return fmt.Errorf("program %q must be an absolute path with at least its own name as argument", c.Path)
	case len(c.Join) > maxJoin || len(c.Rlimits) > maxRlimits:
		return errors.New("too many cgroups or resource limits")
	case c.Credential != nil && len(c.Credential.Groups) > maxGroups:
		return fmt.Errorf("the user is in more than %d groups", maxGroups)
	case c.Logs != nil && (c.Logs.Name == "" || strings.ContainsAny(c.Logs.Name, "/\x00")):
		return fmt.Errorf("log name %q is not a file name", c.Logs.Name)
	}
	return nil
}
