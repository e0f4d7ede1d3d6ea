package serve

import (
	"context"
	"errors"
	"fmt"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire"
	"github.com/steppe-project/steppe/plugins/wire/base"
	"github.com/steppe-project/steppe/plugins/wire/driver"
	"google.golang.org/grpc"
)

// RegisterDriver adds the services of a driver plugin to s.
func RegisterDriver(s grpc.ServiceRegistrar, d plugins.Driver) {
	base.RegisterBasePluginServer(s, &baseServer{impl: d})
	driver.RegisterDriverServer(s, &driverServer{impl: d})
}

// driverServer answers the driver's calls. Calls of an optional interface that
// impl does not have are Unimplemented, except the ones of Lifecycle and
// EventSource: those have a harmless answer.
type driverServer struct {
	driver.UnimplementedDriverServer
	impl plugins.Driver
}

// unsupported is the error of an optional call that the driver does not have.
func unsupported(call string) error {
	return wire.ToError(fmt.Errorf("%s: %w by this driver", call, errors.ErrUnsupported))
}

func (s *driverServer) Init(ctx context.Context, _ *driver.InitRequest) (*driver.InitResponse, error) {
	if l, ok := s.impl.(plugins.Lifecycle); ok {
		return &driver.InitResponse{}, wire.ToError(l.Init(ctx))
	}
	return &driver.InitResponse{}, nil
}

func (s *driverServer) Shutdown(ctx context.Context, _ *driver.ShutdownRequest) (*driver.ShutdownResponse, error) {
	if l, ok := s.impl.(plugins.Lifecycle); ok {
		return &driver.ShutdownResponse{}, wire.ToError(l.Shutdown(ctx))
	}
	return &driver.ShutdownResponse{}, nil
}

func (s *driverServer) TaskConfigSchema(ctx context.Context, _ *driver.TaskConfigSchemaRequest) (*driver.TaskConfigSchemaResponse, error) {
	spec, err := s.impl.TaskConfigSchema(ctx)
	return &driver.TaskConfigSchemaResponse{Spec: wire.ToSpec(spec)}, wire.ToError(err)
}

func (s *driverServer) Capabilities(ctx context.Context, _ *driver.CapabilitiesRequest) (*driver.CapabilitiesResponse, error) {
	c, err := s.impl.Capabilities(ctx)
	return &driver.CapabilitiesResponse{Capabilities: wire.ToCapabilities(c)}, wire.ToError(err)
}

func (s *driverServer) Fingerprint(_ *driver.FingerprintRequest, stream grpc.ServerStreamingServer[driver.FingerprintResponse]) error {
	in, err := s.impl.Fingerprint(stream.Context())
	if err != nil {
		return wire.ToError(err)
	}
	return forward(stream, in, wire.ToFingerprint)
}

func (s *driverServer) StartTask(ctx context.Context, r *driver.StartTaskRequest) (*driver.StartTaskResponse, error) {
	h, n, err := s.impl.StartTask(ctx, wire.FromTaskConfig(r.Task))
	if err != nil {
		return nil, wire.ToError(err)
	}
	return &driver.StartTaskResponse{Handle: wire.ToHandle(h), NetworkOverride: wire.ToNetworkOverride(n)}, nil
}

func (s *driverServer) RecoverTask(ctx context.Context, r *driver.RecoverTaskRequest) (*driver.RecoverTaskResponse, error) {
	return &driver.RecoverTaskResponse{}, wire.ToError(s.impl.RecoverTask(ctx, wire.FromHandle(r.Handle)))
}

func (s *driverServer) WaitTask(ctx context.Context, r *driver.WaitTaskRequest) (*driver.WaitTaskResponse, error) {
	exit, err := s.impl.WaitTask(ctx, r.TaskId)
	if err != nil {
		return nil, wire.ToError(err)
	}
	out := &driver.WaitTaskResponse{Result: wire.ToExit(exit)}
	if exit != nil {
		out.Err = exit.Err
	}
	return out, nil
}

func (s *driverServer) StopTask(ctx context.Context, r *driver.StopTaskRequest) (*driver.StopTaskResponse, error) {
	err := s.impl.StopTask(ctx, r.TaskId, wire.FromDuration(r.Timeout), r.Signal)
	return &driver.StopTaskResponse{}, wire.ToError(err)
}

func (s *driverServer) DestroyTask(ctx context.Context, r *driver.DestroyTaskRequest) (*driver.DestroyTaskResponse, error) {
	return &driver.DestroyTaskResponse{}, wire.ToError(s.impl.DestroyTask(ctx, r.TaskId, r.Force))
}

func (s *driverServer) InspectTask(ctx context.Context, r *driver.InspectTaskRequest) (*driver.InspectTaskResponse, error) {
	status, err := s.impl.InspectTask(ctx, r.TaskId)
	return wire.ToStatus(status), wire.ToError(err)
}

func (s *driverServer) TaskStats(r *driver.TaskStatsRequest, stream grpc.ServerStreamingServer[driver.TaskStatsResponse]) error {
	in, err := s.impl.TaskStats(stream.Context(), r.TaskId, wire.FromDuration(r.CollectionInterval))
	if err != nil {
		return wire.ToError(err)
	}
	return forward(stream, in, func(u *plugins.TaskUsage) *driver.TaskStatsResponse {
		return &driver.TaskStatsResponse{Stats: wire.ToUsage(r.TaskId, u)}
	})
}

// TaskEvents of a driver without events is a silent stream: hosts re-open one
// that ends.
func (s *driverServer) TaskEvents(_ *driver.TaskEventsRequest, stream grpc.ServerStreamingServer[driver.DriverTaskEvent]) error {
	source, ok := s.impl.(plugins.EventSource)
	if !ok {
		<-stream.Context().Done()
		return wire.ToError(context.Cause(stream.Context()))
	}
	in, err := source.TaskEvents(stream.Context())
	if err != nil {
		return wire.ToError(err)
	}
	return forward(stream, in, wire.ToEvent)
}

func (s *driverServer) SignalTask(ctx context.Context, r *driver.SignalTaskRequest) (*driver.SignalTaskResponse, error) {
	impl, ok := s.impl.(plugins.SignalTasker)
	if !ok {
		return nil, unsupported("signal")
	}
	return &driver.SignalTaskResponse{}, wire.ToError(impl.SignalTask(ctx, r.TaskId, r.Signal))
}

func (s *driverServer) CreateNetwork(ctx context.Context, r *driver.CreateNetworkRequest) (*driver.CreateNetworkResponse, error) {
	impl, ok := s.impl.(plugins.NetworkCreator)
	if !ok {
		return nil, unsupported("create network")
	}
	spec, created, err := impl.CreateNetwork(ctx, r.AllocId, r.Hostname)
	return &driver.CreateNetworkResponse{IsolationSpec: wire.ToIsolation(spec), Created: created}, wire.ToError(err)
}

func (s *driverServer) DestroyNetwork(ctx context.Context, r *driver.DestroyNetworkRequest) (*driver.DestroyNetworkResponse, error) {
	impl, ok := s.impl.(plugins.NetworkCreator)
	if !ok {
		return nil, unsupported("destroy network")
	}
	return &driver.DestroyNetworkResponse{}, wire.ToError(impl.DestroyNetwork(ctx, r.AllocId, wire.FromIsolation(r.IsolationSpec)))
}
