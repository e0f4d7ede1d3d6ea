package hook

import (
	"context"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// megabyte of the job language's memory and log sizes.
const megabyte = 1 << 20

// resources hands on what the servers granted.
func resources(_ context.Context, b *Build) error {
	granted := b.granted()
	r := &plugins.Resources{
		CPUShares: granted.Cpu.CpuShares, MemoryMB: granted.Memory.MemoryMB, MemoryMaxMB: granted.Memory.MemoryMaxMB,
		Linux: &plugins.LinuxResources{
			CPUShares: granted.Cpu.CpuShares, CpusetCPUs: coreList(granted.Cpu.ReservedCores),
			MemoryLimitBytes: granted.Memory.MemoryMB * megabyte,
		},
	}
	if total := b.Node.NodeResources; total != nil && total.Cpu.CpuShares > 0 {
		r.Linux.PercentTicks = float64(granted.Cpu.CpuShares) / float64(total.Cpu.CpuShares)
	}
	r.Linux.CpusetCgroup = b.cpusetGroup(len(granted.Cpu.ReservedCores) > 0)
	for _, p := range b.ports() {
		r.Ports = append(r.Ports, plugins.PortMapping{Label: p.Label, Value: p.Value, To: p.To, HostIP: p.HostIP})
	}
	b.Config.Resources = r
	b.Config.User = b.Env.Replace(b.Task.User)
	return nil
}

// cpusetGroup is the control group in which drivers look for the task's cores.
// Its names are compiled into existing drivers.
func (b *Build) cpusetGroup(reserved bool) string {
	scope := b.Alloc.ID + "." + b.Task.Name
	switch b.Node.Attributes["os.cgroups.version"] {
	case "2":
		slice := "share.slice"
		if reserved {
			slice = "reserve.slice"
		}
		return "/sys/fs/cgroup/nomad.slice/" + slice + "/" + scope + ".scope"
	case "1":
		if reserved {
			return "/sys/fs/cgroup/cpuset/nomad/reserve/" + scope
		}
		return "/sys/fs/cgroup/cpuset/nomad/share"
	}
	return ""
}

// granted is the task's share; what it asked for where the servers say nothing.
func (b *Build) granted() *model.AllocatedTaskResources {
	if b.Alloc.AllocatedResources != nil {
		if t := b.Alloc.AllocatedResources.Tasks[b.Task.Name]; t != nil {
			return t
		}
	}
	t := &model.AllocatedTaskResources{}
	if asked := b.Task.Resources; asked != nil {
		t.Cpu.CpuShares = int64(asked.CPU)
		t.Memory.MemoryMB, t.Memory.MemoryMaxMB = int64(asked.MemoryMB), int64(asked.MemoryMaxMB)
	}
	return t
}

// ports are the allocation's ports.
func (b *Build) ports() []model.PortMapping {
	if b.Alloc.AllocatedResources == nil {
		return nil
	}
	return b.Alloc.AllocatedResources.Shared.Ports
}
