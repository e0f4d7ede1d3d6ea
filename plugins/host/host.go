// Package host is the agent's side of plugin processes: it finds, starts,
// checks, configures, keeps and stops them, over hashicorp/go-plugin's
// handshake, and encodes their configurations.
//
//	s, err := host.NewSupervisor(host.SupervisorConfig{
//		Options: host.Options{Name: "raw_exec", Path: host.Self, Args: []string{"plugin", "raw_exec"}, Detach: true},
//		Saved:   reattach, Save: db.PutPlugin,
//	})
//	go s.Run(ctx)
//	inst, err := s.Instance(ctx) // waits until it runs
//	handle, _, err := inst.Driver.StartTask(ctx, config)
//
// Invariants: a detached plugin outlives the agent and is found again by its
// Reattach; a plugin never dies of a signal to the agent's terminal, nor of
// writing a log line that nobody reads; the death of a process is noticed at
// once (Process.Done) whatever its children hold open; a stop takes at most two
// seconds, then the process is killed.
package host

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/steppe-project/steppe/plugins"
)

// Self is the path of this process's own program, for plugins that are built
// in: it stays the same program when the file is replaced by an upgrade.
const Self = "/proc/self/exe"

const (
	// DefaultStartTimeout is how long a process has for its handshake.
	DefaultStartTimeout = time.Minute
	// stopGrace is how long a process has to end once asked.
	stopGrace = 2 * time.Second
	// maxSocketDir leaves room for the names that go-plugin appends, within the
	// 107 bytes of a unix socket's path.
	maxSocketDir = 60
)

// ErrGone says that the process of a Reattach does not run any more.
var ErrGone = errors.New("the plugin process does not run any more")

// Options say how to run a plugin's process.
type Options struct {
	// Name for logs and errors.
	Name string
	// Path of the program, Args after its name, Env added to the agent's own.
	Path string
	Args []string
	Env  []string
	// Log receives what the plugin logs; nil means slog's default.
	Log *slog.Logger
	// Detach lets the process outlive this one; otherwise the kernel kills it
	// when this process dies.
	Detach bool
	// SocketDir is where the process makes its socket, made if it is not there; a
	// path of more than 60 bytes, or none, means the system's temporary folder.
	SocketDir string
	// StartTimeout bounds the handshake; 0 means DefaultStartTimeout.
	StartTimeout time.Duration
}

func (o *Options) log() *slog.Logger {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	return log.With("plugin", o.Name)
}

func (o *Options) startTimeout() time.Duration {
	if o.StartTimeout > 0 {
		return o.StartTimeout
	}
	return DefaultStartTimeout
}

func (o *Options) socketDir() string {
	if len(o.SocketDir) > maxSocketDir {
		return ""
	}
	return o.SocketDir
}

// environ is what the process gets; the later of two equal names counts.
func (o *Options) environ() []string { return append(os.Environ(), o.Env...) }

// Reattach finds a plugin's process again; keep it, as JSON, over restarts.
type Reattach struct {
	Network string `json:"network"`
	Addr    string `json:"addr"`
	PID     int    `json:"pid"`
	// StartTicks is when the kernel started the process, so that a number used
	// again is not taken for it.
	StartTicks uint64 `json:"start_ticks"`
	// SocketDir is removed with the process; may be empty.
	SocketDir string `json:"socket_dir,omitempty"`
	// Build is the caller's word for the program and its configuration: a plugin
	// of another build is replaced rather than reattached.
	Build string `json:"build,omitempty"`
}

// compatible tells whether a plugin speaks the API version that this host does.
func compatible(info *plugins.Info) bool {
	for _, v := range info.APIVersions {
		if v == plugins.APIVersion {
			return true
		}
	}
	return false
}
