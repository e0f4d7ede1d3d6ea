package place

import (
	"math/rand/v2"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/device"
)

// grant is what an instance gets on a row that it fits; nil when the ask's
// shared grant says it all.
func (b *Board) grant(row int32, a *Ask) *model.AllocatedResources {
	if !a.own() {
		return nil
	}
	c, i := b.fleet.at(row)
	info := c.info[i]
	g := b.newGrant(a, info)
	if a.Cores > 0 {
		cores := chooseCores(info, c.cores(i), a.Cores)
		for _, t := range a.Group.Tasks {
			if t.Resources == nil || t.Resources.Cores == 0 {
				continue
			}
			n := min(t.Resources.Cores, len(cores))
			g.Tasks[t.Name].Cpu.ReservedCores = cores[:n:n]
			cores = cores[n:]
		}
	}
	if len(a.Devices) > 0 {
		// The row fits, so none can be missing.
		granted, _ := device.Assign(info.devices, c.devices(i), a.Devices)
		for _, d := range granted {
			g.Tasks[d.Task].Devices = append(g.Tasks[d.Task].Devices, d.Device)
		}
	}
	if len(a.Ports) > 0 {
		// The row fits, so no port can be missing.
		ports, _ := assignPorts(info, c.ports[i], a.Ports, b.rng.IntN)
		g.Shared.Ports = ports
		g.Shared.Networks = networks(a, ports)
	}
	return g
}

// newGrant is the part of a grant that all instances share; info converts
// cores to MHz and may be nil without cores.
func (b *Board) newGrant(a *Ask, info *nodeInfo) *model.AllocatedResources {
	g := &model.AllocatedResources{
		Tasks:  make(map[string]*model.AllocatedTaskResources, len(a.Group.Tasks)),
		Shared: model.AllocatedSharedResources{DiskMB: a.Disk},
	}
	for _, t := range a.Group.Tasks {
		r := t.Resources
		if r == nil {
			r = &model.Resources{}
		}
		got := &model.AllocatedTaskResources{}
		got.Cpu.CpuShares = int64(r.CPU)
		if r.Cores > 0 && info != nil {
			got.Cpu.CpuShares = int64(r.Cores) * info.coreMHz
		}
		got.Memory.MemoryMB = int64(r.MemoryMB)
		if b.set.Oversubscribe {
			got.Memory.MemoryMaxMB = int64(r.MemoryMaxMB)
		}
		g.Tasks[t.Name] = got
	}
	if len(a.Ports) == 0 {
		g.Shared.Networks = a.Group.Networks
	}
	return g
}

// networks are the group's networks with the addresses and ports granted.
func networks(a *Ask, ports []model.PortMapping) []*model.NetworkResource {
	granted := make(map[string]model.PortMapping, len(ports))
	for _, p := range ports {
		granted[p.Label] = p
	}
	out := make([]*model.NetworkResource, 0, len(a.Group.Networks))
	for _, n := range a.Group.Networks {
		got := *n
		got.ReservedPorts = fill(n.ReservedPorts, granted, &got.IP)
		got.DynamicPorts = fill(n.DynamicPorts, granted, &got.IP)
		out = append(out, &got)
	}
	return out
}

func fill(ports []model.Port, granted map[string]model.PortMapping, ip *string) []model.Port {
	if len(ports) == 0 {
		return nil
	}
	out := make([]model.Port, len(ports))
	for i, p := range ports {
		m := granted[p.Label]
		p.Value, p.To = m.Value, m.To
		out[i] = p
		if *ip == "" {
			*ip = m.HostIP
		}
	}
	return out
}

// newRand makes the generator of one decision.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }
