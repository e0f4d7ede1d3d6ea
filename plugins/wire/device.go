package wire

import (
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/device"
)

// ToDeviceGroup converts a set of like devices.
func ToDeviceGroup(g *plugins.DeviceGroup) *device.DeviceGroup {
	if g == nil {
		return nil
	}
	return &device.DeviceGroup{
		Vendor: g.Vendor, DeviceType: g.Type, DeviceName: g.Name,
		Devices:    each(g.Devices, toDetected),
		Attributes: eachValue(g.Attributes, ToAttribute),
	}
}

// FromDeviceGroup converts a set of like devices.
func FromDeviceGroup(p *device.DeviceGroup) *plugins.DeviceGroup {
	if p == nil {
		return nil
	}
	return &plugins.DeviceGroup{
		Vendor: p.Vendor, Type: p.DeviceType, Name: p.DeviceName,
		Devices:    each(p.Devices, fromDetected),
		Attributes: eachValue(p.Attributes, FromAttribute),
	}
}

func toDetected(d *plugins.DetectedDevice) *device.DetectedDevice {
	if d == nil {
		return nil
	}
	out := &device.DetectedDevice{ID: d.ID, Healthy: d.Healthy, HealthDescription: d.Description}
	if d.PCIBusID != "" {
		out.HwLocality = &device.DeviceLocality{PciBusId: d.PCIBusID}
	}
	return out
}

func fromDetected(p *device.DetectedDevice) *plugins.DetectedDevice {
	if p == nil {
		return nil
	}
	return &plugins.DetectedDevice{
		ID: p.ID, Healthy: p.Healthy, Description: p.HealthDescription,
		PCIBusID: p.GetHwLocality().GetPciBusId(),
	}
}

// ToReservation converts what a task needs to use devices.
func ToReservation(r *plugins.Reservation) *device.ContainerReservation {
	if r == nil {
		return nil
	}
	return &device.ContainerReservation{
		Envs: r.Env,
		Mounts: each(r.Mounts, func(m *plugins.Mount) *device.Mount {
			return &device.Mount{TaskPath: m.TaskPath, HostPath: m.HostPath, ReadOnly: m.ReadOnly}
		}),
		Devices: each(r.Devices, func(d *plugins.DeviceNode) *device.DeviceSpec {
			return &device.DeviceSpec{TaskPath: d.TaskPath, HostPath: d.HostPath, Permissions: d.Permissions}
		}),
	}
}

// FromReservation converts what a task needs to use devices.
func FromReservation(p *device.ContainerReservation) *plugins.Reservation {
	if p == nil {
		return nil
	}
	return &plugins.Reservation{
		Env: filledMap(p.Envs),
		Mounts: each(p.Mounts, func(m *device.Mount) *plugins.Mount {
			return &plugins.Mount{TaskPath: m.GetTaskPath(), HostPath: m.GetHostPath(), ReadOnly: m.GetReadOnly()}
		}),
		Devices: each(p.Devices, func(d *device.DeviceSpec) *plugins.DeviceNode {
			return &plugins.DeviceNode{TaskPath: d.GetTaskPath(), HostPath: d.GetHostPath(), Permissions: d.GetPermissions()}
		}),
	}
}

// ToDeviceGroupStats converts the statistics of a group.
func ToDeviceGroupStats(g *plugins.DeviceGroupStats) *device.DeviceGroupStats {
	if g == nil {
		return nil
	}
	return &device.DeviceGroupStats{
		Vendor: g.Vendor, Type: g.Type, Name: g.Name,
		InstanceStats: eachValue(g.Instances, func(s *plugins.DeviceStats) *device.DeviceStats {
			return &device.DeviceStats{Summary: ToStatValue(s.Summary), Stats: ToStatObject(s.Stats), Timestamp: ToTime(s.Timestamp)}
		}),
	}
}

// FromDeviceGroupStats converts the statistics of a group.
func FromDeviceGroupStats(p *device.DeviceGroupStats) *plugins.DeviceGroupStats {
	if p == nil {
		return nil
	}
	return &plugins.DeviceGroupStats{
		Vendor: p.Vendor, Type: p.Type, Name: p.Name,
		Instances: eachValue(p.InstanceStats, func(s *device.DeviceStats) *plugins.DeviceStats {
			return &plugins.DeviceStats{Summary: FromStatValue(s.GetSummary()), Stats: FromStatObject(s.GetStats()), Timestamp: FromTime(s.GetTimestamp())}
		}),
	}
}
