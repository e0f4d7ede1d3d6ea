package place

import (
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/class"
	"github.com/steppe-project/steppe/sched/place/device"
)

const (
	// DefaultHostNetwork is the host network that ports use when they name none.
	DefaultHostNetwork = class.DefaultHostNetwork
	// DefaultMinDynamicPort and DefaultMaxDynamicPort bound the ports granted to
	// those that ask for any, on nodes that say nothing else.
	DefaultMinDynamicPort = 20000
	DefaultMaxDynamicPort = 32000
	// MaxPort is the highest port there is.
	MaxPort = 65535
)

// nodeInfo is what a decision asks of a node, in the form it is asked in.
type nodeInfo struct {
	node     *model.Node
	networks map[string][]string // host network → addresses, IPv4 first
	reserved []portRange         // withheld from tasks
	minPort  int
	maxPort  int
	cores    []uint16 // that may be reserved by tasks, sorted
	coreMHz  int64
	devices  []device.Group
}

// portRange is withheld on one address, or on all when IP is "".
type portRange struct {
	ip     string
	lo, hi int
}

func newNodeInfo(n *model.Node) *nodeInfo {
	info := &nodeInfo{node: n, minPort: DefaultMinDynamicPort, maxPort: DefaultMaxDynamicPort}
	if r := n.ReservedResources; r != nil {
		info.reserve("", r.Networks.ReservedHostPorts)
	}
	if n.NodeResources == nil {
		return info
	}
	if low := n.NodeResources.MinDynamicPort; low > 0 && low <= MaxPort {
		info.minPort = low
	}
	if high := n.NodeResources.MaxDynamicPort; high > 0 && high <= MaxPort {
		info.maxPort = high
	}
	info.cores, info.coreMHz = freeCores(n), coreMHz(n)
	info.devices = device.Groups(n)
	info.readNetworks(n)
	return info
}

// readNetworks collects the addresses of each host network.
func (info *nodeInfo) readNetworks(n *model.Node) {
	info.networks = make(map[string][]string)
	for _, family := range []bool{true, false} {
		for _, net := range n.NodeResources.NodeNetworks {
			for _, a := range net.Addresses {
				if (a.Family != "ipv6") != family || a.Address == "" {
					continue
				}
				alias := a.Alias
				if alias == "" {
					alias = DefaultHostNetwork
				}
				info.addAddress(alias, a.Address)
				info.reserve(a.Address, a.ReservedPorts)
				if named := n.HostNetworks[alias]; named != nil {
					info.reserve(a.Address, named.ReservedPorts)
				}
			}
		}
	}
	if len(info.networks[DefaultHostNetwork]) > 0 {
		return
	}
	for _, net := range n.NodeResources.Networks {
		if net.IP != "" {
			info.addAddress(DefaultHostNetwork, net.IP)
		}
	}
}

func (info *nodeInfo) addAddress(alias, ip string) {
	if !slices.Contains(info.networks[alias], ip) {
		info.networks[alias] = append(info.networks[alias], ip)
	}
}

// has tells whether the node has an address.
func (info *nodeInfo) has(ip string) bool {
	for _, ips := range info.networks {
		if slices.Contains(ips, ip) {
			return true
		}
	}
	return false
}

// reserve withholds the ports of a list such as "22,80,8000-8100". What is not
// a port is refused where nodes are configured; here it withholds nothing.
func (info *nodeInfo) reserve(ip, list string) {
	for _, item := range strings.Split(list, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(item), "-")
		lo, err := strconv.Atoi(strings.TrimSpace(low))
		if err != nil {
			continue
		}
		hi := lo
		if isRange {
			if hi, err = strconv.Atoi(strings.TrimSpace(high)); err != nil {
				continue
			}
		}
		info.reserved = append(info.reserved, portRange{ip: ip, lo: lo, hi: hi})
	}
}

func (info *nodeInfo) isReserved(ip string, port int) bool {
	for _, r := range info.reserved {
		if r.lo <= port && port <= r.hi && (r.ip == "" || r.ip == ip) {
			return true
		}
	}
	return false
}

// totals is what a node offers to tasks: MHz, MB, MB.
func totals(n *model.Node) (cpu, memory, disk int64) {
	if r := n.NodeResources; r != nil {
		cpu, memory, disk = r.Cpu.CpuShares, r.Memory.MemoryMB, r.Disk.DiskMB
	}
	if r := n.ReservedResources; r != nil {
		// Reserved cores are another way to say reserved MHz: the larger counts.
		cpu -= max(int64(r.Cpu.CpuShares), int64(len(r.Cpu.ReservedCpuCores))*coreMHz(n))
		memory -= int64(r.Memory.MemoryMB)
		disk -= int64(r.Disk.DiskMB)
	}
	return max(cpu, 0), max(memory, 0), max(disk, 0)
}

// coreMHz is the speed of one core; derived where the node does not say.
func coreMHz(n *model.Node) int64 {
	if n.NodeResources == nil {
		return 0
	}
	c := n.NodeResources.Cpu
	if c.CoreMHz > 0 || c.TotalCpuCores == 0 {
		return c.CoreMHz
	}
	return c.CpuShares / int64(c.TotalCpuCores)
}

// freeCores are the cores that tasks may reserve, sorted.
func freeCores(n *model.Node) []uint16 {
	var out []uint16
	for _, id := range n.NodeResources.Cpu.ReservableCpuCores {
		if r := n.ReservedResources; r == nil || !slices.Contains(r.Cpu.ReservedCpuCores, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
