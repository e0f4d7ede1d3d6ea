package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is what goes wrong.
type Kind string

// The kinds; see the package's comment. None lets everything pass.
const (
	None       Kind = "none"
	Kill       Kind = "kill"
	Torn       Kind = "torn"
	EIO        Kind = "eio"
	ENOSPC     Kind = "enospc"
	PowerLost  Kind = "power-lost"
	PowerNames Kind = "power-names"
	PowerMixed Kind = "power-mixed"
)

// Fault is one thing that goes wrong, at the change with number At.
type Fault struct {
	At   int
	Kind Kind
}

// fullFor is how long a disk stays full.
const fullFor = 500 * time.Millisecond

// errNoListener: the watched process did not come under the watch.
var errNoListener = errors.New("no listener came")

// Recording is one run of a workload.
type Recording struct {
	Ops []Op
	// Reached is the op that the fault met, nil when the run had no such one.
	Reached *Op
	// Exit is the workload's exit code, -1 when it was killed; Text is what it
	// said last on its standard error.
	Exit int
	Text string
}

// Said lists the workload's words.
func (r *Recording) Said() []string {
	var out []string
	for i := range r.Ops {
		if r.Ops[i].Call == "said" {
			out = append(out, strings.Split(r.Ops[i].Said, "\n")...)
		}
	}
	return out
}

// Changes counts the fault points.
func (r *Recording) Changes() int {
	n := 0
	for i := range r.Ops {
		if r.Ops[i].Call != "said" {
			n++
		}
	}
	return n
}

// Points lists the fault points, sorted.
func (r *Recording) Points() []string {
	var out []string
	for i := range r.Ops {
		if r.Ops[i].Call != "said" {
			out = append(out, r.Ops[i].Point())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// watch is a run under way.
type watch struct {
	root     string
	fault    Fault
	listener int
	changes  int
	until    time.Time // the disk is full
	rec      Recording
}

// Watch runs a workload on dir, which must be absolute, with a fault.
func Watch(ctx context.Context, w *Work, dir string, f Fault) (*Recording, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(ends[0], true); err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "ours"), os.NewFile(uintptr(ends[1]), "theirs")
	defer ours.Close()
	cmd, out, text := command(ctx, w, dir, "run")
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	_ = theirs.Close() // the process has its own
	if err != nil {
		return nil, err
	}
	run := &watch{root: dir, fault: f}
	run.listener, err = receive(ours)
	if err == nil {
		err = run.serve()
	}
	if err != nil {
		_ = cmd.Process.Kill() // the first error is the one that tells
	}
	werr := cmd.Wait()
	if err != nil {
		return nil, fmt.Errorf("%w (the workload said %q)", err, lastLines(text.String()+out.String()))
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the workload hangs with %+v after %q: %s", f, lastLines(strings.Join(run.rec.Said(), "\n")), text.String())
	}
	var exit *exec.ExitError
	if werr != nil && !errors.As(werr, &exit) {
		return nil, werr
	}
	run.rec.Exit, run.rec.Text = cmd.ProcessState.ExitCode(), lastLines(text.String())
	return &run.rec, nil
}

// serve answers system calls until no watched process is left.
func (w *watch) serve() error {
	defer unix.Close(w.listener)
	for {
		n, ok, err := next(w.listener)
		if err != nil || !ok {
			return err
		}
		errno, err := w.judge(n)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			// Its process may have died while it was looked at.
			if unix.Kill(int(n.pid), 0) == nil && alive(int(n.pid)) {
				return err
			}
			continue
		}
		if err := reply(w.listener, n, errno); err != nil {
			return err
		}
	}
}

// alive tells whether a process is neither gone nor a zombie.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := strings.LastIndexByte(string(text), ')')
	return err == nil && i > 0 && i+2 < len(text) && text[i+2] != 'Z' && text[i+2] != 'X'
}

// errGone ends the watch over a process that was killed here.
var errGone = errors.New("killed")

// judge decides about one call: it passes (0), or fails.
func (w *watch) judge(n notice) (syscall.Errno, error) {
	switch nameOf(int(n.nr)) {
	case "copy_file_range", "sendfile", "splice":
		return unix.EINVAL, nil
	}
	op, ours, err := decode(n, w.root)
	if err != nil || !ours {
		return 0, err
	}
	if op.Call == "said" {
		w.rec.Ops = append(w.rec.Ops, op)
		return 0, nil
	}
	at := w.changes
	w.changes++
	if at == w.fault.At {
		met := op
		w.rec.Reached, w.until = &met, time.Now().Add(fullFor)
	}
	if at < w.fault.At || at > w.fault.At && (w.fault.Kind != ENOSPC || time.Now().After(w.until)) {
		w.rec.Ops = append(w.rec.Ops, op)
		return 0, nil
	}
	return w.inject(n, op)
}

func (w *watch) inject(n notice, op Op) (syscall.Errno, error) {
	var errno syscall.Errno
	switch w.fault.Kind {
	case Torn:
		if op.Call == "write" && len(op.Data) > 1 {
			op.Data = op.Data[:len(op.Data)/2]
			if err := writeAt(fdLink(int(n.pid), n.args[0]), op.Data, op.Off); err != nil {
				return 0, err
			}
			w.rec.Ops = append(w.rec.Ops, op)
		}
		return 0, errors.Join(unix.Kill(int(n.pid), unix.SIGKILL), errGone)
	case Kill:
		return 0, errors.Join(unix.Kill(int(n.pid), unix.SIGKILL), errGone)
	case EIO:
		errno = unix.EIO
	case ENOSPC:
		if op.Call != "sync" && op.Call != "unlink" {
			errno = unix.ENOSPC
		}
	}
	op.Failed = errno != 0
	w.rec.Ops = append(w.rec.Ops, op)
	return errno, nil
}

func writeAt(path string, data []byte, off int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, off)
	return errors.Join(err, f.Close())
}

func word(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// lastLines keeps the end of what a process said.
func lastLines(text string) string {
	const room = 4000
	return text[max(0, len(text)-room):]
}
