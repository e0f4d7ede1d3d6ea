// Package datadir guards an agent's data directory.
//
// Contract and invariants:
//
//   - One process at a time holds a directory: a second one is told so.
//   - A directory written by a newer format is refused by an older binary.
//   - The agent's id is made at the first opening and stays.
//   - Errors say in words what is wrong and with which path.
//
// Example:
//
//	dir, err := datadir.Open("/var/lib/steppe")
//	defer dir.Close()
//	raftDir, err := dir.Sub("server", "raft")
package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/internal/durable"
	"github.com/steppe-project/steppe/model"
)

// Format is the version of the layout below the directory that this binary
// writes and the newest it understands. Raise it when an older binary must not
// touch what this one writes. A directory of an older format is raised at opening,
// before anything else in it is changed.
//
//	1  the first
//	2  a server's log is in segments (server/raft/log), not in one file: an older
//	   binary would not find it, and start with an empty one
const Format = 2

const (
	lockFile   = "agent.lock"
	formatFile = "format"
	idFile     = "agent-id"

	dirMode  = 0o700
	fileMode = 0o600
)

// Dir is an open, locked data directory.
type Dir struct {
	path string
	id   string
	lock *os.File
}

// Open creates the directory if needed, locks it, checks its format and reads or
// makes the agent's id.
func Open(path string) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "data directory %q: %w", path, err)
	}
	if err := durable.MkdirAll(abs, dirMode); err != nil {
		return nil, explain("create data directory", abs, err)
	}
	d := &Dir{path: abs}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	if err := d.prepare(); err != nil {
		_ = d.Close() // the first error is the one that tells
		return nil, err
	}
	return d, nil
}

// Path is the directory, absolute.
func (d *Dir) Path() string { return d.path }

// ID is the agent's id, a UUID.
func (d *Dir) ID() string { return d.id }

// Sub makes a directory below and returns its path.
func (d *Dir) Sub(elem ...string) (string, error) {
	p := filepath.Join(append([]string{d.path}, elem...)...)
	if err := durable.MkdirAll(p, dirMode); err != nil {
		return "", explain("create directory", p, err)
	}
	return p, nil
}

// Close releases the directory.
func (d *Dir) Close() error { return d.lock.Close() }

// acquire takes the lock; the kernel drops it when the process ends, however.
func (d *Dir) acquire() error {
	p := filepath.Join(d.path, lockFile)
	f, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, fileMode)
	if err != nil {
		return explain("write to data directory", d.path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, readErr := os.ReadFile(p)
		_ = f.Close() // nothing was written
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return explain("lock data directory", d.path, err)
		}
		who := "another agent"
		if pid := strings.TrimSpace(string(holder)); readErr == nil && pid != "" {
			who = "another agent (process " + pid + ")"
		}
		return model.Errorf(model.CodeConflict, "data directory %s is in use by %s: give each agent its own data_dir", d.path, who)
	}
	d.lock = f
	return nil
}

// prepare checks format and id, and leaves the process id for acquire's message.
func (d *Dir) prepare() error {
	if err := d.lock.Truncate(0); err != nil {
		return explain("write to data directory", d.path, err)
	}
	if _, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return explain("write to data directory", d.path, err)
	}
	if err := d.checkFormat(); err != nil {
		return err
	}
	id, err := d.Read(idFile)
	if err != nil {
		return err
	}
	if id == "" {
		id = uuid.NewString()
		if err := d.Write(idFile, id); err != nil {
			return err
		}
	}
	if _, err := uuid.Parse(id); err != nil {
		return model.Errorf(model.CodeInvalid, "%s does not hold an agent id: %w", filepath.Join(d.path, idFile), err)
	}
	d.id = id
	return nil
}

func (d *Dir) checkFormat() error {
	text, err := d.Read(formatFile)
	if err != nil {
		return err
	}
	if text == "" {
		return d.Write(formatFile, strconv.Itoa(Format))
	}
	found, err := strconv.Atoi(text)
	switch {
	case err != nil || found < 1:
		return model.Errorf(model.CodeInvalid, "data directory %s: its format file holds %q, not a version", d.path, text)
	case found > Format:
		return model.Errorf(model.CodeInvalid,
			"data directory %s was written by a newer version of steppe (format %d, this binary understands up to %d): run that version, or restore a backup into an empty directory",
			d.path, found, Format)
	case found < Format:
		return d.Write(formatFile, strconv.Itoa(Format))
	}
	return nil
}

// Read returns a small file's trimmed text, "" when there is none.
func (d *Dir) Read(name string) (string, error) {
	p := filepath.Join(d.path, name)
	b, err := os.ReadFile(p)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", explain("read", p, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Write replaces a small file that only the owner may read so that a crash leaves the old or the new one.
func (d *Dir) Write(name, text string) error {
	p := filepath.Join(d.path, name)
	if err := durable.WriteFile(p, []byte(text+"\n"), fileMode); err != nil {
		return explain("write", p, err)
	}
	return nil
}

// explain gives words to a file system's refusal.
func explain(what, path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, os.ErrPermission):
		hint = fmt.Sprintf(": user %d has no permission; change its owner or give another data_dir", os.Getuid())
	case errors.Is(err, syscall.ENOSPC):
		hint = ": the disk is full"
	case errors.Is(err, syscall.EROFS):
		hint = ": the file system is read-only"
	case errors.Is(err, syscall.ENOTDIR):
		hint = ": a part of the path is a file"
	}
	return model.Errorf(model.CodeInvalid, "cannot %s %s%s: %w", what, path, hint, err)
}
