package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrExited is returned for a signal to a task that has ended.
var ErrExited = errors.New("the task has already exited")

// ErrNoTask is returned by Load when the directory holds no task of this boot.
var ErrNoTask = errors.New("no task was started in this control directory")

// signalBase is what shells add to a signal to make an exit code of it.
const signalBase = 128

// Exit tells how a task ended.
type Exit struct {
	// Code is the exit status, or 128 + Signal.
	Code   int
	Signal int
	At     time.Time
	// Lost is set when nobody could record the exit: the shim was killed, or
	// the machine restarted.
	Lost bool
	// Stragglers is how many descendants were killed after the task's end.
	Stragglers int
	// DroppedLogBytes could not be written, for instance on a full disk.
	DroppedLogBytes uint64
}

// Task is a running or ended task. All methods are safe for concurrent use.
type Task struct {
	dir, killDir string
	shimPID      int
	pid          int
	start        uint64 // of pid, in ticks since boot
	startedAt    time.Time
	pidfd        *os.File // of the shim; nil if it was gone already
	done         chan struct{}
	exit         Exit // valid when done is closed
	release      sync.Once
	// Warnings are optional settings that the kernel refused, in words.
	Warnings []string
}

// PID of the task's main process, in the host's numbering.
func (t *Task) PID() int { return t.pid }

// ShimPID is the process id of the task's shim.
func (t *Task) ShimPID() int { return t.shimPID }

// StartedAt is when the task's program was executed.
func (t *Task) StartedAt() time.Time { return t.startedAt }

// Done is closed when the task has ended and its exit is known.
func (t *Task) Done() <-chan struct{} { return t.done }

// Exited returns how the task ended, and whether it has.
func (t *Task) Exited() (Exit, bool) {
	select {
	case <-t.done:
		return t.exit, true
	default:
		return Exit{}, false
	}
}

// Wait blocks until the task has ended or ctx does.
func (t *Task) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-t.done:
		return t.exit, nil
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Signal sends sig to the task's main process.
func (t *Task) Signal(sig syscall.Signal) error {
	if _, over := t.Exited(); over {
		return ErrExited
	}
	err := signalProcess(t.pid, t.start, sig)
	if errors.Is(err, unix.ESRCH) {
		return ErrExited
	}
	return err
}

// Kill ends the task and all its descendants and waits until they are gone and
// the exit is recorded.
func (t *Task) Kill(ctx context.Context) error {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		// The shim ends the descendants once the main process is dead; the
		// cgroup is killed too in case that one cannot be.
		err := signalProcess(t.pid, t.start, unix.SIGKILL)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		select {
		case <-t.done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("the task did not die: %w", context.Cause(ctx))
		case <-time.After(wait):
		}
		if t.killDir != "" {
			killCgroup(t.killDir)
		}
	}
}

// Release forgets the task without touching it: Done is closed only if the task
// has already ended. The Task is of no use afterwards.
func (t *Task) Release() {
	t.release.Do(func() {
		if t.pidfd != nil {
			t.pidfd.Close()
		}
	})
}

// Remove deletes the control directory of an ended task and releases it.
func (t *Task) Remove() error {
	if _, over := t.Exited(); !over {
		return errors.New("the task is still running")
	}
	t.Release()
	return os.RemoveAll(t.dir)
}

// watchShim takes over pidfd and starts the goroutine that waits for the shim's
// end; it owns the result and ends with the shim or with Release. It sleeps in
// the runtime's own poller, so a thousand tasks need no thread.
func (t *Task) watchShim(pidfd int) error {
	if err := unix.SetNonblock(pidfd, true); err != nil {
		unix.Close(pidfd)
		return os.NewSyscallError("fcntl", err)
	}
	t.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	conn, err := t.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	go func() {
		if conn.Read(hasExited) == nil {
			t.ended()
		}
	}()
	return nil
}

func hasExited(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(p, 0)
	return n > 0
}

// ended collects what the shim left behind.
func (t *Task) ended() {
	var ws unix.WaitStatus
	reaped, err := unix.Wait4(t.shimPID, &ws, unix.WNOHANG, nil)
	exit, ok := readExit(t.dir)
	switch {
	case ok:
	case err == nil && reaped == t.shimPID && ws.Exited():
		// The record could not be written (a vanished directory); the shim's
		// own status tells the same.
		exit = Exit{Code: ws.ExitStatus(), At: time.Now()}
		if exit.Code > signalBase {
			exit.Signal = exit.Code - signalBase
		}
	default:
		exit = Exit{Lost: true, Code: signalBase + int(unix.SIGKILL), Signal: int(unix.SIGKILL), At: time.Now()}
		killOrphans(t.pid, t.start, t.killDir)
	}
	t.exit = exit
	close(t.done)
}

func readExit(dir string) (Exit, bool) {
	b, err := os.ReadFile(filepath.Join(dir, "exit"))
	if err != nil {
		return Exit{}, false
	}
	r := parseRecord(b)
	if r == nil {
		return Exit{}, false
	}
	e := Exit{
		Code: int(r.num("code")), Signal: int(r.num("signal")), At: time.Unix(0, r.num("time")),
		Stragglers: int(r.num("stragglers")), DroppedLogBytes: uint64(r.num("dropped")),
	}
	if e.Signal != 0 {
		e.Code = signalBase + e.Signal
	}
	return e, true
}

// Load takes over the task whose shim keeps its records in dir. An ended task
// is returned as such; a task whose shim vanished without a record is killed
// and reported lost.
func Load(dir string) (*Task, error) {
	b, err := os.ReadFile(filepath.Join(dir, "status"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNoTask
	}
	if err != nil {
		return nil, err
	}
	r := parseRecord(b)
	if r == nil {
		return nil, fmt.Errorf("the status record in %s is damaged", dir)
	}
	t := &Task{
		dir: dir, killDir: r["cgroup"], shimPID: int(r.num("shim")),
		pid: int(r.num("pid")), start: uint64(r.num("start")),
		startedAt: time.Unix(0, r.num("time")), done: make(chan struct{}),
	}
	if r["boot"] != bootID() {
		t.pid, t.start, t.killDir = 0, 0, "" // the numbers mean nothing any more
		t.ended()
		return t, nil
	}
	fd, err := openProcess(t.shimPID, uint64(r.num("shimstart")))
	if err != nil {
		t.ended()
		return t, nil
	}
	return t, t.watchShim(fd)
}
