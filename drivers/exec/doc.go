// Package exec is the driver "exec": it runs a program of the machine in a
// container of its own: a root file system of the machine's programs, read-only,
// around the task's directories, with namespaces, control group limits, few
// capabilities, a system call filter, and as an unprivileged user.
//
// Contract: plugins.Driver with signals, exec and events; needs root. What the
// task sees:
//
//	/          the task's directory, writable as its owner permits
//	/local /secrets /tmp   parts of it; /alloc is shared by the group
//	/bin /etc /lib /lib32 /lib64 /sbin /usr /run/resolvconf ...   the machine's, read-only
//	/dev /proc /sys        its own, kernel interfaces masked or read-only
//
// Invariants: the container is started by a launcher below the task's shim
// (package entry), so that the shim is what reaps it; this process may end at
// any time. Limits are the kernel's: memory (with memory_max as hard limit and
// no swap), processor weight and quota, cores, processes. no_new_privs always.
//
//	task "web" {
//	  driver = "exec"
//	  config { command = "/usr/bin/python3", args = ["-m", "http.server"] }
//	}
package exec
