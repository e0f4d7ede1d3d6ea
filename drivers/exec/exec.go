package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/drivers/entry"
	"github.com/steppe-project/steppe/drivers/shim/session"
	"github.com/steppe-project/steppe/plugins"
)

// ExecTask implements plugins.ExecTasker.
func (d *Driver) ExecTask(ctx context.Context, id string, command []string, timeout time.Duration) (*plugins.ExecResult, error) {
	cmd, err := d.inside(id, command)
	if err != nil {
		return nil, err
	}
	return session.Capture(ctx, cmd, timeout)
}

// ExecTaskStreaming implements plugins.ExecTasker.
func (d *Driver) ExecTaskStreaming(ctx context.Context, id string, opts *plugins.ExecOptions) (*plugins.ExitResult, error) {
	cmd, err := d.inside(id, opts.Command)
	if err != nil {
		return nil, err
	}
	return session.Stream(ctx, cmd, opts)
}

// inside plans a command in the task's container, as the task's user.
func (d *Driver) inside(id string, command []string) (*visitor, error) {
	task, err := d.Get(id)
	if err != nil {
		return nil, err
	}
	if _, over := task.Shim.Exited(); over {
		return nil, errors.New("the task is not running")
	}
	if len(command) == 0 {
		return nil, errors.New("no command to run")
	}
	conf := d.settings()
	t, err := parseTask(conf, task.Config.Msgpack)
	if err != nil {
		return nil, err
	}
	t.command, t.args = command[0], command[1:]
	p := &planner{conf: conf, c: task.Config, t: t, tree: d.Tree(), scope: task.Scope, dir: task.State.Dir}
	spec, err := p.spec()
	if err != nil {
		return nil, err
	}
	container, err := libcontainer.Load(task.State.Dir, containerID)
	if err != nil {
		return nil, fmt.Errorf("the task's container: %w", err)
	}
	return &visitor{container: container, spec: spec, process: spec.Process()}, nil
}

// visitor implements session.Command with a process in the task's container.
type visitor struct {
	container *libcontainer.Container
	spec      *entry.Spec
	process   *libcontainer.Process
}

// starts keeps starts of visitors apart: libcontainer marks all descriptors of
// this process close-on-exec while it starts one.
var starts sync.Mutex

func (v *visitor) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	starts.Lock()
	defer starts.Unlock()
	if err := v.container.Run(v.process); err != nil {
		return v.spec.InWords(err)
	}
	return nil
}

func (v *visitor) StartPipes(ctx context.Context, stdin, stdout, stderr *os.File) error {
	v.process.Stdin, v.process.Stdout, v.process.Stderr = stdin, stdout, stderr
	return v.run(ctx)
}

// StartTerminal lets libcontainer make the terminal inside the container and
// takes its master from the socket by which it is handed out.
func (v *visitor) StartTerminal(ctx context.Context) (*os.File, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(ends[0])
	theirs := os.NewFile(uintptr(ends[1]), "console")
	defer theirs.Close()
	v.process.ConsoleSocket = theirs
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	master, err := receiveFile(ends[0])
	if err != nil {
		_ = v.Kill()
		_, _ = v.process.Wait()
		return nil, fmt.Errorf("the command's terminal: %w", err)
	}
	return master, nil
}

// receiveFile takes one descriptor that was sent by a process that has started
// already, so that it does not wait.
func receiveFile(socket int) (*os.File, error) {
	name, rights := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, name, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("no descriptor arrived")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("no descriptor arrived")
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}

func (v *visitor) Wait() (plugins.ExitResult, error) {
	state, err := v.process.Wait()
	if exit := (*osexec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return plugins.ExitResult{}, err
	}
	ws, _ := state.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return plugins.ExitResult{ExitCode: 128 + int(ws.Signal()), Signal: int(ws.Signal())}, nil
	}
	return plugins.ExitResult{ExitCode: state.ExitCode()}, nil
}

func (v *visitor) Kill() error {
	err := v.process.Signal(unix.SIGKILL)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
