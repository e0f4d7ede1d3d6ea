package alloc

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// checkPorts tells, before any task starts, whether the allocation's ports are
// free: a process that Steppe does not know of may hold one. What cannot be
// tried (an address of another network, a privileged port) is left to the task.
func checkPorts(a *model.Allocation) error {
	if a.AllocatedResources == nil {
		return nil
	}
	for _, p := range a.AllocatedResources.Shared.Ports {
		if p.IgnoreCollision {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(p.HostIP, strconv.Itoa(p.Value)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return plugins.Recoverable(fmt.Errorf("port %d (%q) on %s is taken by another process of this machine", p.Value, p.Label, p.HostIP))
		}
		if err == nil {
			err = l.Close()
		}
		if err != nil && l != nil {
			return err
		}
	}
	return nil
}
