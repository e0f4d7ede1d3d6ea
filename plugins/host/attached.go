package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"
	"golang.org/x/sys/unix"
)

// attached is a plugin process that another process started, as go-plugin's
// runner.
type attached struct {
	pid    int
	pidfd  *os.File
	stderr *os.File // nil when it cannot be read
	done   chan struct{}

	mu    sync.Mutex // pidfd is open until ended
	ended bool
}

var _ runner.AttachedRunner = (*attached)(nil)

// dialTime bounds the first connection to a process that may hang.
const dialTime = 2 * time.Second

// attach finds the process of r and reads its log. ErrGone when it does not run,
// or does not listen.
func attach(r *Reattach, lines *lineLog) (*attached, error) {
	fd, err := unix.PidfdOpen(r.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("%w: process %d: %w", ErrGone, r.PID, err)
	}
	a := &attached{pid: r.PID, pidfd: os.NewFile(uintptr(fd), "pidfd"), done: make(chan struct{})}
	// Looked at once the descriptor is held, so that it is of this process.
	ticks, err := startTicks(r.PID)
	if err != nil || ticks != r.StartTicks {
		a.pidfd.Close()
		return nil, fmt.Errorf("%w: process %d is another one now", ErrGone, r.PID)
	}
	if a.stderr, err = os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", r.PID), os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		lines.log.Warn("cannot read the log of the reattached plugin", "error", err)
	}
	go a.live(lines)
	conn, err := net.DialTimeout(r.Network, r.Addr, dialTime)
	if err != nil {
		// It is ours, and of no use: it must not live beside its successor.
		err = errors.Join(fmt.Errorf("%w: process %d does not listen: %w", ErrGone, r.PID, err), a.Kill(context.Background()))
		<-a.done
		return nil, err
	}
	return a, conn.Close()
}

// live waits for the end of the process and reads its log until then.
func (a *attached) live(lines *lineLog) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		if a.stderr != nil {
			_, _ = io.Copy(lines, a.stderr)
		}
	}()
	a.wait()
	if a.stderr != nil {
		_ = a.stderr.SetReadDeadline(time.Now().Add(drainTime))
		<-read
		a.stderr.Close()
	}
	a.mu.Lock()
	a.pidfd.Close()
	a.ended = true
	a.mu.Unlock()
	close(a.done)
}

// release leaves the log of the process to another reader.
func (a *attached) release() {
	if a.stderr != nil {
		_ = a.stderr.SetReadDeadline(time.Now())
	}
}

// wait returns when the process has ended, which makes its pidfd readable.
func (a *attached) wait() {
	conn, err := a.pidfd.SyscallConn()
	if err == nil {
		err = conn.Read(func(fd uintptr) bool {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, 0)
			return err == nil && n > 0
		})
	}
	// The runtime could not wait on the descriptor: ask now and then.
	for err != nil && !errors.Is(unix.PidfdSendSignal(int(a.pidfd.Fd()), 0, nil, 0), unix.ESRCH) {
		time.Sleep(drainTime)
	}
}

// Wait waits for the end of the process.
func (a *attached) Wait(context.Context) error {
	<-a.done
	return nil
}

// Kill ends the process at once; fine when it has ended.
func (a *attached) Kill(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return nil
	}
	conn, err := a.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	if errors.Is(sent, unix.ESRCH) {
		sent = nil
	}
	return errors.Join(err, sent)
}

// ID is the process id.
func (a *attached) ID() string { return strconv.Itoa(a.pid) }

// PluginToHost leaves addresses alone.
func (a *attached) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

// HostToPlugin is the other direction.
func (a *attached) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// startTicks is when a process started, in clock ticks after the boot: field 22
// of /proc/<pid>/stat, counted behind the name, which may hold anything.
func startTicks(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("unreadable state of process %d", pid)
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}
