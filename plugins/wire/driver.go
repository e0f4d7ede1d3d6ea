package wire

import (
	"errors"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/driver"
)

// ToCapabilities converts a driver's constant properties.
func ToCapabilities(c *plugins.Capabilities) *driver.DriverCapabilities {
	if c == nil {
		return nil
	}
	out := &driver.DriverCapabilities{
		SendSignals:           c.SendSignals,
		Exec:                  c.Exec,
		FsIsolation:           driver.DriverCapabilities_FSIsolation(c.FSIsolation),
		NetworkIsolationModes: each(c.NetModes, toNetMode),
		MustCreateNetwork:     c.MustCreateNetwork,
		DisableLogCollection:  c.DisableLogCollection,
		DynamicWorkloadUsers:  c.DynamicWorkloadUsers,
		RotatesLogs:           c.RotatesLogs,
	}
	if c.NoMounts {
		out.MountConfigs = driver.DriverCapabilities_NO_MOUNTS
	}
	return out
}

// FromCapabilities converts a driver's constant properties.
func FromCapabilities(p *driver.DriverCapabilities) *plugins.Capabilities {
	if p == nil {
		return nil
	}
	return &plugins.Capabilities{
		SendSignals:          p.SendSignals,
		Exec:                 p.Exec,
		FSIsolation:          plugins.FSIsolation(p.FsIsolation),
		NetModes:             each(p.NetworkIsolationModes, fromNetMode),
		MustCreateNetwork:    p.MustCreateNetwork,
		NoMounts:             p.MountConfigs == driver.DriverCapabilities_NO_MOUNTS,
		DisableLogCollection: p.DisableLogCollection,
		DynamicWorkloadUsers: p.DynamicWorkloadUsers,
		RotatesLogs:          p.RotatesLogs,
	}
}

func toNetMode(m plugins.NetMode) driver.NetworkIsolationSpec_NetworkIsolationMode {
	return driver.NetworkIsolationSpec_NetworkIsolationMode(m)
}

func fromNetMode(m driver.NetworkIsolationSpec_NetworkIsolationMode) plugins.NetMode {
	return plugins.NetMode(m)
}

// ToFingerprint converts a report of a driver's presence.
func ToFingerprint(f *plugins.Fingerprint) *driver.FingerprintResponse {
	if f == nil {
		return nil
	}
	out := &driver.FingerprintResponse{
		Attributes:        eachValue(f.Attributes, ToAttribute),
		Health:            driver.FingerprintResponse_HealthState(f.Health),
		HealthDescription: f.Description,
	}
	if f.Err != nil {
		out.Err = f.Err.Error()
	}
	return out
}

// FromFingerprint converts a report of a driver's presence.
func FromFingerprint(p *driver.FingerprintResponse) *plugins.Fingerprint {
	if p == nil {
		return nil
	}
	out := &plugins.Fingerprint{
		Attributes:  eachValue(p.Attributes, FromAttribute),
		Health:      plugins.Health(p.Health),
		Description: p.HealthDescription,
	}
	if p.Err != "" {
		out.Err = errors.New(p.Err)
	}
	return out
}

// ToHandle converts what finds a task again.
func ToHandle(h *plugins.TaskHandle) *driver.TaskHandle {
	if h == nil {
		return nil
	}
	return &driver.TaskHandle{
		Version:     int32Of(h.Version),
		Config:      ToTaskConfig(h.Config),
		State:       driver.TaskState(h.State),
		DriverState: h.DriverState,
	}
}

// FromHandle converts what finds a task again.
func FromHandle(p *driver.TaskHandle) *plugins.TaskHandle {
	if p == nil {
		return nil
	}
	return &plugins.TaskHandle{
		Version:     int(p.Version),
		Config:      FromTaskConfig(p.Config),
		State:       plugins.TaskState(p.State),
		DriverState: filled(p.DriverState),
	}
}

