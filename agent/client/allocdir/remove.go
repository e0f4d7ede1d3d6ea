package allocdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Remove deletes the directory with all that is in it. One that is not there
// is fine.
func (d *Dir) Remove() error {
	if err := d.unmount(); err != nil {
		return err
	}
	return os.RemoveAll(d.path)
}

// unmount detaches what is mounted below the directory, innermost first.
func (d *Dir) unmount() error {
	real, err := filepath.EvalSymlinks(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(real))
	if err != nil {
		return fmt.Errorf("list mounts below %s: %w", real, err)
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i].Mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("%s is still mounted, not removed: %w", mounts[i].Mountpoint, err)
		}
	}
	return nil
}

// lookup finds the ids of the owner; known is false when the agent's own (or
// any) user runs the task.
func (o Owner) lookup() (uid, gid int, known bool) {
	name := o.User
	if name == "" {
		return 0, 0, false
	}
	first, second, both := strings.Cut(name, ":")
	if id, err := strconv.Atoi(first); err == nil {
		uid, gid = id, id
		if u, err := user.LookupId(first); err == nil {
			gid = number(u.Gid, id)
		}
		if both {
			gid = number(second, gid)
		}
		return uid, gid, true
	}
	u, err := user.Lookup(first)
	if err != nil {
		return 0, 0, false
	}
	uid, gid = number(u.Uid, -1), number(u.Gid, -1)
	if both {
		if g, err := user.LookupGroup(second); err == nil {
			gid = number(g.Gid, gid)
		} else {
			gid = number(second, gid)
		}
	}
	return uid, gid, true
}

func number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return n
}
