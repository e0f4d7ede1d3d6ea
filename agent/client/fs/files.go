package fs

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// clean makes a request's path one relative to the root.
func clean(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", model.Errorf(model.CodeInvalid, "path %q holds a zero byte", name)
	}
	rel := strings.TrimPrefix(path.Clean("/"+name), "/")
	if rel == "" {
		rel = "."
	}
	return rel, forbidden(rel)
}

// forbidden refuses what is not for the eyes of whoever may read logs.
func forbidden(rel string) error {
	parts := strings.Split(rel, "/")
	if len(parts) >= 2 && parts[0] != allocdir.Shared && (parts[1] == allocdir.Secrets || parts[1] == allocdir.Private) {
		return model.Errorf(model.CodeDenied, "reading %s of a task is not allowed", parts[1])
	}
	return nil
}

// open opens a path for reading. Links were followed inside the root; where
// they led is checked again.
func open(root *os.Root, name string) (*os.File, string, error) {
	rel, err := clean(name)
	if err != nil {
		return nil, "", err
	}
	// A FIFO without writer must not block the agent.
	f, err := root.OpenFile(rel, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, "", asModel(name, err)
	}
	real, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err == nil {
		if base, baseErr := filepath.EvalSymlinks(root.Name()); baseErr == nil {
			if inside, ok := strings.CutPrefix(real, base+"/"); ok {
				err = forbidden(inside)
			}
		}
	}
	if err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	return f, rel, nil
}

// asModel words an error of the file system.
func asModel(name string, err error) error {
	var pathErr *iofs.PathError
	reason := err
	if errors.As(err, &pathErr) {
		reason = pathErr.Err
	}
	if errors.Is(err, iofs.ErrNotExist) {
		return model.Errorf(model.CodeNotFound, "%s: %w", name, reason)
	}
	return model.Errorf(model.CodeInvalid, "%s: %w", name, reason)
}

// List lists a directory, by name.
func List(root *os.Root, name string) ([]*msg.FileInfo, error) {
	f, _, err := open(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(MaxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, asModel(name, err)
	}
	out := make([]*msg.FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it was removed meanwhile
		}
		out = append(out, describe(info, ""))
	}
	slices.SortFunc(out, func(a, b *msg.FileInfo) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Stat describes one file.
func Stat(root *os.Root, name string) (*msg.FileInfo, error) {
	f, _, err := open(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, asModel(name, err)
	}
	kind := ""
	if info.Mode().IsRegular() {
		head := make([]byte, sniffed)
		n, err := f.ReadAt(head, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, asModel(name, err)
		}
		kind = http.DetectContentType(head[:n])
	}
	return describe(info, kind), nil
}

func describe(info iofs.FileInfo, kind string) *msg.FileInfo {
	if byName := mime.TypeByExtension(path.Ext(info.Name())); byName != "" && !info.IsDir() {
		kind = byName
	}
	return &msg.FileInfo{
		Name: info.Name(), IsDir: info.IsDir(), Size: info.Size(), FileMode: info.Mode().String(),
		ModTime: info.ModTime(), ContentType: kind,
	}
}

// origin turns an offset from the start or the end into one from the start.
func origin(from string, offset, size int64) (int64, error) {
	if offset < 0 {
		return 0, model.Errorf(model.CodeInvalid, "offset %d is negative", offset)
	}
	switch from {
	case "", "start":
		return offset, nil
	case "end":
		return max(size-offset, 0), nil
	}
	return 0, model.Errorf(model.CodeInvalid, `origin must be "start" or "end", not %q`, from)
}

// regular opens a file whose content can be read.
func regular(root *os.Root, name string) (*os.File, string, iofs.FileInfo, error) {
	f, rel, err := open(root, name)
	if err != nil {
		return nil, "", nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("is a %s, not a file", kindOf(info.Mode()))
	}
	if err != nil {
		return nil, "", nil, errors.Join(model.Errorf(model.CodeInvalid, "%s: %w", name, err), f.Close())
	}
	return f, rel, info, nil
}

func kindOf(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&os.ModeNamedPipe != 0:
		return "pipe"
	case m&os.ModeSocket != 0:
		return "socket"
	}
	return "device"
}
