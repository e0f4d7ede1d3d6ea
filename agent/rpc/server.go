package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// Config is what a Server needs. The zero value is a server without peers: all
// methods are answered locally, as on a client agent.
type Config struct {
	// Router finds the leader; nil answers everything locally.
	Router Router
	// Pool connects to other servers; required with Router.
	Pool *Pool
	// Regions finds other regions; nil knows none, and answers whatever is asked.
	Regions Regions
	// Tunnels are the nodes connected here; nil when the agent is no server.
	Tunnels *Tunnels
	// Logger gets broken connections and panics; required.
	Logger *slog.Logger
}

// Server is the table of handlers of one process, and serves them.
type Server struct {
	cfg     Config
	running tally           // handlers' goroutines that gRPC does not wait for
	ending  chan struct{}   // closed when Run gives running handlers their last time
	base    context.Context // ends with Run; in-process streams end with it
	end     context.CancelFunc

	Requests, Failures atomic.Uint64 // that came over the network, and those of them that failed
	mu                 sync.RWMutex
	handlers           map[string]*handler
	regions            map[string]*wayTo // to those that were asked for
}

// handler is one registered method; exactly one of unary and stream is set.
type handler struct {
	spec   Spec
	newReq func() Message
	unary  func(context.Context, Message) (Message, error)
	stream func(context.Context, Wire) error
}

// NewServer makes a server without handlers.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg, ending: make(chan struct{}), handlers: make(map[string]*handler), regions: make(map[string]*wayTo)}
	s.base, s.end = context.WithCancel(context.Background())
	Handle(s, Ping, func(context.Context, *Nothing) (*Nothing, error) { return new(Nothing), nil })
	if cfg.Router != nil {
		HandleStream(s, laneMethod, s.serveLane)
	}
	if cfg.Tunnels != nil {
		HandleStream(s, tunnelMethod, func(ctx context.Context, st *Stream[tunnelFrame, tunnelFrame]) error {
			return cfg.Tunnels.serve(ctx, st, &s.running)
		})
	}
	return s
}

func (s *Server) register(spec Spec, h *handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.handlers[spec.Name]; taken || spec.Name == "" {
		panic(fmt.Sprintf("rpc: method name %q is empty or taken", spec.Name))
	}
	s.handlers[spec.Name] = h
}

func (s *Server) lookup(name string) (*handler, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, ok := s.handlers[name]
	if !ok {
		return nil, unknownMethod(name)
	}
	return h, nil
}

