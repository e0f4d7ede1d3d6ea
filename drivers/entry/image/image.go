// Package image holds the container launcher as a program of its own, embedded.
// Starting the whole binary takes most of the time of a container's start: its
// packages initialize themselves, twice for each container.
//
// Contract: Path names an executable for shim.Config.Launcher, or is empty for
// the binary itself: it was built without the tag steppe_launcher, as `go build`
// and tests do, or the kernel refuses sealed files in memory. `make build` sets
// the tag. The file is sealed, so that no container can change what later ones
// start from, and libcontainer need not make a copy for each (CVE-2019-5736). It
// lives as long as this process.
//
//	sc := &shim.Config{Launcher: image.Path(), Launch: payload, ...}
package image

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seals are those by which libcontainer knows a file that cannot change.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Path is where any process of this machine with this one's rights finds the
// launcher; it is made by the first call.
func Path() string {
	f := launcher()
	if f == nil {
		return ""
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}

// launcher is the file, open for the rest of this process' life.
var launcher = sync.OnceValue(func() *os.File {
	if program == "" {
		return nil
	}
	f, err := sealed(program)
	if err != nil {
		return nil // the binary itself does as well, only slower
	}
	release(program)
	return f
})

// sealed copies a program into a file in memory that nobody can write to.
func sealed(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("steppe-launcher", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 every such file was executable
		fd, err = unix.MemfdCreate("steppe-launcher", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "steppe-launcher")
	if _, err := io.Copy(f, strings.NewReader(text)); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	return f, nil
}

// release gives back the memory by which this process has read the program out
// of its own executable; it is read again from there if it is needed again.
func release(text string) {
	page := uintptr(os.Getpagesize())
	from := uintptr(unsafe.Pointer(unsafe.StringData(text)))
	skip := (page - from%page) % page
	if n := uintptr(len(text)); n > skip+page {
		inside := text[skip : skip+(n-skip)/page*page]
		_ = unix.Madvise(unsafe.Slice(unsafe.StringData(inside), len(inside)), unix.MADV_DONTNEED)
	}
}
