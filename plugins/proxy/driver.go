package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire"
	"github.com/steppe-project/steppe/plugins/wire/driver"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Driver speaks to a driver plugin. It has the methods of every optional
// interface; which of them the plugin answers is in its Capabilities.
type Driver struct {
	*Base
	client driver.DriverClient
}

var (
	_ plugins.Driver         = (*Driver)(nil)
	_ plugins.Lifecycle      = (*Driver)(nil)
	_ plugins.SignalTasker   = (*Driver)(nil)
	_ plugins.ExecTasker     = (*Driver)(nil)
	_ plugins.EventSource    = (*Driver)(nil)
	_ plugins.NetworkCreator = (*Driver)(nil)
)

// NewDriver speaks over conn, which stays the caller's to close.
func NewDriver(conn grpc.ClientConnInterface) *Driver {
	return &Driver{Base: NewBase(conn), client: driver.NewDriverClient(conn)}
}

// Init implements plugins.Lifecycle; plugins without it are fine.
func (d *Driver) Init(ctx context.Context) error {
	_, err := d.client.Init(ctx, &driver.InitRequest{})
	return unlessUnsupported(wire.FromError(err))
}

// Shutdown implements plugins.Lifecycle; plugins without it are fine.
func (d *Driver) Shutdown(ctx context.Context) error {
	_, err := d.client.Shutdown(ctx, &driver.ShutdownRequest{})
	return unlessUnsupported(wire.FromError(err))
}

func unlessUnsupported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// Capabilities implements plugins.Driver.
func (d *Driver) Capabilities(ctx context.Context) (*plugins.Capabilities, error) {
	r, err := d.client.Capabilities(ctx, &driver.CapabilitiesRequest{})
	if err != nil {
		return nil, wire.FromError(err)
	}
	if r.Capabilities == nil {
		return &plugins.Capabilities{}, nil
	}
	return wire.FromCapabilities(r.Capabilities), nil
}

// TaskConfigSchema implements plugins.Driver.
func (d *Driver) TaskConfigSchema(ctx context.Context) (*plugins.Spec, error) {
	r, err := d.client.TaskConfigSchema(ctx, &driver.TaskConfigSchemaRequest{})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return wire.FromSpec(r.GetSpec()), nil
}

// Fingerprint implements plugins.Fingerprinter.
func (d *Driver) Fingerprint(ctx context.Context) (<-chan *plugins.Fingerprint, error) {
	stream, err := d.client.Fingerprint(ctx, &driver.FingerprintRequest{})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return pump(ctx, stream, true, wire.FromFingerprint)
}

// StartTask implements plugins.TaskRunner.
func (d *Driver) StartTask(ctx context.Context, c *plugins.TaskConfig) (*plugins.TaskHandle, *plugins.NetworkOverride, error) {
	r, err := d.client.StartTask(ctx, &driver.StartTaskRequest{Task: wire.ToTaskConfig(c)})
	if err != nil {
		return nil, nil, wire.FromError(err)
	}
	switch r.Result {
	case driver.StartTaskResponse_RETRY:
		return nil, nil, plugins.Recoverable(errors.New(r.DriverErrorMsg))
	case driver.StartTaskResponse_FATAL:
		return nil, nil, errors.New(r.DriverErrorMsg)
	}
	if r.Handle == nil {
		return nil, nil, errors.New("the driver started the task but gave no handle to find it again")
	}
	return wire.FromHandle(r.Handle), wire.FromNetworkOverride(r.NetworkOverride), nil
}

// RecoverTask implements plugins.TaskRunner. The request's own task_id stays
// empty, as existing plugins have always seen it.
func (d *Driver) RecoverTask(ctx context.Context, h *plugins.TaskHandle) error {
	_, err := d.client.RecoverTask(ctx, &driver.RecoverTaskRequest{Handle: wire.ToHandle(h)})
	return wire.FromError(err)
}

// StopTask implements plugins.TaskRunner.
func (d *Driver) StopTask(ctx context.Context, id string, timeout time.Duration, signal string) error {
	_, err := d.client.StopTask(ctx, &driver.StopTaskRequest{TaskId: id, Timeout: durationpb.New(timeout), Signal: signal})
	return wire.FromError(err)
}

// DestroyTask implements plugins.TaskRunner.
func (d *Driver) DestroyTask(ctx context.Context, id string, force bool) error {
	_, err := d.client.DestroyTask(ctx, &driver.DestroyTaskRequest{TaskId: id, Force: force})
	return wire.FromError(err)
}

// WaitTask implements plugins.TaskObserver.
func (d *Driver) WaitTask(ctx context.Context, id string) (*plugins.ExitResult, error) {
	r, err := d.client.WaitTask(ctx, &driver.WaitTaskRequest{TaskId: id})
	if err != nil {
		return nil, wire.FromError(err)
	}
	exit := wire.FromExit(r.Result)
	switch {
	case exit == nil && r.Err != "":
		return nil, errors.New(r.Err)
	case exit == nil:
		return nil, errors.New("the driver says that the task has ended but not how")
	case r.Err != "":
		exit.Err = r.Err
	}
	return exit, nil
}

// InspectTask implements plugins.TaskObserver.
func (d *Driver) InspectTask(ctx context.Context, id string) (*plugins.TaskStatus, error) {
	r, err := d.client.InspectTask(ctx, &driver.InspectTaskRequest{TaskId: id})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return wire.FromStatus(r), nil
}

// TaskStats implements plugins.TaskObserver.
func (d *Driver) TaskStats(ctx context.Context, id string, interval time.Duration) (<-chan *plugins.TaskUsage, error) {
	stream, err := d.client.TaskStats(ctx, &driver.TaskStatsRequest{TaskId: id, CollectionInterval: durationpb.New(interval)})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return pump(ctx, stream, true, func(r *driver.TaskStatsResponse) *plugins.TaskUsage { return wire.FromUsage(r.GetStats()) })
}

// TaskEvents implements plugins.EventSource. A driver that refuses it closes the
// channel at once: third-party plugins say nothing before their first event, so
// that waiting for their word would block.
func (d *Driver) TaskEvents(ctx context.Context) (<-chan *plugins.TaskEvent, error) {
	stream, err := d.client.TaskEvents(ctx, &driver.TaskEventsRequest{})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return pump(ctx, stream, false, wire.FromEvent)
}

// SignalTask implements plugins.SignalTasker.
func (d *Driver) SignalTask(ctx context.Context, id, signal string) error {
	_, err := d.client.SignalTask(ctx, &driver.SignalTaskRequest{TaskId: id, Signal: signal})
	return wire.FromError(err)
}

// CreateNetwork implements plugins.NetworkCreator.
func (d *Driver) CreateNetwork(ctx context.Context, allocID, hostname string) (*plugins.NetworkIsolation, bool, error) {
	r, err := d.client.CreateNetwork(ctx, &driver.CreateNetworkRequest{AllocId: allocID, Hostname: hostname})
	if err != nil {
		return nil, false, wire.FromError(err)
	}
	return wire.FromIsolation(r.IsolationSpec), r.Created, nil
}

// DestroyNetwork implements plugins.NetworkCreator.
func (d *Driver) DestroyNetwork(ctx context.Context, allocID string, spec *plugins.NetworkIsolation) error {
	_, err := d.client.DestroyNetwork(ctx, &driver.DestroyNetworkRequest{AllocId: allocID, IsolationSpec: wire.ToIsolation(spec)})
	return wire.FromError(err)
}
