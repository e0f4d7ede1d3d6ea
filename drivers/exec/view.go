package exec

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runc/libcontainer/configs"
)

// maxLinks bounds the symbolic links followed for one path, as the kernel does.
const maxLinks = 40

// view answers questions about a container's file system from outside, before
// there is one.
type view struct {
	root   string // the task's directory
	mounts []*configs.Mount
}

// stat looks at a path as the task would. known is false where only the
// container itself can tell (its own /dev, /proc, /sys); info is nil when there
// is nothing.
func (v *view) stat(path string) (info fs.FileInfo, known bool) {
	done, left := "/", path
	for links := 0; left != ""; {
		var part string
		part, left, _ = strings.Cut(strings.TrimPrefix(left, "/"), "/")
		done = filepath.Join(done, part)
		host, ok := v.host(done)
		if !ok {
			return nil, false
		}
		fi, err := os.Lstat(host)
		if err != nil {
			return nil, true
		}
		if info = fi; fi.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(host)
		if links++; err != nil || links > maxLinks {
			return nil, true
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(done), target)
		}
		done, left = "/", target+"/"+left
	}
	return info, true
}

// host is where on the machine a path of the container lies.
func (v *view) host(path string) (string, bool) {
	best := (*configs.Mount)(nil)
	for _, m := range v.mounts {
		inside := path == m.Destination || strings.HasPrefix(path, m.Destination+"/")
		if inside && (best == nil || len(m.Destination) >= len(best.Destination)) {
			best = m
		}
	}
	switch {
	case best == nil:
		return filepath.Join(v.root, path), true
	case !best.IsBind():
		return "", false
	}
	return filepath.Join(best.Source, strings.TrimPrefix(path, best.Destination)), true
}