// Run serves connections of ln until ctx ends or ln fails. It then gives running
// handlers shutdownGrace, ends them and in-process streams, and waits for all.
// ln is closed. A Server runs once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	defer s.running.wait()
	defer s.end()
	defer context.AfterFunc(ctx, func() { close(s.ending) })()
	return s.serve(ctx, lingering{ln, ctx}, []grpc.ServerOption{
		grpc.ReadBufferSize(connBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.InitialWindowSize(flowWindow),
		grpc.InitialConnWindowSize(flowWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	})
}

// lingering is a listener that, when its port is closed first, accepts nothing
// more but does not fail until ctx ends: what is connected is served that long.
type lingering struct {
	net.Listener
	ctx context.Context
}

// Accept implements net.Listener.
func (l lingering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if errors.Is(err, net.ErrClosed) {
		<-l.ctx.Done()
	}
	return c, err
}

// serve runs a gRPC server on ln until ctx ends or ln fails.
func (s *Server) serve(ctx context.Context, ln net.Listener, opts []grpc.ServerOption) error {
	gs := grpc.NewServer(append(opts,
		grpc.UnknownServiceHandler(s.serveStream),
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.MaxConcurrentStreams(maxStreamsPerConn),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(port.HelloTimeout),
		grpc.WaitForHandlers(true),
		grpc.Creds(connCredentials{}),
	)...)
	served := make(chan error, 1)
	go func() { served <- gs.Serve(ln) }()
	select {
	case err := <-served:
		gs.Stop()
		if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	case <-ctx.Done():
	}
	graceful := make(chan struct{})
	go func() { gs.GracefulStop(); close(graceful) }()
	select {
	case <-graceful:
	case <-time.After(shutdownGrace):
		gs.Stop()
		<-graceful
	}
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// serveStream handles every call and stream that arrives over the network.
func (s *Server) serveStream(_ any, st grpc.ServerStream) error {
	s.Requests.Add(1)
	trailer, err := toStatus(s.dispatch(st))
	if err != nil {
		s.Failures.Add(1)
	}
	if trailer != nil {
		st.SetTrailer(trailer)
	}
	return err
}

func (s *Server) dispatch(st grpc.ServerStream) (err error) {
	path, _ := grpc.MethodFromServerStream(st)
	defer s.contain(path, &err)
	name := strings.TrimPrefix(path, methodPrefix)
	md, _ := metadata.FromIncomingContext(st.Context())
	if done, err := s.border(st, name, md); done || err != nil {
		return err
	}
	if node := md.Get(nodeKey); len(node) > 0 {
		return s.passToNode(st, node[0], name)
	}
	return s.handle(st, name, md)
}

// contain, deferred, makes a panic of a handler its error: one request must not
// take the agent and everyone else's with it.
func (s *Server) contain(name string, err *error) {
	if r := recover(); r != nil {
		s.cfg.Logger.Error("rpc handler panicked", "method", name, "panic", r, "stack", string(debug.Stack()))
		*err = model.Errorf(model.CodeInternal, "%s failed unexpectedly: %v", name, r)
	}
}

// handle answers the call or stream st with the handler of that name.
func (s *Server) handle(st grpc.ServerStream, name string, md metadata.MD) error {
	h, err := s.lookup(name)
	if err != nil {
		return err
	}
	ctx := st.Context()
	hopped := len(md.Get(hopKey)) > 0
	ctx = withPeer(ctx, peerOf(ctx))
	if h.stream != nil {
		return s.dispatchStream(ctx, st, h, hopped, len(md.Get(staleKey)) > 0)
	}
	var in frame
	if err := st.RecvMsg(&in); err != nil {
		if errors.Is(err, io.EOF) {
			return protocolErrorf("%s: no request", name)
		}
		return fromStatus(ctx, err, nil)
	}
	defer in.free()
	out, err := s.dispatchCall(ctx, h, &in, hopped)
	if err != nil {
		return err
	}
	if f, ok := out.(*frame); ok {
		defer f.free()
	}
	return st.SendMsg(out)
}

// dispatchCall answers one call. The result is a Message, or the leader's frame.
func (s *Server) dispatchCall(ctx context.Context, h *handler, in *frame, hopped bool) (any, error) {
	var req Message
	decode := func() error {
		if req == nil {
			m := h.newReq()
			if err := in.decode(m); err != nil {
				return model.Errorf(model.CodeInvalid, "%s: %w", h.spec.Name, err)
			}
			req = m
		}
		return nil
	}
	here := func() (any, error) {
		if err := decode(); err != nil {
			return nil, err
		}
		return h.unary(ctx, req)
	}
	isStale := false
	if h.spec.Forward == LeaderOrStale {
		if err := decode(); err != nil {
			return nil, err
		}
		isStale = stale(req)
	}
	if !s.mustForward(h.spec, isStale) {
		return here()
	}
	if hopped {
		if _, self, _ := s.cfg.Router.Leader(); !self {
			return nil, notLeader(h.spec.Name)
		}
		return here()
	}
	return follow(ctx, s, h.spec, here, func(ctx context.Context, leader *conn) (any, error) {
		out := new(frame)
		if err := leader.invoke(ctx, h.spec, true, in, out); err != nil {
			return nil, err
		}
		return out, nil
	})
}

func (s *Server) dispatchStream(ctx context.Context, st grpc.ServerStream, h *handler, hopped, isStale bool) error {
	here := func() error { return h.stream(ctx, serverWire{st}) }
	if !s.mustForward(h.spec, isStale) {
		return here()
	}
	if hopped {
		if _, self, _ := s.cfg.Router.Leader(); !self {
			return notLeader(h.spec.Name)
		}
		return here()
	}
	// Opening waits for a leader; once messages flow nothing is repeated.
	leader, err := follow(ctx, s, h.spec,
		func() (*clientWire, error) { return nil, nil },
		func(_ context.Context, leader *conn) (*clientWire, error) {
			return leader.open(outgoing(ctx, hopKey, "1"), methodPrefix+h.spec.Name)
		})
	if err != nil {
		return err
	}
	if leader == nil {
		return here()
	}
	return s.splice(st, leader)
}

// splice carries messages between a stream that arrived and one that was opened
// for it, undecoded, until the opened one ends; its end is the result.
func (s *Server) splice(in grpc.ServerStream, out *clientWire) error {
	defer out.Close()
	s.running.add()
	go func() {
		// in's RecvMsg is sure to return only when the handler has returned, so
		// the server waits for this goroutine, not the handler.
		defer s.running.done()
		for {
			var f frame
			if err := in.RecvMsg(&f); err != nil {
				if errors.Is(err, io.EOF) {
					_ = out.CloseSend() // a broken stream shows in recv below
				} else {
					out.Close()
				}
				return
			}
			err := out.send(&f)
			f.free()
			if err != nil {
				return
			}
		}
	}()
	for {
		var f frame
		err := out.recv(&f)
		if err == nil {
			err = in.SendMsg(&f)
			f.free()
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// serverWire is a handler's end of a stream over the network.
type serverWire struct{ st grpc.ServerStream }

func (w serverWire) Send(m Message) error { return w.st.SendMsg(m) }

func (w serverWire) Recv(empty func() Message) (Message, error) {
	var f frame
	if err := w.st.RecvMsg(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fromStatus(w.st.Context(), err, nil)
	}
	defer f.free()
	m := empty()
	if err := f.decode(m); err != nil {
		return nil, protocolErrorf("%v", err)
	}
	return m, nil
}

func (w serverWire) CloseSend() error { return nil }

func (w serverWire) Close() {}

// tally counts running goroutines. Unlike a sync.WaitGroup it may grow from zero
// while someone waits.
type tally struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n falls to zero; nil while nobody waits
}

func (t *tally) add() {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
}

func (t *tally) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.zero != nil {
		close(t.zero)
		t.zero = nil
	}
}

// wait returns when nothing runs.
func (t *tally) wait() {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return
	}
	if t.zero == nil {
		t.zero = make(chan struct{})
	}
	zero := t.zero
	t.mu.Unlock()
	<-zero
}
