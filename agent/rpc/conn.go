package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/steppe-project/steppe/agent/rpc/lane"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// Request headers.
const (
	hopKey   = "steppe-hop"   // set on a forwarded call: it is not forwarded again
	nodeKey  = "steppe-node"  // the receiver passes the call on to this node's tunnel
	staleKey = "steppe-stale" // a LeaderOrStale stream may be served by any server
)

// methodPrefix precedes method names in gRPC paths.
const methodPrefix = "/steppe/"

// conn is the connection to one agent; it reconnects by itself. It implements
// Caller.
type conn struct {
	addr string // for messages
	cc   *grpc.ClientConn

	mu      sync.Mutex
	dialErr error // why the last attempt failed, for words

	lanes lanes
}

// newConn makes a connection that dials when first used. A tunnel's conn has no
// keep-alive of its own (the connection that carries it has) and never idles,
// because its dial works once.
func newConn(addr string, tunnel bool, dial func(context.Context) (net.Conn, error)) (*conn, error) {
	c := &conn{addr: addr}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(connCredentials{}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			nc, err := dial(ctx)
			c.noteDial(err)
			if err != nil {
				return nil, err
			}
			return port.WatchRefusal(nc, c.noteDial), nil
		}),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(codec{}),
			grpc.MaxCallRecvMsgSize(MaxMessageBytes),
			grpc.MaxCallSendMsgSize(MaxMessageBytes),
		),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: port.DialTimeout,
		}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableHealthCheck(),
		grpc.WithNoProxy(),
		grpc.WithUserAgent("steppe"),
	}
	if tunnel {
		opts = append(opts, grpc.WithIdleTimeout(0), grpc.WithReadBufferSize(0))
	} else {
		opts = append(opts, grpc.WithIdleTimeout(clientIdle),
			grpc.WithInitialWindowSize(flowWindow), grpc.WithInitialConnWindowSize(flowWindow),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}))
	}
	cc, err := grpc.NewClient("passthrough:///"+addr, opts...)
	if err != nil {
		return nil, fmt.Errorf("rpc: address %q: %w", addr, err)
	}
	c.cc = cc
	return c, nil
}

func (c *conn) close() { _ = c.cc.Close() } // fails only when closed already

func (c *conn) noteDial(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialErr = err
}

func (c *conn) lastDial() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialErr
}

// ready waits until the connection stands, so that a call that fails here is
// known not to have been sent.
func (c *conn) ready(ctx context.Context) error {
	state := c.cc.GetState()
	if state == connectivity.Ready {
		return nil
	}
	wctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for state != connectivity.Ready {
		switch state {
		case connectivity.Shutdown:
			return c.unreachable(errors.New("connection closed"))
		case connectivity.TransientFailure:
			return c.unreachable(c.lastDial())
		case connectivity.Idle:
			c.cc.Connect()
		case connectivity.Connecting, connectivity.Ready:
		}
		if !c.cc.WaitForStateChange(wctx, state) {
			if err := ctx.Err(); err != nil {
				return err
			}
			return c.unreachable(fmt.Errorf("no connection within %s", readyTimeout))
		}
		state = c.cc.GetState()
	}
	return nil
}

func (c *conn) unreachable(cause error) error {
	if cause == nil {
		cause = errors.New("the connection broke while it was set up: the other side may not trust this agent, its log says why")
	}
	return &notSent{cause: model.Errorf(model.CodeUnavailable, "cannot reach %s: %w", c.addr, cause)}
}

// Invoke implements Caller.
func (c *conn) Invoke(ctx context.Context, spec Spec, req Message, resp func() Message) (Message, error) {
	out := resp()
	if err := c.invoke(ctx, spec, false, req, out); err != nil {
		return nil, err
	}
	return out, nil
}

// invoke does one exchange; req and resp are Messages or frames. A hopped call is
// not forwarded again.
func (c *conn) invoke(ctx context.Context, spec Spec, hopped bool, req, resp any) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	if err := c.byLane(ctx, spec, hopped, req, resp); !errors.Is(err, lane.ErrNone) {
		return err
	}
	if err := c.ready(ctx); err != nil {
		return err
	}
	if hopped {
		ctx = outgoing(ctx, hopKey, "1")
	}
	var trailer metadata.MD
	err := c.cc.Invoke(ctx, methodPrefix+spec.Name, req, resp, grpc.Trailer(&trailer))
	return fromStatus(ctx, err, trailer)
}

// streamDesc describes every stream: both directions flow.
var streamDesc = grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

// Open implements Caller.
func (c *conn) Open(ctx context.Context, spec Spec) (Wire, error) {
	if allowsStale(ctx) {
		ctx = outgoing(ctx, staleKey, "1")
	}
	w, err := c.open(ctx, methodPrefix+spec.Name)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// open starts a stream by its gRPC path.
func (c *conn) open(ctx context.Context, path string) (*clientWire, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	st, err := c.cc.NewStream(ctx, &streamDesc, path)
	if err != nil {
		cancel()
		return nil, fromStatus(ctx, err, nil)
	}
	return &clientWire{ctx: ctx, st: st, cancel: cancel}, nil
}

// clientWire is the calling end of a stream over the network.
type clientWire struct {
	// ctx is the opener's: the stream's own ends with every stream, also a good one.
	ctx    context.Context
	st     grpc.ClientStream
	cancel context.CancelFunc
}

func (w *clientWire) Send(m Message) error { return w.send(m) }

// send sends a Message or a frame.
func (w *clientWire) send(m any) error {
	if err := w.st.SendMsg(m); err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return fromStatus(w.ctx, err, nil)
	}
	return nil
}

func (w *clientWire) Recv(empty func() Message) (Message, error) {
	m := empty()
	if err := w.recv(m); err != nil {
		return nil, err
	}
	return m, nil
}

// recv receives into a Message or a frame.
func (w *clientWire) recv(into any) error {
	err := w.st.RecvMsg(into)
	if err == nil {
		return nil
	}
	defer w.cancel()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fromStatus(w.ctx, err, w.st.Trailer())
}

func (w *clientWire) CloseSend() error { return w.st.CloseSend() }

func (w *clientWire) Close() { w.cancel() }

// outgoing adds request headers.
func outgoing(ctx context.Context, kv ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, kv...)
}

// AllowStale marks ctx so that a LeaderOrStale stream opened with it is served
// by whichever server receives it.
func AllowStale(ctx context.Context) context.Context { return context.WithValue(ctx, staleCtx{}, true) }

type staleCtx struct{}

func allowsStale(ctx context.Context) bool {
	v, _ := ctx.Value(staleCtx{}).(bool)
	return v
}
