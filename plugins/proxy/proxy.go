// Package proxy is the host's side of the wire: it gives a plugin behind a gRPC
// connection the contract's Go interfaces.
//
//	d := proxy.NewDriver(conn) // a plugins.Driver with all optional interfaces
//
// Errors are those of wire.FromError: plain text, wrapping the contract's
// sentinels; a lost process is plugins.ErrUnavailable, a call that the plugin
// does not have errors.ErrUnsupported. Every call ends with its context. The
// channels of streaming calls are closed when the plugin ends the stream, the
// process dies or the context ends; until one of these, the caller reads them.
package proxy

import (
	"context"
	"errors"
	"io"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire"
	"github.com/steppe-project/steppe/plugins/wire/base"
	"google.golang.org/grpc"
)

// Base speaks to any plugin.
type Base struct{ client base.BasePluginClient }

// NewBase is for a plugin whose type is not known yet.
func NewBase(conn grpc.ClientConnInterface) *Base {
	return &Base{base.NewBasePluginClient(conn)}
}

// PluginInfo implements plugins.Base.
func (b *Base) PluginInfo(ctx context.Context) (*plugins.Info, error) {
	r, err := b.client.PluginInfo(ctx, &base.PluginInfoRequest{})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return wire.FromInfo(r), nil
}

// ConfigSchema implements plugins.Base.
func (b *Base) ConfigSchema(ctx context.Context) (*plugins.Spec, error) {
	r, err := b.client.ConfigSchema(ctx, &base.ConfigSchemaRequest{})
	if err != nil {
		return nil, wire.FromError(err)
	}
	return wire.FromSpec(r.GetSpec()), nil
}

// SetConfig implements plugins.Base.
func (b *Base) SetConfig(ctx context.Context, c *plugins.Config) error {
	_, err := b.client.SetConfig(ctx, wire.ToConfig(c))
	return wire.FromError(err)
}

// pump delivers a stream's messages on a channel. With wait it returns when the
// plugin has accepted or refused the call, so that a refusal is an error here
// and not a channel that closes.
func pump[P, A any](ctx context.Context, stream grpc.ServerStreamingClient[P], wait bool, convert func(*P) A) (<-chan A, error) {
	out := make(chan A)
	if wait {
		header, err := stream.Header()
		if header == nil || err != nil {
			// The stream has ended; only Recv knows why.
			if _, err := stream.Recv(); err != nil && !errors.Is(err, io.EOF) {
				return nil, wire.FromError(err)
			}
			close(out)
			return out, nil
		}
	}
	go func() {
		defer close(out)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case out <- convert(m):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
