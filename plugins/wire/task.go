package wire

import (
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/driver"
)

// ToTaskConfig converts everything a driver needs to start a task.
func ToTaskConfig(c *plugins.TaskConfig) *driver.TaskConfig {
	if c == nil {
		return nil
	}
	return &driver.TaskConfig{
		Id: c.ID, Name: c.Name, AllocId: c.AllocID,
		JobId: c.JobID, JobName: c.JobName, ParentJobId: c.ParentJobID,
		TaskGroupName: c.GroupName, Namespace: c.Namespace,
		NodeId: c.NodeID, NodeName: c.NodeName,
		MsgpackDriverConfig:  c.Msgpack,
		Env:                  c.Env,
		DeviceEnv:            c.DeviceEnv,
		Resources:            toResources(c.Resources),
		Mounts:               each(c.Mounts, toMount),
		Devices:              each(c.Devices, toDeviceNode),
		User:                 c.User,
		AllocDir:             c.AllocDir,
		StdoutPath:           c.StdoutPath,
		StderrPath:           c.StderrPath,
		LogRotation:          toLogs(c.Logs),
		NetworkIsolationSpec: ToIsolation(c.NetworkIsolation),
		Dns:                  toDNS(c.DNS),
	}
}

// FromTaskConfig converts everything a driver needs to start a task.
func FromTaskConfig(p *driver.TaskConfig) *plugins.TaskConfig {
	if p == nil {
		return nil
	}
	return &plugins.TaskConfig{
		ID: p.Id, Name: p.Name, AllocID: p.AllocId,
		JobID: p.JobId, JobName: p.JobName, ParentJobID: p.ParentJobId,
		GroupName: p.TaskGroupName, Namespace: p.Namespace,
		NodeID: p.NodeId, NodeName: p.NodeName,
		Msgpack:          filled(p.MsgpackDriverConfig),
		Env:              filledMap(p.Env),
		DeviceEnv:        filledMap(p.DeviceEnv),
		Resources:        fromResources(p.Resources),
		Mounts:           each(p.Mounts, fromMount),
		Devices:          each(p.Devices, fromDeviceNode),
		User:             p.User,
		AllocDir:         p.AllocDir,
		StdoutPath:       p.StdoutPath,
		StderrPath:       p.StderrPath,
		Logs:             fromLogs(p.LogRotation),
		NetworkIsolation: FromIsolation(p.NetworkIsolationSpec),
		DNS:              fromDNS(p.Dns),
	}
}

// ToIsolation converts a network namespace. Its hosts entry is sent when it
// names something.
func ToIsolation(n *plugins.NetworkIsolation) *driver.NetworkIsolationSpec {
	if n == nil {
		return nil
	}
	out := &driver.NetworkIsolationSpec{Mode: toNetMode(n.Mode), Path: n.Path, Labels: n.Labels}
	if n.Hostname != "" || n.Address != "" {
		out.HostsConfig = &driver.HostsConfig{Hostname: n.Hostname, Address: n.Address}
	}
	return out
}

// FromIsolation converts a network namespace.
func FromIsolation(p *driver.NetworkIsolationSpec) *plugins.NetworkIsolation {
	if p == nil {
		return nil
	}
	return &plugins.NetworkIsolation{
		Mode: fromNetMode(p.Mode), Path: p.Path, Labels: filledMap(p.Labels),
		Hostname: p.GetHostsConfig().GetHostname(), Address: p.GetHostsConfig().GetAddress(),
	}
}

// toResources always sends the sub-messages: drivers read them without looking.
func toResources(r *plugins.Resources) *driver.Resources {
	if r == nil {
		return nil
	}
	return &driver.Resources{
		AllocatedResources: &driver.AllocatedTaskResources{
			Cpu:      &driver.AllocatedCpuResources{CpuShares: r.CPUShares},
			Memory:   &driver.AllocatedMemoryResources{MemoryMb: r.MemoryMB, MemoryMaxMb: r.MemoryMaxMB},
			Networks: each(r.Networks, toTaskNetwork),
		},
		LinuxResources: toLinux(r.Linux),
		Ports:          each(r.Ports, toPort),
	}
}

func fromResources(p *driver.Resources) *plugins.Resources {
	if p == nil {
		return nil
	}
	a := p.GetAllocatedResources()
	return &plugins.Resources{
		CPUShares:   a.GetCpu().GetCpuShares(),
		MemoryMB:    a.GetMemory().GetMemoryMb(),
		MemoryMaxMB: a.GetMemory().GetMemoryMaxMb(),
		Linux:       fromLinux(p.LinuxResources),
		Ports:       each(p.Ports, fromPort),
		Networks:    each(a.GetNetworks(), fromTaskNetwork),
	}
}

