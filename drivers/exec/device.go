package exec

import (
	"fmt"
	"os"

	devices "github.com/opencontainers/cgroups/devices/config"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/plugins"
)

// device describes a device node of the machine for a container.
func device(n *plugins.DeviceNode) (*devices.Device, error) {
	var st unix.Stat_t
	if err := unix.Stat(n.HostPath, &st); err != nil {
		return nil, fmt.Errorf("device %s: %w", n.HostPath, err)
	}
	d := &devices.Device{
		Path: or(n.TaskPath, n.HostPath), FileMode: os.FileMode(st.Mode & 0o777), Uid: st.Uid, Gid: st.Gid,
		Rule: devices.Rule{
			Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev))),
			Permissions: devices.Permissions(or(n.Permissions, "rwm")), Allow: true,
		},
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = devices.CharDevice
	case unix.S_IFBLK:
		d.Type = devices.BlockDevice
	default:
		return nil, fmt.Errorf("device %s: it is not a device", n.HostPath)
	}
	if !d.Permissions.IsValid() {
		return nil, fmt.Errorf("device %s: permissions %q are not of r, w and m", n.HostPath, n.Permissions)
	}
	return d, nil
}
