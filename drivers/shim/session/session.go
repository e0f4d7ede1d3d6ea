// Package session runs one command beside a task with the streams of an exec
// call attached: pipes, or a terminal.
//
// Contract: a driver says how to start its kind of command (Command); Stream
// and Capture do the rest of plugins.ExecTasker. The command is killed when the
// context ends. Invariants: all output that the command wrote before its exit
// is delivered; a background process that keeps the output open holds nothing
// up for longer than drainWait; the copier of standard input, which may hang in
// a reader that never ends, is not waited for: it ends with the reader.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"golang.org/x/sys/unix"
)

// drainWait is how long output is still awaited after the command's exit from
// background processes that hold it open.
const drainWait = 500 * time.Millisecond

// Command is a program that can be run beside a task, once.
type Command interface {
	// StartPipes runs it with these files, which the caller closes afterwards.
	StartPipes(ctx context.Context, stdin, stdout, stderr *os.File) error
	// StartTerminal runs it on a new terminal and returns the terminal's master.
	StartTerminal(ctx context.Context) (*os.File, error)
	// Wait returns how it ended; called once after a successful start.
	Wait() (plugins.ExitResult, error)
	Kill() error
}

// Stream runs cmd with the streams of opts.
func Stream(ctx context.Context, cmd Command, opts *plugins.ExecOptions) (*plugins.ExitResult, error) {
	start := startPipes
	if opts.TTY {
		start = startTerminal
	}
	streams, err := start(ctx, cmd, opts)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Kill() })
	exit, err := cmd.Wait()
	stop()
	streams.finish()
	if err != nil {
		return nil, fmt.Errorf("wait for the command: %w", err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return &exit, nil
}

// attached are the streams of a running command.
type attached struct {
	outputs []*os.File     // our ends
	copiers sync.WaitGroup // of the outputs
	stdin   *os.File       // our end, nil for none
	resized chan struct{}  // closed to end the resizer
}

func (a *attached) copyOut(to io.Writer, from *os.File) {
	a.outputs = append(a.outputs, from)
	if to == nil {
		to = io.Discard
	}
	a.copiers.Go(func() {
		// The end of a terminal is an I/O error; of a pipe, end of file. A
		// reader that is gone must not stop the command: drain what it ignores.
		if _, err := io.Copy(to, from); err != nil {
			_, _ = io.Copy(io.Discard, from)
		}
	})
}

// resize applies terminal sizes, and takes those that mean nothing.
func (a *attached) resize(sizes <-chan plugins.TermSize, terminal *os.File) {
	a.resized = make(chan struct{})
	if sizes == nil {
		return
	}
	go func() {
		for {
			select {
			case <-a.resized:
				return
			case s, ok := <-sizes:
				if !ok {
					return
				}
				if terminal != nil {
					setSize(terminal, s)
				}
			}
		}
	}()
}

func setSize(terminal *os.File, s plugins.TermSize) {
	conn, err := terminal.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(s.Height), Col: uint16(s.Width)})
	})
}

// finish drains the outputs after the command's exit and closes everything.
func (a *attached) finish() {
	close(a.resized)
	if a.stdin != nil {
		a.stdin.Close()
	}
	for _, f := range a.outputs {
		_ = f.SetReadDeadline(time.Now().Add(drainWait))
	}
	a.copiers.Wait()
	for _, f := range a.outputs {
		f.Close()
	}
}

func startPipes(ctx context.Context, cmd Command, opts *plugins.ExecOptions) (*attached, error) {
	var theirs, ours [3]*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
	}
	defer func() { closeAll(theirs[:]) }()
	for i := range theirs {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(ours[:])
			return nil, err
		}
		theirs[i], ours[i] = w, r
		if i == 0 {
			theirs[i], ours[i] = r, w
		}
	}
	if err := cmd.StartPipes(ctx, theirs[0], theirs[1], theirs[2]); err != nil {
		closeAll(ours[:])
		return nil, err
	}
	a := &attached{stdin: ours[0]}
	a.copyOut(opts.Stdout, ours[1])
	a.copyOut(opts.Stderr, ours[2])
	a.resize(opts.Resize, nil)
	if opts.Stdin == nil {
		ours[0].Close()
		a.stdin = nil
		return a, nil
	}
	go func() {
		_, _ = io.Copy(ours[0], opts.Stdin)
		ours[0].Close()
	}()
	return a, nil
}

// endOfTransmission is what a terminal's user types to end the input.
const endOfTransmission = 4

func startTerminal(ctx context.Context, cmd Command, opts *plugins.ExecOptions) (*attached, error) {
	master, err := cmd.StartTerminal(ctx)
	if err != nil {
		return nil, err
	}
	a := &attached{}
	a.copyOut(opts.Stdout, master)
	a.resize(opts.Resize, master)
	if opts.Stdin != nil {
		go func() {
			_, _ = io.Copy(master, opts.Stdin)
			_, _ = master.Write([]byte{endOfTransmission})
		}()
	}
	return a, nil
}

// OpenTerminal makes a new terminal on the host: its master and its slave.
func OpenTerminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("no terminal: %w", err)
	}
	conn, err := master.SyscallConn()
	if err == nil {
		var number int
		var inner error
		err = conn.Control(func(fd uintptr) {
			if inner = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); inner == nil {
				number, inner = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			}
		})
		if err = errors.Join(err, inner); err == nil {
			slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
		}
	}
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("no terminal: %w", err)
	}
	return master, slave, nil
}

// Capture runs cmd without input and returns its output, each stream up to
// plugins.MaxExecOutput bytes. A timeout of 0 is none.
func Capture(ctx context.Context, cmd Command, timeout time.Duration) (*plugins.ExecResult, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the command was killed: it ran longer than %v", timeout))
		defer cancel()
	}
	var stdout, stderr bounded
	exit, err := Stream(ctx, cmd, &plugins.ExecOptions{Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return nil, err
	}
	return &plugins.ExecResult{Stdout: stdout.b, Stderr: stderr.b, Exit: *exit}, nil
}

// bounded keeps the first bytes written to it and drops the rest.
type bounded struct{ b []byte }

func (w *bounded) Write(p []byte) (int, error) {
	w.b = append(w.b, p[:min(len(p), plugins.MaxExecOutput-len(w.b))]...)
	return len(p), nil
}
