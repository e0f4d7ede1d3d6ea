package place

import (
	"strconv"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/device"
	"github.com/steppe-project/steppe/sched/place/held"
)

// Dimensions that a node can be exhausted in. Ports are "ports <number>" for a
// static one and "dynamic ports" else, devices "device <name>".
const (
	DimCPU          = "cpu"
	DimCores        = "cores"
	DimMemory       = "memory"
	DimDisk         = "disk"
	DimAllocs       = "max allocations"
	DimDynamicPorts = "dynamic ports"
	dimPort         = "ports "
	dimDevice       = "device "
)

// need is what must be left on a node: of an ask, where ports and cores are
// still to be chosen, or of a grant, where they are known.
type need struct {
	cpu, memory, disk int64
	cores             int      // to be chosen
	coreIDs           []uint16 // known
	ports             []PortAsk
	granted           []model.PortMapping // known
	devices           []device.Ask        // to be chosen
	deviceKeys        []string            // known
}

func (a *Ask) need() need {
	return need{cpu: a.CPU, memory: a.Memory, disk: a.Disk, cores: a.Cores, ports: a.Ports, devices: a.Devices}
}

func (d *Demand) need() need {
	return need{cpu: d.CPU, memory: d.Memory, disk: d.Disk, coreIDs: d.Cores, granted: d.Ports, deviceKeys: d.Devices}
}

// fit returns the first dimension in which the row has too little left, or "".
func (f *Fleet) fit(row int32, n *need) string {
	c, i := f.at(row)
	cpu := n.cpu
	if n.cores > 0 {
		cpu += int64(n.cores) * c.info[i].coreMHz
	}
	switch {
	case cpu > c.freeCPU[i] && cpu > 0:
		return DimCPU
	case n.memory > c.freeMemory[i] && n.memory > 0:
		return DimMemory
	case n.disk > c.freeDisk[i] && n.disk > 0:
		return DimDisk
	}
	info := c.info[i]
	if limit := info.node.NodeMaxAllocs; limit > 0 && int(c.allocs[i]) >= limit {
		return DimAllocs
	}
	if n.cores > 0 && len(info.cores)-reservedOf(info.cores, c.cores(i)) < n.cores {
		return DimCores
	}
	for _, id := range n.coreIDs {
		if !holds(info.cores, id) {
			return DimCores
		}
		if held.Has(c.cores(i), id) {
			return DimCores
		}
	}
	if len(n.ports) > 0 {
		if _, lack := assignPorts(info, c.ports[i], n.ports, nil); lack != "" {
			return lack
		}
	}
	if lack := fitGranted(info, c.ports[i], n.granted); lack != "" || len(n.devices) == 0 && len(n.deviceKeys) == 0 {
		return lack
	}
	lack := device.Fits(info.devices, c.devices(i), n.devices)
	if lack == "" {
		lack = device.Granted(info.devices, c.devices(i), n.deviceKeys)
	}
	if lack != "" {
		return dimDevice + lack
	}
	return ""
}

// fitGranted tells whether granted ports are still free.
func fitGranted(info *nodeInfo, used []portUse, granted []model.PortMapping) string {
	for k, p := range granted {
		if _, taken := findPort(used, p.HostIP, p.Value); taken || !info.has(p.HostIP) || isTaken(granted[:k], p.HostIP, p.Value) {
			return dimPort + strconv.Itoa(p.Value)
		}
	}
	return ""
}

// reservedOf counts which of a node's cores are in use.
func reservedOf(cores []uint16, used []coreUse) int {
	n := 0
	for _, u := range used {
		if holds(cores, u.Key) {
			n++
		}
	}
	return n
}

func holds(cores []uint16, id uint16) bool {
	for _, c := range cores {
		if c == id {
			return true
		}
	}
	return false
}

// chooseCores returns the lowest n free cores; the row fits.
func chooseCores(info *nodeInfo, used []coreUse, n int) []uint16 {
	out := make([]uint16, 0, n)
	for _, id := range info.cores {
		if len(out) == n {
			break
		}
		if !held.Has(used, id) {
			out = append(out, id)
		}
	}
	return out
}

// assignPorts chooses address and number of each port: static ones as asked on
// the first address of their host network, if all of it has them free, then
// dynamic ones from where pick says. Without pick nothing is chosen that need not be:
// the mappings are then meaningless. lack names what is missing, or is "".
func assignPorts(info *nodeInfo, used []portUse, asks []PortAsk, pick func(n int) int) (out []model.PortMapping, lack string) {
	if pick != nil {
		out = make([]model.PortMapping, 0, len(asks))
	}
	var room [8]model.PortMapping // on the stack for the usual few ports
	taken := room[:0]
	for pass := range 2 {
		for k := range asks {
			p := &asks[k]
			if (p.Value != 0) != (pass == 0) {
				continue
			}
			ip, port := "", 0
			if pass == 0 {
				ip, port = staticPort(info, used, taken, p)
			} else {
				ip, port = dynamicPort(info, used, taken, p, pick)
			}
			if port == 0 {
				return nil, lackOf(p)
			}
			taken = append(taken, model.PortMapping{HostIP: ip, Value: port})
			if pick != nil {
				out = append(out, mapping(p, ip, port))
			}
		}
	}
	return out, ""
}

func lackOf(p *PortAsk) string {
	if p.Value == 0 {
		return DimDynamicPorts
	}
	return dimPort + strconv.Itoa(p.Value)
}

func mapping(p *PortAsk, ip string, port int) model.PortMapping {
	to := p.To
	if to == -1 {
		to = port
	}
	return model.PortMapping{Label: p.Label, Value: port, To: to, HostIP: ip, IgnoreCollision: p.IgnoreCollision}
}

func staticPort(info *nodeInfo, used []portUse, taken []model.PortMapping, p *PortAsk) (string, int) {
	ips := info.networks[networkOf(p)]
	if !p.IgnoreCollision && !isFree(used, taken, ips, p.Value) {
		return "", 0
	}
	for _, ip := range ips {
		if p.IgnoreCollision || !info.isReserved(ip, p.Value) {
			return ip, p.Value
		}
	}
	return "", 0
}

func dynamicPort(info *nodeInfo, used []portUse, taken []model.PortMapping, p *PortAsk, pick func(int) int) (string, int) {
	span := info.maxPort - info.minPort + 1
	if span <= 0 {
		return "", 0
	}
	ips := info.networks[networkOf(p)]
	for _, ip := range ips {
		start := 0
		if pick != nil {
			start = pick(span)
		}
		for k := range span {
			port := info.minPort + (start+k)%span
			if !info.isReserved(ip, port) && isFree(used, taken, ips, port) {
				return ip, port
			}
		}
	}
	return "", 0
}

// isFree tells whether nobody has the port on any address of a host network.
// One address would not do: a task that listens on all addresses, as most do,
// would take the port from an instance on another one.
func isFree(used []portUse, taken []model.PortMapping, ips []string, port int) bool {
	for _, ip := range ips {
		if _, inUse := findPort(used, ip, port); inUse || isTaken(taken, ip, port) {
			return false
		}
	}
	return true
}

func networkOf(p *PortAsk) string {
	if p.HostNetwork == "" {
		return DefaultHostNetwork
	}
	return p.HostNetwork
}

func isTaken(taken []model.PortMapping, ip string, port int) bool {
	for i := range taken {
		if taken[i].Value == port && taken[i].HostIP == ip {
			return true
		}
	}
	return false
}
