package shim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// enterArg makes the constructor in shim_main.c run a program beside a task.
const enterArg = "__enter"

// Visitor is a program that runs beside a task, in its cgroup and as its user,
// but as a child of this process and without a shim.
type Visitor struct {
	cmd *exec.Cmd
}

// Enter runs c.Path with the given streams, placed like a task of the same
// Config (Join, Credential, WorkDir, Env); Dir, Logs and Launch are not used.
// With terminal set, stdin is a terminal that becomes the controlling one.
func Enter(ctx context.Context, c *Config, stdin, stdout, stderr *os.File, terminal bool) (*Visitor, error) {
	own := *c
	c, own.Dir = &own, "/"
	if err := c.validate(); err != nil {
		return nil, err
	}
	msg, err := c.encode("")
	if err != nil {
		return nil, err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(ends[1]), "enter")
	defer theirs.Close()
	if err := unix.SetNonblock(ends[0], true); err != nil {
		unix.Close(ends[0])
		return nil, os.NewSyscallError("fcntl", err)
	}
	ours := os.NewFile(uintptr(ends[0]), "enter")
	defer ours.Close()
	cmd := exec.Command(selfExe)
	cmd.Args = []string{"steppe-enter", enterArg}
	cmd.Dir = "/"
	cmd.Env = []string{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: terminal}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot create a process beside the task: %w", err)
	}
	theirs.Close()
	stop := context.AfterFunc(ctx, func() { ours.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := readNotes(ours, msg, c); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return &Visitor{cmd}, nil
}

// readNotes sends the configuration and reads struct child_note until the
// program runs, which closes the socket. Refused optional settings are ignored
// here: the task's own start has reported them.
func readNotes(f *os.File, msg []byte, c *Config) error {
	if _, err := f.Write(msg); err != nil {
		return err
	}
	var note [12]byte
	for have := 0; ; {
		n, err := f.Read(note[have:])
		if have += n; have == len(note) {
			have = 0
			word := func(i int) uint32 { return binary.NativeEndian.Uint32(note[4*i:]) }
			if word(0) != 0 {
				return &StartError{Stage: Stage(word(1)), Errno: syscall.Errno(word(2)), cfg: c}
			}
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			return nil // end of file, or reset by the close
		}
	}
}

// Wait returns the exit status, or 128 + signal with the signal.
func (v *Visitor) Wait() (code, signal int, err error) {
	err = v.cmd.Wait()
	if ws, ok := v.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return signalBase + int(ws.Signal()), int(ws.Signal()), nil
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return 0, 0, err
	}
	return v.cmd.ProcessState.ExitCode(), 0, nil
}

// Kill ends the program and its session's process group.
func (v *Visitor) Kill() error {
	err := unix.Kill(-v.cmd.Process.Pid, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
