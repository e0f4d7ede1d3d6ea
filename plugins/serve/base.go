package serve

import (
	"context"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire"
	"github.com/steppe-project/steppe/plugins/wire/base"
)

// baseServer answers the calls that every plugin has.
type baseServer struct {
	base.UnimplementedBasePluginServer
	impl plugins.Base
}

func (s *baseServer) PluginInfo(ctx context.Context, _ *base.PluginInfoRequest) (*base.PluginInfoResponse, error) {
	info, err := s.impl.PluginInfo(ctx)
	return wire.ToInfo(info), wire.ToError(err)
}

func (s *baseServer) ConfigSchema(ctx context.Context, _ *base.ConfigSchemaRequest) (*base.ConfigSchemaResponse, error) {
	spec, err := s.impl.ConfigSchema(ctx)
	return &base.ConfigSchemaResponse{Spec: wire.ToSpec(spec)}, wire.ToError(err)
}

func (s *baseServer) SetConfig(ctx context.Context, r *base.SetConfigRequest) (*base.SetConfigResponse, error) {
	return &base.SetConfigResponse{}, wire.ToError(s.impl.SetConfig(ctx, wire.FromConfig(r)))
}
