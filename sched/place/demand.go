package place

import (
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/device"
	"github.com/steppe-project/steppe/sched/place/held"
)

// Demand is what an allocation holds of its node. CPU in MHz, sizes in MB. All
// tasks of the group count for the allocation's whole life.
type Demand struct {
	CPU    int64
	Memory int64
	Disk   int64
	Ports  []model.PortMapping // without those that ignore collisions
	Cores  []uint16
	// Devices are their keys, as package device names them.
	Devices []string
}

// DemandOf sums a grant; the demand of nil is nothing.
func DemandOf(grant *model.AllocatedResources) Demand {
	var d Demand
	if grant == nil {
		return d
	}
	d.Disk = grant.Shared.DiskMB
	for _, t := range grant.Tasks {
		d.CPU += t.Cpu.CpuShares
		d.Memory += t.Memory.MemoryMB
		d.Cores = append(d.Cores, t.Cpu.ReservedCores...)
		d.Devices = device.AppendKeys(d.Devices, t)
	}
	slices.Sort(d.Cores)
	slices.Sort(d.Devices)
	for _, p := range grant.Shared.Ports {
		if !p.IgnoreCollision {
			d.Ports = append(d.Ports, p)
		}
	}
	return d
}

// portUse counts how many allocations hold a port on an address. More than one
// can only be while a node reports late; it must be counted all the same.
type portUse struct {
	ip   string
	port uint16
	n    uint16
}

func (u portUse) compare(ip string, port uint16) int {
	if u.port != port {
		return int(u.port) - int(port)
	}
	return strings.Compare(u.ip, ip)
}

// findPort returns where a port is, or belongs, in the sorted list.
func findPort(used []portUse, ip string, port int) (int, bool) {
	lo, hi := 0, len(used)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := used[mid].compare(ip, uint16(port)); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// bookPorts returns the list with each port counted sign more; used is kept.
func bookPorts(used []portUse, ports []model.PortMapping, sign int) []portUse {
	out := make([]portUse, len(used), len(used)+len(ports))
	copy(out, used)
	for _, p := range ports {
		at, ok := findPort(out, p.HostIP, p.Value)
		switch {
		case !ok && sign > 0:
			out = slices.Insert(out, at, portUse{ip: p.HostIP, port: uint16(p.Value), n: 1})
		case ok && sign < 0 && out[at].n == 1:
			out = slices.Delete(out, at, at+1)
		case ok:
			out[at].n += uint16(sign)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// coreUse counts how many allocations reserve a core.
type coreUse = held.Use[uint16]

// rare is what few allocations hold: cores and devices. It is replaced, never written.
type rare struct {
	cores   []coreUse
	devices []device.Use
}

// bookRare returns what is held with a demand counted sign more; nil for nothing.
func bookRare(used *rare, d *Demand, sign int) *rare {
	var out rare
	if used != nil {
		out = *used
	}
	if len(d.Cores) > 0 {
		out.cores = held.Book(out.cores, d.Cores, sign)
	}
	if len(d.Devices) > 0 {
		out.devices = held.Book(out.devices, d.Devices, sign)
	}
	if out.cores == nil && out.devices == nil {
		return nil
	}
	return &out
}
