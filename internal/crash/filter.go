package crash

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls are the system calls that change a file system, by number; legacyCalls
// are those that newer architectures do not have.
var calls = map[int]string{
	unix.SYS_OPENAT: "openat", unix.SYS_WRITE: "write", unix.SYS_WRITEV: "writev",
	unix.SYS_PWRITE64: "pwrite64", unix.SYS_PWRITEV: "pwritev",
	unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FALLOCATE: "fallocate",
	unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync",
	unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2",
	unix.SYS_UNLINKAT: "unlinkat", unix.SYS_MKDIRAT: "mkdirat",
	// Refused as if the kernel did not have them: callers fall back on writes.
	unix.SYS_COPY_FILE_RANGE: "copy_file_range", unix.SYS_SENDFILE: "sendfile", unix.SYS_SPLICE: "splice",
}

// nameOf names a system call.
func nameOf(nr int) string {
	if name, ok := calls[nr]; ok {
		return name
	}
	return legacyCalls[nr]
}

// listenerFD is where a watched process finds the socket on which it hands over
// its listener.
const listenerFD = 3

// submit puts this process and all it starts under the watch of its parent.
func submit() error {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the call's number
	for _, set := range []map[int]string{calls, legacyCalls} {
		for nr := range set {
			filter = append(filter,
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(nr), Jf: 1},
				unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
		}
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	// All threads come under it, and their waiting is interrupted by death only.
	flags := unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC |
		unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(listenerFD, []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return fmt.Errorf("hand over the listener: %w", err)
	}
	return unix.Close(int(fd))
}

// receive takes over the listener of a watched process.
func receive(socket *os.File) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	var n int
	conn, err := socket.SyscallConn()
	if err != nil {
		return -1, err
	}
	var got error
	err = conn.Read(func(fd uintptr) bool {
		_, n, _, _, got = unix.Recvmsg(int(fd), make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
		return got != unix.EAGAIN
	})
	if err != nil || got != nil {
		return -1, fmt.Errorf("receive the listener: %w", firstOf(err, got))
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, errNoListener
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, errNoListener
	}
	return fds[0], nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// notice is struct seccomp_notif, a system call that waits.
type notice struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// answer is struct seccomp_notif_resp.
type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// next waits for a system call; ok is false when no process is left.
func next(listener int) (n notice, ok bool, err error) {
	for {
		p := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, -1); err != nil {
			if err == unix.EINTR {
				continue
			}
			return n, false, err
		}
		if p[0].Revents&unix.POLLIN == 0 {
			return n, false, nil
		}
		n = notice{}
		switch err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err {
		case nil:
			return n, true, nil
		case unix.ENOENT, unix.EINTR: // its caller died
		default:
			return n, false, err
		}
	}
}

// reply lets a call pass (errno 0), or fail. A caller that died is no error.
func reply(listener int, n notice, errno syscall.Errno) error {
	a := answer{id: n.id, errno: -int32(errno)}
	if errno == 0 {
		a.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)); err != nil && err != unix.ENOENT {
		return err
	}
	return nil
}

func ioctl(fd int, req uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
