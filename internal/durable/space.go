package durable

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// OutOfSpace tells whether a change of files failed for want of space, and not at an
// fsync, after which what the disk has is not known.
func OutOfSpace(err error) bool {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return false
	}
	var path *fs.PathError
	var link *os.LinkError
	return errors.As(err, &path) && path.Op != "sync" || errors.As(err, &link)
}
