package shim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// selfExe is this program even after its file was replaced by an upgrade.
const selfExe = "/proc/self/exe"

// shimArg makes the constructor in shim_main.c take over.
const shimArg = "__shim"

// maxWarnings bounds what a start keeps of refused optional settings.
const maxWarnings = 32

var bootID = sync.OnceValue(func() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
})

var devNull = sync.OnceValues(func() (*os.File, error) { return os.OpenFile(os.DevNull, os.O_RDWR, 0) })

// Start runs a task under a new shim and returns once its program has been
// executed. The error is a *StartError when the task is to blame. When ctx ends
// first, everything that was started is killed.
func Start(ctx context.Context, c *Config) (*Task, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	msg, err := c.encode(bootID())
	if err != nil {
		return nil, err
	}
	if err := makeControlDir(c); err != nil {
		return nil, err
	}
	p, err := spawn(c.Title)
	if err != nil {
		os.RemoveAll(c.Dir)
		return nil, fmt.Errorf("cannot start the task's shim: %w", err)
	}
	defer p.control.Close()
	t, err := p.converse(ctx, c, msg)
	if err != nil {
		p.abandon(c)
		os.RemoveAll(c.Dir)
		return nil, err
	}
	return t, nil
}

func makeControlDir(c *Config) error {
	if err := os.MkdirAll(filepath.Dir(c.Dir), 0o755); err != nil {
		return fmt.Errorf("cannot make the task's control directory: %w", err)
	}
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the task's control directory: %w", err)
	}
	for name, text := range c.Files {
		if err := os.WriteFile(filepath.Join(c.Dir, name), text, 0o644); err != nil {
			os.RemoveAll(c.Dir)
			return fmt.Errorf("cannot write the task's %s: %w", name, err)
		}
	}
	return nil
}

// process is a shim that has not yet reported.
type process struct {
	pid     int
	pidfd   int
	control *os.File
}

func spawn(title string) (*process, error) {
	null, err := devNull()
	if err != nil {
		return nil, err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(ends[1])
	if err := unix.SetNonblock(ends[0], true); err != nil {
		unix.Close(ends[0])
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &process{pidfd: -1, control: os.NewFile(uintptr(ends[0]), "shim")}
	n := null.Fd()
	p.pid, err = syscall.ForkExec(selfExe, []string{strings.TrimSpace("steppe-shim " + title), shimArg}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: []uintptr{n, n, n, uintptr(ends[1])},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &p.pidfd},
	})
	if err != nil {
		p.control.Close()
		return nil, err
	}
	if p.pidfd < 0 {
		p.kill()
		p.control.Close()
		return nil, errors.New("this kernel has no pidfd (Linux 5.4 or newer is needed)")
	}
	return p, nil
}

// converse sends the configuration and reads the shim's report.
func (p *process) converse(ctx context.Context, c *Config, msg []byte) (*Task, error) {
	stop := context.AfterFunc(ctx, func() { p.control.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := p.control.Write(msg); err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("the task's shim ended before it was told what to run: %w", err)
	}
	var warnings []string
	in := bufio.NewReaderSize(p.control, 4096)
	for {
		line, err := in.ReadString('\n')
		if ctx.Err() != nil {
			return nil, fmt.Errorf("start given up: %w", context.Cause(ctx))
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("it ended")
			}
			return nil, fmt.Errorf("the task's shim did not report: %w", err)
		}
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch verb {
		case "ok":
			return p.started(c, rest, warnings)
		case "err":
			stage, errno := parseFailure(rest)
			return nil, &StartError{Stage: stage, Errno: errno, cfg: c}
		case "text":
			return nil, &StartError{Stage: StageLauncher, Text: unescape(rest), cfg: c}
		case "warn":
			if len(warnings) < maxWarnings {
				warnings = append(warnings, warningText(parseFailure(rest)))
			}
		case "note":
			if len(warnings) < maxWarnings {
				warnings = append(warnings, unescape(rest))
			}
		}
	}
}

func (p *process) started(c *Config, report string, warnings []string) (*Task, error) {
	var pid int
	var ticks uint64
	var at int64
	if _, err := fmt.Sscan(report, &pid, &ticks, &at); err != nil {
		return nil, fmt.Errorf("the task's shim reported %q", report)
	}
	t := &Task{
		dir: c.Dir, killDir: c.KillDir, shimPID: p.pid,
		pid: pid, start: ticks, startedAt: time.Unix(0, at), Warnings: warnings,
		done: make(chan struct{}),
	}
	if err := t.watchShim(p.pidfd); err != nil {
		return nil, err
	}
	return t, nil
}

func (p *process) kill() {
	unix.Kill(p.pid, unix.SIGKILL)
	for {
		_, err := unix.Wait4(p.pid, nil, 0, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// abandon ends a shim whose start failed, and what it may have started.
func (p *process) abandon(c *Config) {
	p.kill()
	unix.Close(p.pidfd)
	if c.KillDir != "" {
		killCgroup(c.KillDir)
	}
}
