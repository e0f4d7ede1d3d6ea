package proxy

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire"
	"github.com/steppe-project/steppe/plugins/wire/device"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Device speaks to a device plugin.
type Device struct {
	*Base
	client device.DevicePluginClient
}

var _ plugins.Device = (*Device)(nil)

// NewDevice speaks over conn, which stays the caller's to close.
func NewDevice(conn grpc.ClientConnInterface) *Device {
	return &Device{Base: NewBase(conn), client: device.NewDevicePluginClient(conn)}
}

// Fingerprint implements plugins.Device.
func (d *Device) Fingerprint(ctx context.Context) (<-chan []*plugins.DeviceGroup, error) {
	stream, err := d.client.Fingerprint(ctx, &device.FingerprintRequest{})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return pump(ctx, stream, true, func(r *device.FingerprintResponse) []*plugins.DeviceGroup {
		out := make([]*plugins.DeviceGroup, 0, len(r.DeviceGroup))
		for _, g := range r.DeviceGroup {
			out = append(out, wire.FromDeviceGroup(g))
		}
		return out
	})
}

// Reserve implements plugins.Device.
func (d *Device) Reserve(ctx context.Context, ids []string) (*plugins.Reservation, error) {
	r, err := d.client.Reserve(ctx, &device.ReserveRequest{DeviceIds: ids})
	if err != nil {
		return nil, wire.FromError(err)
	}
	if r.ContainerRes == nil {
		return &plugins.Reservation{}, nil
	}
	return wire.FromReservation(r.ContainerRes), nil
}

// Stats implements plugins.Device.
func (d *Device) Stats(ctx context.Context, interval time.Duration) (<-chan []*plugins.DeviceGroupStats, error) {
	stream, err := d.client.Stats(ctx, &device.StatsRequest{CollectionInterval: durationpb.New(interval)})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return pump(ctx, stream, true, func(r *device.StatsResponse) []*plugins.DeviceGroupStats {
		out := make([]*plugins.DeviceGroupStats, 0, len(r.Groups))
		for _, g := range r.Groups {
			out = append(out, wire.FromDeviceGroupStats(g))
		}
		return out
	})
}
