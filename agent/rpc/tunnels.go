package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/steppe-project/steppe/model"
)

// DefaultMaxTunnels bounds the nodes connected to one server: a whole fleet of
// ten thousand on the last server standing.
const DefaultMaxTunnels = 12_000

// TunnelsConfig is what Tunnels needs.
type TunnelsConfig struct {
	// Authorize checks who opens a tunnel; nil accepts all. Its error reaches
	// the node.
	Authorize func(ctx context.Context, hello NodeHello) error
	// OnChange, when set, is told of connects and disconnects, one at a time per
	// registry, in order. A node that reconnects before its old tunnel was
	// missed causes no disconnect. It must not block.
	OnChange func(nodeID string, connected bool)
	// Max bounds the number of tunnels; zero means DefaultMaxTunnels.
	Max int
	// Logger gets what goes wrong.
	Logger *slog.Logger
}

// Tunnels are the client agents connected to this server, by node id.
type Tunnels struct {
	cfg TunnelsConfig

	mu     sync.Mutex
	byNode map[string]*tunnel

	heard  sync.Mutex        // guards where
	where  map[string]string // node id to the server that last had its tunnel
	notify sync.Mutex        // orders OnChange
}

// maxWhere bounds the memory of where; beyond it, it is simply forgotten.
const maxWhere = 100_000

// tunnel is one registered node.
type tunnel struct {
	caller   Caller
	attached *Server // the agent in this process; nil when tunnelled
	close    func()  // ends it
}

// NewTunnels makes an empty registry.
func NewTunnels(cfg TunnelsConfig) *Tunnels {
	if cfg.Max == 0 {
		cfg.Max = DefaultMaxTunnels
	}
	return &Tunnels{cfg: cfg, byNode: make(map[string]*tunnel), where: make(map[string]string)}
}

// Get returns the way to a node connected here.
func (t *Tunnels) Get(nodeID string) (Caller, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tn, ok := t.byNode[nodeID]
	if !ok {
		return nil, false
	}
	return tn.caller, true
}

// Nodes lists the ids of the nodes connected here, sorted.
func (t *Tunnels) Nodes() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := make([]string, 0, len(t.byNode))
	for id := range t.byNode {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Attach registers a client agent of the same process; no tunnel is needed.
// Call detach when it stops.
func (t *Tunnels) Attach(nodeID string, srv *Server) (detach func()) {
	tn := &tunnel{caller: srv.Caller(), attached: srv, close: func() {}}
	t.add(nodeID, tn)
	return func() { t.remove(nodeID, tn) }
}

// Disconnect ends a node's tunnel, when it has one here.
func (t *Tunnels) Disconnect(nodeID string) {
	t.mu.Lock()
	tn := t.byNode[nodeID]
	t.mu.Unlock()
	if tn != nil {
		tn.close()
	}
}

func (t *Tunnels) add(nodeID string, tn *tunnel) {
	t.notify.Lock()
	defer t.notify.Unlock()
	t.mu.Lock()
	old := t.byNode[nodeID]
	t.byNode[nodeID] = tn
	t.mu.Unlock()
	if old != nil {
		old.close()
		return
	}
	if t.cfg.OnChange != nil {
		t.cfg.OnChange(nodeID, true)
	}
}

func (t *Tunnels) remove(nodeID string, tn *tunnel) {
	t.notify.Lock()
	defer t.notify.Unlock()
	t.mu.Lock()
	current := t.byNode[nodeID] == tn
	if current {
		delete(t.byNode, nodeID)
	}
	t.mu.Unlock()
	if current && t.cfg.OnChange != nil {
		t.cfg.OnChange(nodeID, false)
	}
}

// serve handles one node's tunnel stream until it ends.
func (t *Tunnels) serve(ctx context.Context, st *Stream[tunnelFrame, tunnelFrame], owner *tally) error {
	hello, err := st.Recv()
	if err != nil {
		return err
	}
	if hello.nodeID == "" {
		return model.Errorf(model.CodeInvalid, "a tunnel needs a node id")
	}
	if t.cfg.Authorize != nil {
		if err := t.cfg.Authorize(ctx, NodeHello{NodeID: hello.nodeID, Secret: hello.secret}); err != nil {
			return err
		}
	}
	t.mu.Lock()
	full := len(t.byNode) >= t.cfg.Max
	t.mu.Unlock()
	if full {
		return model.Errorf(model.CodeUnavailable, "this server already serves %d nodes, its limit", t.cfg.Max)
	}
	if err := st.Send(&tunnelFrame{}); err != nil {
		return err
	}
	tc := newTunnelConn(st, nil, owner)
	lazy := &lazyConn{name: "node " + hello.nodeID, nc: tc}
	tn := &tunnel{caller: lazy, close: func() { _ = tc.Close() }}
	t.add(hello.nodeID, tn)
	defer lazy.close()
	defer t.remove(hello.nodeID, tn)
	defer tn.close()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-tc.closed:
		return model.Errorf(model.CodeUnavailable, "the node opened another tunnel, or this one broke")
	case <-tc.broken:
		if errors.Is(tc.end, io.EOF) {
			return nil
		}
		return tc.end
	}
}

