package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"
	"golang.org/x/sys/unix"
)

// drainTime is how long a dead process's last words are read; its children may
// hold the pipe open for ever.
const drainTime = 200 * time.Millisecond

// child is a started plugin process, as go-plugin's runner. Its log goes to
// lines and not through go-plugin, so that it can be read again after a
// reattachment in the same way.
type child struct {
	ctx    context.Context // of the start alone
	cmd    *exec.Cmd
	detach bool
	lines  *lineLog

	process        atomic.Pointer[os.Process]
	stdout, stderr *os.File // our ends of its pipes
	done           chan struct{}
	exit           error // of the process, once done is closed
	logs           sync.WaitGroup
}

var _ runner.Runner = (*child)(nil)

// pipe makes a pipe whose writing end is open for reading too: as long as the
// process lives, its own end is a reader, so that losing the host's end does not
// kill it when it writes.
func pipe() (read, write *os.File, err error) {
	read, oneWay, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer oneWay.Close()
	// Not os.OpenFile, which would make it non-blocking, for the child as well.
	path := fmt.Sprintf("/proc/self/fd/%d", oneWay.Fd())
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		read.Close()
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return read, os.NewFile(uintptr(fd), "pipe"), nil
}

// Start starts the process in a session of its own, out of reach of the signals
// of the agent's terminal.
func (c *child) Start(context.Context) error {
	stdout, childOut, err := pipe()
	if err != nil {
		return err
	}
	defer childOut.Close()
	stderr, childErr, err := pipe()
	if err != nil {
		stdout.Close()
		return err
	}
	defer childErr.Close()
	c.stdout, c.stderr = stdout, stderr
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = nil, childOut, childErr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !c.detach {
		c.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	started := make(chan error, 1)
	go c.live(started)
	if err := <-started; err != nil {
		stdout.Close()
		stderr.Close()
		return err
	}
	if c.ctx.Err() != nil {
		// Its end came before there was a process to kill.
		return errors.Join(c.ctx.Err(), c.Kill(c.ctx))
	}
	return nil
}

// live starts the process and waits for its end, on one thread: the kernel takes
// the death of the thread that started a process for the death of its parent.
func (c *child) live(started chan<- error) {
	if !c.detach {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	defer close(c.done)
	if err := c.cmd.Start(); err != nil {
		started <- err
		return
	}
	c.process.Store(c.cmd.Process)
	c.logs.Go(func() { _, _ = io.Copy(c.lines, c.stderr) })
	started <- nil
	c.exit = c.cmd.Wait()
	deadline := time.Now().Add(drainTime)
	// Pipes of the runtime's poller take deadlines.
	_ = c.stdout.SetReadDeadline(deadline)
	_ = c.stderr.SetReadDeadline(deadline)
	c.logs.Wait()
	c.stderr.Close()
	c.stdout.Close()
}

// Wait waits for the end of the process.
func (c *child) Wait(context.Context) error {
	<-c.done
	return c.exit
}

// Kill ends the process at once; fine when there is none.
func (c *child) Kill(context.Context) error {
	p := c.process.Load()
	if p == nil {
		return nil
	}
	if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// release leaves the log of the process to another reader.
func (c *child) release() { _ = c.stderr.SetReadDeadline(time.Now()) }

// Stdout carries the handshake.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr is empty: lines reads the real one.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the program's path.
func (c *child) Name() string { return c.cmd.Path }

// ID is the process id, empty without a process.
func (c *child) ID() string {
	if p := c.process.Load(); p != nil {
		return strconv.Itoa(p.Pid)
	}
	return ""
}

// Diagnose explains a handshake that is none.
func (c *child) Diagnose(context.Context) string {
	return "The program is not a plugin, or was built for another machine, or lacks a library."
}

// PluginToHost and HostToPlugin leave addresses alone: both are on one machine.
func (c *child) PluginToHost(network, addr string) (string, string, error) { return network, addr, nil }

// HostToPlugin is the other direction.
func (c *child) HostToPlugin(network, addr string) (string, string, error) { return network, addr, nil }
