package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/model"
)

// logDir is where the files of logs are: <task>.<type>.<number>, numbers rising.
const logDir = allocdir.Shared + "/" + allocdir.Logs

// LogRequest asks for the output of a task.
type LogRequest struct {
	Task   string
	Type   string // stdout, stderr
	Offset int64
	Origin string // start (also ""), end
	Follow bool
	// Over tells that the task will not write any more; nil = it will.
	Over func() bool
}

// Logs sends a task's output across its rotated files.
func Logs(ctx context.Context, root *os.Root, r LogRequest, send Send) error {
	if r.Type != "stdout" && r.Type != "stderr" {
		return model.Errorf(model.CodeInvalid, `log type must be "stdout" or "stderr", not %q`, r.Type)
	}
	l := &logReader{root: root, prefix: r.Task + "." + r.Type + ".", out: &sender{send: send, buf: make([]byte, MaxFrame)}}
	defer l.close()
	if err := l.find(ctx, r); err != nil {
		return err
	}
	for {
		over := !r.Follow || r.Over != nil && r.Over() // asked before reading: what it wrote last is read
		// A file is complete once there is a later one; that too is asked first.
		next := l.after(l.number)
		var err error
		if l.at, err = l.out.copy(ctx, l.file, l.at); err != nil {
			return err
		}
		switch {
		case next >= 0:
			if err := l.open(next); err != nil {
				return err
			}
		case over:
			return nil
		default:
			if err := l.out.idle(ctx); err != nil {
				return err
			}
		}
	}
}

// logReader is a place in a row of files.
type logReader struct {
	root   *os.Root
	prefix string
	out    *sender
	number int
	file   *os.File
	at     int64
}

func (l *logReader) close() {
	if l.file != nil {
		_ = l.file.Close() // it was only read
	}
}

// numbers are the files that exist now, rising.
func (l *logReader) numbers() ([]int, error) {
	dir, err := l.root.Open(logDir)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, asModel(logDir, err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, asModel(logDir, err)
	}
	var out []int
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, l.prefix); ok {
			if n, err := strconv.Atoi(rest); err == nil && n >= 0 {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// after is the next existing file after a number, or -1.
func (l *logReader) after(number int) int {
	// Usually it is the next number, which is cheaper to ask than to list.
	if _, err := l.root.Lstat(l.path(number + 1)); err == nil {
		return number + 1
	}
	if _, err := l.root.Lstat(l.path(number)); err == nil {
		return -1 // rotation removes old files first
	}
	numbers, err := l.numbers()
	if err != nil {
		return -1
	}
	for _, n := range numbers {
		if n > number {
			return n
		}
	}
	return -1
}

func (l *logReader) path(number int) string { return logDir + "/" + l.prefix + strconv.Itoa(number) }

// open moves to the start of a file; one that rotation has just removed is
// passed over by the next call of after.
func (l *logReader) open(number int) error {
	f, rel, _, err := regular(l.root, l.path(number))
	if model.CodeOf(err) == model.CodeNotFound {
		l.number = number
		return nil
	}
	if err != nil {
		return err
	}
	l.close()
	l.file, l.number, l.at, l.out.file = f, number, 0, rel
	return nil
}

// find moves to where the request begins. Without any file it waits for one, if
// the request follows.
func (l *logReader) find(ctx context.Context, r LogRequest) error {
	for {
		over := r.Over != nil && r.Over()
		numbers, err := l.numbers()
		if err != nil {
			return err
		}
		if len(numbers) > 0 {
			if err := l.seek(numbers, r); err != nil || l.file != nil {
				return err
			}
			continue // all of them were rotated away meanwhile
		}
		if !r.Follow || over {
			return model.Errorf(model.CodeNotFound, "task %q has not written any log to %s", r.Task, r.Type)
		}
		if err := l.out.idle(ctx); err != nil {
			return err
		}
	}
}

// seek finds file and place of an offset in the row of files.
func (l *logReader) seek(numbers []int, r LogRequest) error {
	sizes, total := make([]int64, len(numbers)), int64(0)
	for i, n := range numbers {
		if info, err := l.root.Lstat(l.path(n)); err == nil {
			sizes[i] = info.Size()
			total += sizes[i]
		}
	}
	at, err := origin(r.Origin, r.Offset, total)
	if err != nil {
		return err
	}
	for i, n := range numbers {
		if at >= sizes[i] && i < len(numbers)-1 {
			at -= sizes[i]
			continue
		}
		if err := l.open(n); err != nil || l.file == nil {
			return err
		}
		l.at = min(at, sizes[i])
		return nil
	}
	return nil
}
