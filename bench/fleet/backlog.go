package main

import (
	"fmt"
	"os"
)

// backlog bounds the packets that wait in one queue of the kernel. The network of all
// the machines is the loopback device here, whose queue is one for each core: with
// the thousand of the default it drops what a real network would not.
const (
	backlog = "/proc/sys/net/core/netdev_max_backlog"
	packets = "30000"
)

// roomy makes the queue longer until restore is called.
func roomy() (restore func() error, err error) {
	before, err := os.ReadFile(backlog)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(backlog, []byte(packets), 0); os.IsPermission(err) {
		fmt.Fprintln(os.Stderr, "without root: the loopback device may drop packets of so many nodes; see net.core.netdev_max_backlog")
		return func() error { return nil }, nil
	} else if err != nil {
		return nil, err
	}
	return func() error { return os.WriteFile(backlog, before, 0) }, nil
}