// ToNetworkOverride converts a driver's own address for a task.
func ToNetworkOverride(n *plugins.NetworkOverride) *driver.NetworkOverride {
	if n == nil {
		return nil
	}
	return &driver.NetworkOverride{PortMap: eachValue(n.PortMap, int32Of), Addr: n.IP, AutoAdvertise: n.AutoAdvertise}
}

// FromNetworkOverride converts a driver's own address for a task.
func FromNetworkOverride(p *driver.NetworkOverride) *plugins.NetworkOverride {
	if p == nil {
		return nil
	}
	return &plugins.NetworkOverride{
		PortMap:       eachValue(p.PortMap, func(n int32) int { return int(n) }),
		IP:            p.Addr,
		AutoAdvertise: p.AutoAdvertise,
	}
}

// ToExit converts how a task ended.
func ToExit(e *plugins.ExitResult) *driver.ExitResult {
	if e == nil {
		return nil
	}
	return &driver.ExitResult{
		ExitCode: int32Of(e.ExitCode), Signal: int32Of(e.Signal), OomKilled: e.OOMKilled, Message: e.Err,
	}
}

// FromExit converts how a task ended.
func FromExit(p *driver.ExitResult) *plugins.ExitResult {
	if p == nil {
		return nil
	}
	return &plugins.ExitResult{
		ExitCode: int(p.ExitCode), Signal: int(p.Signal), OOMKilled: p.OomKilled, Err: p.Message,
	}
}

// ToStatus converts a driver's report on one task.
func ToStatus(s *plugins.TaskStatus) *driver.InspectTaskResponse {
	if s == nil {
		return nil
	}
	out := &driver.InspectTaskResponse{
		Task: &driver.TaskStatus{
			Id: s.ID, Name: s.Name,
			State:       driver.TaskState(s.State),
			StartedAt:   ToTime(s.StartedAt),
			CompletedAt: ToTime(s.CompletedAt),
			Result:      ToExit(s.Exit),
		},
		// Never nil: older hosts read the attributes without looking.
		Driver:          &driver.TaskDriverStatus{Attributes: s.Attributes},
		NetworkOverride: ToNetworkOverride(s.Network),
	}
	return out
}

// FromStatus converts a driver's report on one task. Some drivers send an empty
// result for a running task; it is dropped unless the task has exited.
func FromStatus(p *driver.InspectTaskResponse) *plugins.TaskStatus {
	if p == nil {
		return nil
	}
	t := p.GetTask()
	out := &plugins.TaskStatus{
		ID: t.GetId(), Name: t.GetName(),
		State:       plugins.TaskState(t.GetState()),
		StartedAt:   FromTime(t.GetStartedAt()),
		CompletedAt: FromTime(t.GetCompletedAt()),
		Attributes:  filledMap(p.GetDriver().GetAttributes()),
		Network:     FromNetworkOverride(p.NetworkOverride),
	}
	if out.State == plugins.StateExited {
		out.Exit = FromExit(t.GetResult())
	}
	return out
}

// ToEvent converts a driver's message on a task.
func ToEvent(e *plugins.TaskEvent) *driver.DriverTaskEvent {
	if e == nil {
		return nil
	}
	return &driver.DriverTaskEvent{
		TaskId: e.TaskID, AllocId: e.AllocID, TaskName: e.TaskName,
		Timestamp: ToTime(e.Timestamp), Message: e.Message, Annotations: e.Annotations,
	}
}

// FromEvent converts a driver's message on a task.
func FromEvent(p *driver.DriverTaskEvent) *plugins.TaskEvent {
	if p == nil {
		return nil
	}
	return &plugins.TaskEvent{
		TaskID: p.TaskId, AllocID: p.AllocId, TaskName: p.TaskName,
		Timestamp: FromTime(p.Timestamp), Message: p.Message, Annotations: filledMap(p.Annotations),
	}
}
