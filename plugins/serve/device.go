package serve

import (
	"context"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire"
	"github.com/steppe-project/steppe/plugins/wire/base"
	"github.com/steppe-project/steppe/plugins/wire/device"
	"google.golang.org/grpc"
)

// RegisterDevice adds the services of a device plugin to s.
func RegisterDevice(s grpc.ServiceRegistrar, d plugins.Device) {
	base.RegisterBasePluginServer(s, &baseServer{impl: d})
	device.RegisterDevicePluginServer(s, &deviceServer{impl: d})
}

type deviceServer struct {
	device.UnimplementedDevicePluginServer
	impl plugins.Device
}

func (s *deviceServer) Fingerprint(_ *device.FingerprintRequest, stream grpc.ServerStreamingServer[device.FingerprintResponse]) error {
	in, err := s.impl.Fingerprint(stream.Context())
	if err != nil {
		return wire.ToError(err)
	}
	return forward(stream, in, func(groups []*plugins.DeviceGroup) *device.FingerprintResponse {
		out := &device.FingerprintResponse{}
		for _, g := range groups {
			out.DeviceGroup = append(out.DeviceGroup, wire.ToDeviceGroup(g))
		}
		return out
	})
}

func (s *deviceServer) Reserve(ctx context.Context, r *device.ReserveRequest) (*device.ReserveResponse, error) {
	out, err := s.impl.Reserve(ctx, r.DeviceIds)
	return &device.ReserveResponse{ContainerRes: wire.ToReservation(out)}, wire.ToError(err)
}

func (s *deviceServer) Stats(r *device.StatsRequest, stream grpc.ServerStreamingServer[device.StatsResponse]) error {
	in, err := s.impl.Stats(stream.Context(), wire.FromDuration(r.CollectionInterval))
	if err != nil {
		return wire.ToError(err)
	}
	return forward(stream, in, func(groups []*plugins.DeviceGroupStats) *device.StatsResponse {
		out := &device.StatsResponse{}
		for _, g := range groups {
			out.Groups = append(out.Groups, wire.ToDeviceGroupStats(g))
		}
		return out
	})
}
