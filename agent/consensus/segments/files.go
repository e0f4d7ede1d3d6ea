package segments

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/types"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/internal/durable"
)

const (
	segmentSuffix = ".wal" // raft-wal's
	fileMode      = 0o600

	// amplyFree is how many segments must be free for one to be allocated in advance:
	// on a small or full disk a segment grows as it is written.
	amplyFree = 16
)

// files is the file system for raft-wal. Failed changes are noted, and names are
// made durable with the first flush of a file also when it was found.
type files struct{ note func(error) error }

// ListDir implements types.VFS.
func (v *files) ListDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Create implements types.VFS.
func (v *files) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, v.note(err)
	}
	allocate(f, int64(size))
	return &file{File: f, dir: dir, files: v}, nil
}

// allocate takes space in advance, so that appending changes less of the file
// system. What it cannot do is no error: appending will tell.
func allocate(f *os.File, size int64) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || int64(st.Bavail)*st.Bsize < amplyFree*size {
		return
	}
	_ = unix.Fallocate(int(f.Fd()), 0, 0, size) // see above
}

// Delete implements types.VFS.
func (v *files) Delete(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
		return v.note(err)
	}
	return v.note(durable.SyncDir(dir))
}

// OpenReader implements types.VFS.
func (v *files) OpenReader(dir, name string) (types.ReadableFile, error) {
	return os.Open(filepath.Join(dir, name))
}

// OpenWriter implements types.VFS.
func (v *files) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &file{File: f, dir: dir, files: v}, nil
}

// file is a segment that is written to.
type file struct {
	*os.File
	dir   string
	files *files
	named bool // its name is durable
}

// WriteAt implements types.WritableFile.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, f.files.note(err)
}

// Sync implements types.WritableFile: contents and size, then the name.
func (f *file) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return f.files.note(&fs.PathError{Op: "sync", Path: f.Name(), Err: err})
		}
	}
	if f.named {
		return nil
	}
	err := durable.SyncDir(f.dir)
	f.named = err == nil
	return f.files.note(err)
}
