package crash

import "golang.org/x/sys/unix"

var legacyCalls = map[int]string{
	unix.SYS_OPEN: "open", unix.SYS_CREAT: "creat", unix.SYS_RENAME: "rename", unix.SYS_UNLINK: "unlink",
	unix.SYS_MKDIR: "mkdir", unix.SYS_RMDIR: "rmdir",
}
