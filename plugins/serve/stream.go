package serve

import (
	"context"

	"github.com/steppe-project/steppe/plugins/wire"
	"google.golang.org/grpc"
)

// forward sends every value of in over stream until in is closed or the stream's
// context ends. It sends the header first, so that the client knows at once that
// the call was accepted, before any value.
func forward[A any, B any](stream grpc.ServerStreamingServer[B], in <-chan A, convert func(A) *B) error {
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	ctx := stream.Context()
	for {
		select {
		case v, ok := <-in:
			if !ok {
				return nil
			}
			if err := stream.Send(convert(v)); err != nil {
				return err
			}
		case <-ctx.Done():
			return wire.ToError(context.Cause(ctx))
		}
	}
}
