package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/plugins"
)

// defaultChroot is what of the machine a task sees: from path to path.
var defaultChroot = map[string]string{
	"/bin": "/bin", "/etc": "/etc", "/lib": "/lib", "/lib32": "/lib32", "/lib64": "/lib64", "/sbin": "/sbin",
	"/usr": "/usr", "/run/resolvconf": "/run/resolvconf", "/run/systemd/resolve": "/run/systemd/resolve",
}

// hiddenEtc are secrets of the machine that the default chroot masks. An agent
// that names its own chroot_env gets exactly what it names.
var hiddenEtc = []string{
	"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d", "/etc/ssh",
	"/etc/ssl/private", "/etc/krb5.keytab", "/etc/nomad.d", "/etc/steppe", "/etc/steppe.d", "/etc/kubernetes",
}

// hiddenProc and readOnlyProc are kernel interfaces that tell too much about the
// machine or change it, as container engines mask them.
var (
	hiddenProc = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
	readOnlyProc = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// privateDir of the task's directory belongs to the host.
const privateDir = "/private"

// shmBytes is the size of a task's /dev/shm, as container engines have it.
const shmOptions = "mode=1777,size=65536k"

func checkChroot(m map[string]string) error {
	for from, to := range m {
		if !filepath.IsAbs(from) || !filepath.IsAbs(to) || filepath.Clean(to) == "/" {
			return fmt.Errorf("chroot_env: %q = %q must be absolute paths, and not to the root itself", from, to)
		}
	}
	return nil
}

// recursiveReadOnly tells whether the kernel can make what is mounted below a
// bind mount read-only too (Linux 5.12).
var recursiveReadOnly = sync.OnceValue(func() bool {
	err := unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	return !errors.Is(err, unix.ENOSYS)
})

func bind(from, to string, readOnly bool) *configs.Mount {
	m := &configs.Mount{Device: "bind", Source: from, Destination: to, Flags: unix.MS_BIND | unix.MS_REC}
	if readOnly {
		m.Flags |= unix.MS_RDONLY
		if recursiveReadOnly() {
			m.RecAttr = &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		}
	}
	return m
}

// kernelMounts are the file systems that are the container's own.
func kernelMounts(privateIPC bool) []*configs.Mount {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	mounts := []*configs.Mount{
		{Device: "proc", Source: "proc", Destination: "/proc", Flags: safe},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/dev", Flags: unix.MS_NOSUID | unix.MS_STRICTATIME, Data: "mode=755,size=65536k"},
		{Device: "devpts", Source: "devpts", Destination: "/dev/pts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{Device: "sysfs", Source: "sysfs", Destination: "/sys", Flags: safe | unix.MS_RDONLY},
	}
	if !privateIPC {
		return append(mounts, bind("/dev/shm", "/dev/shm", false))
	}
	return append(mounts,
		&configs.Mount{Device: "tmpfs", Source: "shm", Destination: "/dev/shm", Flags: safe, Data: shmOptions},
		&configs.Mount{Device: "mqueue", Source: "mqueue", Destination: "/dev/mqueue", Flags: safe})
}

// chrootMounts mounts the machine's directories into root. Where the machine has
// a symbolic link, as /bin often is, the task gets the same link. What does not
// exist is left out; the names of those the agent asked for are returned.
func chrootMounts(root string, chroot map[string]string) (mounts []*configs.Mount, missing []string, err error) {
	own := chroot == nil
	if own {
		chroot = defaultChroot
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, nil, fmt.Errorf("the task's directory: %w", err)
	}
	defer dir.Close()
	for _, from := range slices.Sorted(maps.Keys(chroot)) {
		to := filepath.Clean(chroot[from])
		info, err := os.Lstat(from)
		if errors.Is(err, fs.ErrNotExist) {
			if !own {
				missing = append(missing, from)
			}
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("chroot_env: %w", err)
		}
		if info.Mode()&fs.ModeSymlink != 0 && filepath.Clean(from) == to && linkedInside(from, chroot) {
			if err := copyLink(dir, from, to); err != nil {
				return nil, nil, fmt.Errorf("chroot_env: link %s: %w", to, err)
			}
			continue
		}
		mounts = append(mounts, bind(from, to, true))
	}
	// Parents first, so that /usr does not cover /usr/local.
	slices.SortStableFunc(mounts, func(a, b *configs.Mount) int { return strings.Compare(a.Destination, b.Destination) })
	return mounts, missing, nil
}

// linkedInside tells whether the target of a link is itself in the chroot.
func linkedInside(link string, chroot map[string]string) bool {
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return false
	}
	for from, to := range chroot {
		if from == to && from != link && strings.HasPrefix(target+"/", from+"/") {
			return true
		}
	}
	return false
}

// copyLink makes the same link in the task's directory; what is there already
// from an earlier run stays if it is that link, and gives way if it is an empty
// directory.
func copyLink(dir *os.Root, from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(to, "/")
	if have, err := dir.Readlink(name); err == nil && have == target {
		return nil
	}
	if parent := filepath.Dir(name); parent != "." {
		if err := dir.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return dir.Symlink(target, name)
}

// propagation translates a volume's propagation mode.
func propagation(mode string) (int, error) {
	switch mode {
	case "", "private":
		return unix.MS_PRIVATE | unix.MS_REC, nil
	case "host-to-task":
		return unix.MS_SLAVE | unix.MS_REC, nil
	case "bidirectional":
		return unix.MS_SHARED | unix.MS_REC, nil
	}
	return 0, fmt.Errorf("propagation mode %q is not private, host-to-task or bidirectional", mode)
}

// volumeMounts are the mounts that the host asks for. shared tells that one of
// them hands mounts back to the machine.
func volumeMounts(list []*plugins.Mount) (mounts []*configs.Mount, shared bool, err error) {
	for _, v := range list {
		m := bind(v.HostPath, v.TaskPath, v.ReadOnly)
		flags, err := propagation(v.PropagationMode)
		if err != nil {
			return nil, false, fmt.Errorf("mount %s: %w", v.TaskPath, err)
		}
		m.PropagationFlags = []int{flags}
		shared = shared || v.PropagationMode == "bidirectional"
		mounts = append(mounts, m)
	}
	return mounts, shared, nil
}
