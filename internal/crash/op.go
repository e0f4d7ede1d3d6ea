package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Op is one change of a file system, or a word of the workload.
type Op struct {
	// Call is what it does: create, mkdir, write, truncate, sync, rename, unlink,
	// or said.
	Call string
	// Path is below the data directory; To is a rename's end.
	Path, To string
	// Off and Data are a write's; Size is a truncation's.
	Off  int64
	Data []byte
	Size int64
	// Said is the workload's word.
	Said string
	// Failed: it did not happen.
	Failed bool
}

// Point names the fault point: which kind of file, which change.
func (o *Op) Point() string { return kindOf(o.Path) + " " + o.Call }

// maxData bounds what is read of a process's memory for one call.
const maxData = 64 << 20

// decode makes an Op of a system call. ours is false when it changes nothing
// below root.
func decode(n notice, root string) (o Op, ours bool, err error) {
	pid, a := int(n.pid), n.args
	switch call := nameOf(int(n.nr)); call {
	case "write", "writev", "pwrite64", "pwritev":
		return decodeWrite(n, call, root)
	case "openat", "open", "creat":
		return decodeOpen(n, call, root)
	case "ftruncate":
		o = Op{Call: "truncate", Size: int64(a[1])}
		o.Path, ours = below(root, fdPath(pid, a[0]))
	case "fallocate":
		o = Op{Call: "truncate", Size: int64(a[2] + a[3])}
		o.Path, ours = below(root, fdPath(pid, a[0]))
		info, err := os.Stat(fdLink(pid, a[0]))
		return o, ours && err == nil && a[1] == 0 && info.Size() < o.Size, nil
	case "fsync", "fdatasync":
		o.Call = "sync"
		o.Path, ours = below(root, fdPath(pid, a[0]))
	case "renameat", "renameat2":
		return decodeRename(pid, a[0], a[1], a[2], a[3], root)
	case "rename":
		return decodeRename(pid, atCWD, a[0], atCWD, a[1], root)
	case "unlinkat":
		return decodeUnlink(pid, a[0], a[1], a[2]&unix.AT_REMOVEDIR != 0, root)
	case "unlink", "rmdir":
		return decodeUnlink(pid, atCWD, a[0], call == "rmdir", root)
	case "mkdirat":
		return decodeMkdir(pid, a[0], a[1], root)
	case "mkdir":
		return decodeMkdir(pid, atCWD, a[0], root)
	}
	return o, ours, nil
}

// atCWD is AT_FDCWD as an argument.
const atCWD = uint64(0xffffffffffffff9c)

func decodeWrite(n notice, call, root string) (o Op, ours bool, err error) {
	pid, fd := int(n.pid), n.args[0]
	path := fdPath(pid, fd)
	if fd == 1 && strings.HasPrefix(path, "pipe:") {
		data, err := readMemory(pid, n.args[1], n.args[2])
		return Op{Call: "said", Said: strings.TrimSpace(string(data))}, true, err
	}
	o.Call = "write"
	if o.Path, ours = below(root, path); !ours {
		return o, false, nil
	}
	switch call {
	case "write", "pwrite64":
		o.Data, err = readMemory(pid, n.args[1], n.args[2])
	default:
		o.Data, err = readVector(pid, n.args[1], n.args[2])
	}
	if call == "pwrite64" || call == "pwritev" {
		o.Off = int64(n.args[3])
	} else if err == nil {
		o.Off, err = position(pid, fd)
	}
	return o, err == nil && len(o.Data) > 0, err
}

func decodeOpen(n notice, call, root string) (o Op, ours bool, err error) {
	pid, a := int(n.pid), n.args
	dir, name, flags := a[0], a[1], a[2]
	switch call {
	case "open":
		dir, name, flags = atCWD, a[0], a[1]
	case "creat":
		dir, name, flags = atCWD, a[0], unix.O_CREAT|unix.O_TRUNC
	}
	if flags&(unix.O_CREAT|unix.O_TRUNC) == 0 {
		return o, false, nil
	}
	path, err := atPath(pid, dir, name)
	if err != nil {
		return o, false, err
	}
	if o.Path, ours = below(root, path); !ours {
		return o, false, nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil && flags&unix.O_CREAT != 0:
		o.Call = "create"
		return o, true, nil
	case err == nil && flags&unix.O_TRUNC != 0 && info.Size() > 0:
		o.Call = "truncate"
		return o, true, nil
	}
	return o, false, nil
}

