package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"
	"google.golang.org/grpc"

	"github.com/steppe-project/steppe/model"
)

// tunnelMethod carries a byte stream from a client agent to a server. The first
// message up says who it is, the first one down accepts; all others are bytes of
// a gRPC connection on which the server is the client.
var tunnelMethod = StreamMethod[tunnelFrame, tunnelFrame]{Name: "Agent.Tunnel", Inside: true}

// tunnelFrame is one message of a tunnel: an array of node id, secret, data.
type tunnelFrame struct {
	nodeID string
	secret string
	data   []byte
}

// MarshalMsg implements Message.
func (f *tunnelFrame) MarshalMsg(b []byte) ([]byte, error) {
	b = msgp.AppendArrayHeader(b, 3)
	b = msgp.AppendString(b, f.nodeID)
	b = msgp.AppendString(b, f.secret)
	return msgp.AppendBytes(b, f.data), nil
}

// UnmarshalMsg implements Message.
func (f *tunnelFrame) UnmarshalMsg(b []byte) ([]byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return nil, err
	}
	if n != 3 {
		return nil, fmt.Errorf("tunnel frame of %d parts", n)
	}
	if f.nodeID, b, err = msgp.ReadStringBytes(b); err != nil {
		return nil, err
	}
	if f.secret, b, err = msgp.ReadStringBytes(b); err != nil {
		return nil, err
	}
	f.data, b, err = msgp.ReadBytesBytes(b, nil)
	return b, err
}

// Msgsize bounds the encoded size.
func (f *tunnelFrame) Msgsize() int {
	return 1 + 3*msgp.BytesPrefixSize + len(f.nodeID) + len(f.secret) + len(f.data)
}

// NodeHello says whose tunnel is being opened.
type NodeHello struct {
	NodeID string
	// Secret proves it: the node's secret id.
	Secret string
}

// ServeTunnel opens a tunnel through c and answers, from srv's handlers, what
// the server asks over it. It blocks until ctx ends (nil) or the tunnel breaks;
// the caller opens another then. The node needs no inbound port.
func ServeTunnel(ctx context.Context, c Caller, hello NodeHello, srv *Server) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := tunnelMethod.Open(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.Send(&tunnelFrame{nodeID: hello.NodeID, secret: hello.Secret}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := st.Recv(); err != nil { // accepted, or the reason why not
		return tunnelEnd(ctx, err)
	}
	// The gRPC server starts with the first bytes: until then the tunnel idles
	// for free, and there is no handshake that could time out.
	first, err := st.Recv()
	if err != nil {
		return tunnelEnd(ctx, err)
	}
	tc := newTunnelConn(st, first.data, &srv.running)
	defer tc.Close()
	err = srv.serve(ctx, &singleListener{conn: tc}, []grpc.ServerOption{grpc.ReadBufferSize(0)})
	return tunnelEnd(ctx, err)
}

func tunnelEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return model.Errorf(model.CodeUnavailable, "the server closed the tunnel")
	}
	return err
}

// tunnelStream is either end's view of the tunnel's stream.
type tunnelStream interface {
	Send(*tunnelFrame) error
	Recv() (*tunnelFrame, error)
}

// tunnelConn is a net.Conn over a stream. Reads are fed by a goroutine that ends
// with the stream, so that Close can interrupt them.
type tunnelConn struct {
	st     tunnelStream
	in     chan []byte
	rest   []byte // read in part
	once   sync.Once
	closed chan struct{}
	broken chan struct{} // closed when the stream ended
	end    error         // why, valid after broken
}

func newTunnelConn(st tunnelStream, first []byte, owner *tally) *tunnelConn {
	c := &tunnelConn{st: st, in: make(chan []byte), rest: first, closed: make(chan struct{}), broken: make(chan struct{})}
	owner.add()
	go func() {
		defer owner.done()
		defer close(c.broken)
		for {
			f, err := st.Recv()
			if err != nil {
				c.end = err
				return
			}
			select {
			case c.in <- f.data:
			case <-c.closed:
				c.end = net.ErrClosed
				return
			}
		}
	}()
	return c
}

// Read implements net.Conn.
func (c *tunnelConn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		select {
		case c.rest = <-c.in:
		case <-c.closed:
			return 0, net.ErrClosed
		case <-c.broken:
			if errors.Is(c.end, io.EOF) {
				return 0, io.EOF
			}
			return 0, fmt.Errorf("tunnel: %w", c.end)
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write implements net.Conn.
func (c *tunnelConn) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		select {
		case <-c.closed:
			return written, net.ErrClosed
		default:
		}
		// The stream may pass memory on as it is, and p belongs to the writer.
		piece := append([]byte(nil), p[:min(len(p), tunnelChunk)]...)
		if err := c.st.Send(&tunnelFrame{data: piece}); err != nil {
			return written, fmt.Errorf("tunnel: %w", err)
		}
		written += len(piece)
		p = p[len(piece):]
	}
	return written, nil
}

// Close implements net.Conn.
func (c *tunnelConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// LocalAddr implements net.Conn.
func (c *tunnelConn) LocalAddr() net.Addr { return tunnelAddr{} }

// RemoteAddr implements net.Conn.
func (c *tunnelConn) RemoteAddr() net.Addr { return tunnelAddr{} }

// SetDeadline implements net.Conn: the stream below has no deadlines, its
// keep-alive ends it.
func (c *tunnelConn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.Conn.
func (c *tunnelConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.Conn.
func (c *tunnelConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// tunnelAddr is the address of both ends.
type tunnelAddr struct{}

// Network implements net.Addr.
func (tunnelAddr) Network() string { return "tunnel" }

// String implements net.Addr.
func (tunnelAddr) String() string { return "tunnel" }

// singleListener accepts one connection and then blocks until that is closed.
type singleListener struct {
	conn *tunnelConn
	once sync.Once
}

// Accept implements net.Listener.
func (l *singleListener) Accept() (net.Conn, error) {
	var c net.Conn
	l.once.Do(func() { c = l.conn })
	if c != nil {
		return c, nil
	}
	select {
	case <-l.conn.closed:
	case <-l.conn.broken:
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *singleListener) Close() error { return l.conn.Close() }

// Addr implements net.Listener.
func (l *singleListener) Addr() net.Addr { return tunnelAddr{} }