// lazyConn is the gRPC client of a tunnel, made when first used: most tunnels of
// a large fleet idle, and a client costs several goroutines.
type lazyConn struct {
	name string
	nc   net.Conn

	mu     sync.Mutex
	conn   *conn
	closed bool
}

// get returns the client.
func (l *lazyConn) get() (*conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, &notSent{cause: model.Errorf(model.CodeUnavailable, "%s has disconnected", l.name)}
	case l.conn != nil:
		return l.conn, nil
	}
	var once sync.Once
	c, err := newConn(l.name, true, func(context.Context) (net.Conn, error) {
		err := error(net.ErrClosed) // the tunnel is one connection, once
		once.Do(func() { err = nil })
		return l.nc, err
	})
	if err != nil {
		return nil, &notSent{cause: model.Errorf(model.CodeInternal, "%w", err)}
	}
	l.conn = c
	return c, nil
}

func (l *lazyConn) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.conn != nil {
		l.conn.close()
	}
}

// Invoke implements Caller.
func (l *lazyConn) Invoke(ctx context.Context, spec Spec, req Message, resp func() Message) (Message, error) {
	c, err := l.get()
	if err != nil {
		return nil, err
	}
	return c.Invoke(ctx, spec, req, resp)
}

// Open implements Caller.
func (l *lazyConn) Open(ctx context.Context, spec Spec) (Wire, error) {
	c, err := l.get()
	if err != nil {
		return nil, err
	}
	return c.Open(ctx, spec)
}

// Node returns the way to a client agent, whichever server holds its tunnel:
// this one, or another, found by asking. A node connected nowhere is
// CodeUnavailable.
func (s *Server) Node(nodeID string) Caller { return nodeCaller{s, nodeID} }

type nodeCaller struct {
	srv    *Server
	nodeID string
}

// Invoke implements Caller.
func (n nodeCaller) Invoke(ctx context.Context, spec Spec, req Message, resp func() Message) (Message, error) {
	return atNode(ctx, n, func(ctx context.Context, c Caller) (Message, error) {
		return c.Invoke(ctx, spec, req, resp)
	})
}

// Open implements Caller.
func (n nodeCaller) Open(ctx context.Context, spec Spec) (Wire, error) {
	return atNode(ctx, n, func(ctx context.Context, c Caller) (Wire, error) {
		// Opening tells nothing yet; whether the tunnel is there must be known
		// while another server can still be asked.
		if _, err := Ping.Call(ctx, c, new(Nothing)); err != nil {
			return nil, err
		}
		return c.Open(ctx, spec)
	})
}

// atNode runs do with the node's local tunnel, or with one other server after
// another until one has the tunnel.
func atNode[T any](ctx context.Context, n nodeCaller, do func(context.Context, Caller) (T, error)) (T, error) {
	var zero T
	t := n.srv.cfg.Tunnels
	if c, ok := t.Get(n.nodeID); ok {
		return do(ctx, c)
	}
	if n.srv.cfg.Router != nil {
		for _, addr := range t.guess(n.nodeID, n.srv.cfg.Router.Servers()) {
			out, err := do(outgoing(ctx, nodeKey, n.nodeID), n.srv.cfg.Pool.At(addr))
			if errors.Is(err, errNotHere) || isNotSent(err) {
				continue
			}
			t.remember(n.nodeID, addr)
			return out, err
		}
	}
	return zero, &notSent{cause: model.Errorf(model.CodeUnavailable, "node %s is not connected to any server", n.nodeID)}
}

// guess orders servers, the one that last had the node's tunnel first.
func (t *Tunnels) guess(nodeID string, servers []string) []string {
	t.heard.Lock()
	last := t.where[nodeID]
	t.heard.Unlock()
	servers = slices.Clone(servers)
	if i := slices.Index(servers, last); i > 0 {
		servers[0], servers[i] = servers[i], servers[0]
	}
	return servers
}

func (t *Tunnels) remember(nodeID, addr string) {
	t.heard.Lock()
	defer t.heard.Unlock()
	if len(t.where) >= maxWhere {
		clear(t.where)
	}
	t.where[nodeID] = addr
}

// passToNode carries a call or stream on to a node connected here, undecoded.
func (s *Server) passToNode(st grpc.ServerStream, nodeID, name string) error {
	if s.cfg.Tunnels == nil {
		return errNotHere
	}
	s.cfg.Tunnels.mu.Lock()
	tn := s.cfg.Tunnels.byNode[nodeID]
	s.cfg.Tunnels.mu.Unlock()
	if tn == nil {
		return errNotHere
	}
	lazy, tunnelled := tn.caller.(*lazyConn)
	if !tunnelled {
		return tn.attached.handle(st, name, nil)
	}
	c, err := lazy.get()
	if err != nil {
		return err
	}
	out, err := c.open(st.Context(), methodPrefix+name)
	if err != nil {
		return err
	}
	return s.splice(st, out)
}