func decodeRename(pid int, fromDir, from, toDir, to uint64, root string) (o Op, ours bool, err error) {
	src, err1 := atPath(pid, fromDir, from)
	dst, err2 := atPath(pid, toDir, to)
	if err := errors.Join(err1, err2); err != nil {
		return o, false, err
	}
	o.Call = "rename"
	o.Path, ours = below(root, src)
	var inside bool
	if o.To, inside = below(root, dst); ours != inside {
		return o, false, fmt.Errorf("a rename across the edge of the data directory: %s to %s", src, dst)
	}
	return o, ours && exists(src), nil
}

func decodeUnlink(pid int, dir, name uint64, isDir bool, root string) (o Op, ours bool, err error) {
	path, err := atPath(pid, dir, name)
	if err != nil {
		return o, false, err
	}
	o.Call = "unlink"
	if o.Path, ours = below(root, path); !ours {
		return o, false, nil
	}
	info, err := os.Lstat(path)
	if err != nil || info.IsDir() != isDir {
		return o, false, nil // it will fail by itself
	}
	if entries, err := os.ReadDir(path); isDir && (err != nil || len(entries) > 0) {
		return o, false, nil
	}
	return o, true, nil
}

func decodeMkdir(pid int, dir, name uint64, root string) (o Op, ours bool, err error) {
	path, err := atPath(pid, dir, name)
	if err != nil {
		return o, false, err
	}
	o.Call = "mkdir"
	o.Path, ours = below(root, path)
	return o, ours && !exists(path) && exists(filepath.Dir(path)), nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// below returns path relative to root.
func below(root, path string) (string, bool) {
	if path == root {
		return ".", true
	}
	rel, ok := strings.CutPrefix(path, root+"/")
	return rel, ok && !strings.HasSuffix(rel, " (deleted)")
}

func fdLink(pid int, fd uint64) string { return fmt.Sprintf("/proc/%d/fd/%d", pid, int32(fd)) }

func fdPath(pid int, fd uint64) string {
	path, err := os.Readlink(fdLink(pid, fd))
	if err != nil {
		return "" // closed, or its process died
	}
	return path
}

// atPath resolves a path argument.
func atPath(pid int, dir, name uint64) (string, error) {
	text, err := readString(pid, name)
	if err != nil || filepath.IsAbs(text) {
		return filepath.Clean(text), err
	}
	base := fmt.Sprintf("/proc/%d/cwd", pid)
	if int32(dir) != unix.AT_FDCWD {
		base = fdLink(pid, dir)
	}
	base, err = os.Readlink(base)
	return filepath.Join(base, text), err
}

// position is where a write without an offset goes.
func position(pid int, fd uint64) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, int32(fd)))
	if err != nil {
		return 0, err
	}
	pos, flags := int64(0), int64(0)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "pos":
			pos, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		case "flags":
			flags, err = strconv.ParseInt(strings.TrimSpace(value), 8, 64)
		}
		if err != nil {
			return 0, err
		}
	}
	if flags&unix.O_APPEND == 0 {
		return pos, nil
	}
	info, err := os.Stat(fdLink(pid, fd))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// readMemory reads a stopped process's memory.
func readMemory(pid int, at, n uint64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if n > maxData {
		return nil, fmt.Errorf("a write of %d bytes", n)
	}
	b := make([]byte, n)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	got, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	if err == nil && got < len(b) {
		err = fmt.Errorf("read %d of %d bytes of a process", got, len(b))
	}
	return b, err
}

func readVector(pid int, at, n uint64) ([]byte, error) {
	var all []byte
	for i := range n {
		raw, err := readMemory(pid, at+16*i, 16)
		if err != nil {
			return nil, err
		}
		part, err := readMemory(pid, word(raw), word(raw[8:]))
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

// readString reads a path; it may end just before memory that cannot be read.
func readString(pid int, at uint64) (string, error) {
	const page = 4096
	var text []byte
	for len(text) < page {
		part, err := readMemory(pid, at, page-at%page)
		if err != nil {
			return "", err
		}
		if i := bytes.IndexByte(part, 0); i >= 0 {
			return string(append(text, part[:i]...)), nil
		}
		text, at = append(text, part...), at+uint64(len(part))
	}
	return "", errors.New("a path without an end")
}
