package consensus

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/model"
)

// wire is what raft and the host need of a transport.
type wire interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// transport observes a raft transport: it notes when followers were last known
// to follow (for the lease), and lets the host speak to its own raft.
type transport struct {
	wire
	acked   func(id raft.ServerID, term uint64, sent time.Time)
	streams *streams               // nil without a network
	addrOf  func(id string) string // where gossip knows a server; may be nil
	first   func() (uint64, error) // where the log begins

	in   chan raft.RPC // what raft reads
	own  chan raft.RPC // what the host says to it
	stop chan struct{}
	once sync.Once
	done chan struct{}
}

func newTransport(w wire, addrOf func(id string) string, first func() (uint64, error), acked func(raft.ServerID, uint64, time.Time)) *transport {
	t := &transport{
		wire: w, acked: acked, addrOf: addrOf, first: first,
		in: make(chan raft.RPC), own: make(chan raft.RPC), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go t.pump()
	return t
}

// pump joins the network's messages with the host's own.
func (t *transport) pump() {
	defer close(t.done)
	for {
		var rpc raft.RPC
		select {
		case rpc = <-t.wire.Consumer():
			if err := t.twin(rpc); err != nil {
				rpc.Respond(nil, err)
				continue
			}
			if first, err := t.first(); err == nil { // else raft finds out
				rpc = trim(rpc, first)
			}
		case rpc = <-t.own:
		case <-t.stop:
			return
		}
		select {
		case t.in <- rpc:
		case <-t.stop:
			return
		}
	}
}

// twin tells why a candidate gets no vote: gossip knows another server by its id.
// A data directory was copied; two servers with one voice could make two leaders
// of one term. A server that moved is known at its new place when it has joined.
func (t *transport) twin(rpc raft.RPC) error {
	switch rpc.Command.(type) {
	case *raft.RequestVoteRequest, *raft.RequestPreVoteRequest:
	default:
		return nil
	}
	h := rpc.Command.(raft.WithRPCHeader).GetRPCHeader()
	if t.addrOf == nil || len(h.ID) == 0 || len(h.Addr) == 0 {
		return nil
	}
	if known := t.addrOf(string(h.ID)); known != "" && known != string(h.Addr) {
		return model.Errorf(model.CodeConflict, "server %s at %s gets no vote: the server of that id is at %s", h.ID, h.Addr, known)
	}
	return nil
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.in }

// Close implements raft.WithClose.
func (t *transport) Close() error {
	t.once.Do(func() { close(t.stop) })
	<-t.done
	t.interrupt()
	return t.wire.Close()
}

// interrupt ends the calls to other servers that are under way.
func (t *transport) interrupt() {
	if t.streams != nil {
		t.streams.interrupt()
	}
}

// AppendEntries implements raft.Transport. Heartbeats go this way. A follower
// that answers in our term followed us at some time after sending; when the
// answer arrives says nothing, it may have lain in a stopped process for long.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent := time.Now()
	err := t.wire.AppendEntries(id, target, args, resp)
	if err == nil && resp.Term == args.Term {
		t.acked(id, args.Term, sent)
	}
	return err
}

// callElection makes raft stand for election at once instead of after a timeout.
// Only right when no other leader can exist: everybody votes, leader or not.
func (t *transport) callElection(id, addr string) {
	rpc := raft.RPC{
		Command: &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(addr),
		}},
		RespChan: make(chan raft.RPCResponse, 1),
	}
	select {
	case t.own <- rpc:
	case <-t.stop:
	}
}

// streams gives a StreamLayer raft's shape. It knows the connections it dialled,
// so that closing can interrupt what raft would otherwise wait out.
type streams struct {
	StreamLayer
	addr string // as the others know it

	mu     sync.Mutex
	dialed map[*dialedConn]struct{} // nil once closed
}

// dialedConn is a connection that streams knows.
type dialedConn struct {
	net.Conn
	owner *streams
}

// Dial implements raft.StreamLayer.
func (s *streams) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := s.StreamLayer.Dial(string(addr), timeout)
	if err != nil {
		return nil, err
	}
	dc := &dialedConn{Conn: c, owner: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dialed == nil {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	s.dialed[dc] = struct{}{}
	return dc, nil
}

// Close implements net.Conn.
func (c *dialedConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.dialed, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// interrupt closes all that was dialled.
func (s *streams) interrupt() {
	s.mu.Lock()
	open := s.dialed
	s.dialed = nil
	s.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close() // raft sees it as a broken connection
	}
}

// Addr implements net.Listener: raft takes its own address from it.
func (s *streams) Addr() net.Addr { return advertised(s.addr) }

// advertised is a server's address as the others know it.
type advertised string

// Network implements net.Addr.
func (advertised) Network() string { return "tcp" }

// String implements net.Addr.
func (a advertised) String() string { return string(a) }

// addrBook finds servers that came back at another address.
type addrBook func(id string) string

// ServerAddr implements raft.ServerAddressProvider.
func (b addrBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if addr := b(string(id)); addr != "" {
		return raft.ServerAddress(addr), nil
	}
	return "", errors.New("gossip does not know the server")
}

// openTransport makes the transport of a configuration.
func openTransport(cfg *Config, logger hclog.Logger, first func() (uint64, error), acked func(raft.ServerID, uint64, time.Time)) *transport {
	if cfg.Streams == nil {
		_, inmem := raft.NewInmemTransport(raft.ServerAddress(cfg.Addr))
		return newTransport(inmem, nil, first, acked)
	}
	st := &streams{StreamLayer: cfg.Streams, addr: cfg.Addr, dialed: make(map[*dialedConn]struct{})}
	nc := &raft.NetworkTransportConfig{
		Stream: st, MaxPool: transportConns, Timeout: transportTimeout, Logger: logger, MsgpackUseNewTimeFormat: true,
	}
	if cfg.AddrOf != nil {
		nc.ServerAddressProvider = addrBook(cfg.AddrOf)
	}
	t := newTransport(raft.NewNetworkTransportWithConfig(nc), cfg.AddrOf, first, acked)
	t.streams = st
	return t
}