func toLinux(l *plugins.LinuxResources) *driver.LinuxResources {
	if l == nil {
		return nil
	}
	return &driver.LinuxResources{
		CpuPeriod: l.CPUPeriod, CpuQuota: l.CPUQuota, CpuShares: l.CPUShares,
		MemoryLimitBytes: l.MemoryLimitBytes, OomScoreAdj: l.OOMScoreAdj,
		CpusetCpus: l.CpusetCPUs, CpusetCgroup: l.CpusetCgroup, PercentTicks: l.PercentTicks,
	}
}

func fromLinux(p *driver.LinuxResources) *plugins.LinuxResources {
	if p == nil {
		return nil
	}
	return &plugins.LinuxResources{
		CPUPeriod: p.CpuPeriod, CPUQuota: p.CpuQuota, CPUShares: p.CpuShares,
		MemoryLimitBytes: p.MemoryLimitBytes, OOMScoreAdj: p.OomScoreAdj,
		CpusetCPUs: p.CpusetCpus, CpusetCgroup: p.CpusetCgroup, PercentTicks: p.PercentTicks,
	}
}

func toPort(p plugins.PortMapping) *driver.PortMapping {
	return &driver.PortMapping{Label: p.Label, Value: int32Of(p.Value), To: int32Of(p.To), HostIp: p.HostIP}
}

func fromPort(p *driver.PortMapping) plugins.PortMapping {
	return plugins.PortMapping{Label: p.GetLabel(), Value: int(p.GetValue()), To: int(p.GetTo()), HostIP: p.GetHostIp()}
}

func toTaskNetwork(n plugins.TaskNetwork) *driver.NetworkResource {
	port := func(p plugins.PortMapping) *driver.NetworkPort {
		return &driver.NetworkPort{Label: p.Label, Value: int32Of(p.Value)}
	}
	return &driver.NetworkResource{
		Device: n.Device, Cidr: n.CIDR, Ip: n.IP, Mbits: int32Of(n.MBits),
		ReservedPorts: each(n.ReservedPorts, port), DynamicPorts: each(n.DynPorts, port),
	}
}

func fromTaskNetwork(p *driver.NetworkResource) plugins.TaskNetwork {
	port := func(p *driver.NetworkPort) plugins.PortMapping {
		return plugins.PortMapping{Label: p.GetLabel(), Value: int(p.GetValue())}
	}
	return plugins.TaskNetwork{
		Device: p.GetDevice(), CIDR: p.GetCidr(), IP: p.GetIp(), MBits: int(p.GetMbits()),
		ReservedPorts: each(p.GetReservedPorts(), port), DynPorts: each(p.GetDynamicPorts(), port),
	}
}

func toMount(m *plugins.Mount) *driver.Mount {
	if m == nil {
		return nil
	}
	return &driver.Mount{
		TaskPath: m.TaskPath, HostPath: m.HostPath, Readonly: m.ReadOnly,
		PropagationMode: m.PropagationMode, SelinuxLabel: m.SELinuxLabel, RequestName: m.RequestName,
	}
}

func fromMount(p *driver.Mount) *plugins.Mount {
	return &plugins.Mount{
		TaskPath: p.GetTaskPath(), HostPath: p.GetHostPath(), ReadOnly: p.GetReadonly(),
		PropagationMode: p.GetPropagationMode(), SELinuxLabel: p.GetSelinuxLabel(), RequestName: p.GetRequestName(),
	}
}

func toDeviceNode(d *plugins.DeviceNode) *driver.Device {
	if d == nil {
		return nil
	}
	return &driver.Device{TaskPath: d.TaskPath, HostPath: d.HostPath, CgroupPermissions: d.Permissions}
}

func fromDeviceNode(p *driver.Device) *plugins.DeviceNode {
	return &plugins.DeviceNode{TaskPath: p.GetTaskPath(), HostPath: p.GetHostPath(), Permissions: p.GetCgroupPermissions()}
}

func toLogs(l *plugins.LogRotation) *driver.LogRotation {
	if l == nil {
		return nil
	}
	return &driver.LogRotation{Dir: l.Dir, Name: l.Name, MaxFiles: int32Of(l.MaxFiles), MaxBytes: l.MaxBytes}
}

func fromLogs(p *driver.LogRotation) *plugins.LogRotation {
	if p == nil {
		return nil
	}
	return &plugins.LogRotation{Dir: p.Dir, Name: p.Name, MaxFiles: int(p.MaxFiles), MaxBytes: p.MaxBytes}
}

func toDNS(d *plugins.DNSConfig) *driver.DNSConfig {
	if d == nil {
		return nil
	}
	return &driver.DNSConfig{Servers: d.Servers, Searches: d.Searches, Options: d.Options}
}

func fromDNS(p *driver.DNSConfig) *plugins.DNSConfig {
	if p == nil {
		return nil
	}
	return &plugins.DNSConfig{Servers: filled(p.Servers), Searches: filled(p.Searches), Options: filled(p.Options)}
}
