package port

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// First bytes of a connection.
const (
	kindRaft = 0x01 // then TLS when encrypted, then raft's own protocol
	kindTLS  = 0x16 // a TLS client hello: gRPC, encrypted
	kindGRPC = 'P'  // "PRI * HTTP/2.0": gRPC, plain
)

// alertNoEncryption is the TLS alert (protocol_version) that a plaintext agent
// answers to a TLS client, so that the other side can tell what is wrong.
const alertNoEncryption = 70

// ListenerConfig is what a Listener needs.
type ListenerConfig struct {
	// Listener accepts; the Listener owns and closes it.
	Listener net.Listener
	// Security greets connections.
	Security *Security
	// MaxConns bounds open connections, MaxConnsPerIP those of one address;
	// zero means the defaults, below zero no bound. Further ones are closed at once.
	MaxConns      int
	MaxConnsPerIP int
	// Logger gets refused connections.
	Logger *slog.Logger
}

// Listener shares one TCP port between gRPC and raft by the first byte.
type Listener struct {
	cfg   ListenerConfig
	rpc   *muxed
	raft  *RaftLayer
	pacer *pacer

	mu    sync.Mutex
	total int
	perIP map[string]int

	greeters sync.WaitGroup
}

// NewListener makes a Listener; Run makes it accept.
func NewListener(cfg ListenerConfig) *Listener {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = DefaultMaxConns
	}
	if cfg.MaxConnsPerIP == 0 {
		cfg.MaxConnsPerIP = DefaultMaxConnsPerIP
	}
	l := &Listener{cfg: cfg, perIP: make(map[string]int), pacer: newPacer()}
	l.rpc = newMuxed(cfg.Listener.Addr())
	l.raft = &RaftLayer{muxed: newMuxed(cfg.Listener.Addr()), security: cfg.Security}
	return l
}

// RPC is the listener of gRPC connections, for rpc.Server.Run.
func (l *Listener) RPC() net.Listener { return l.rpc }

// Raft is the listener and dialer of raft streams.
func (l *Listener) Raft() *RaftLayer { return l.raft }

// Run accepts until ctx ends (nil) or accepting fails for good. It closes the
// port and waits for the connections that are being greeted.
func (l *Listener) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.cfg.Listener.Close() })
	defer stop()
	defer l.greeters.Wait()
	defer l.rpc.Close()
	defer l.raft.Close()
	delay := time.Duration(0)
	for {
		nc, err := l.cfg.Listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			// Out of file descriptors, or an aborted connection: go on, paced.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			l.cfg.Logger.Warn("cannot accept a connection", "error", err, "retry_in", delay)
			select {
			case <-time.After(delay):
			case <-ctx.Done():
			}
			continue
		}
		delay = 0
		l.accept(ctx, nc)
	}
}

// accept admits nc within the limits and greets it in a goroutine of its own.
func (l *Listener) accept(ctx context.Context, nc net.Conn) {
	ip := hostOf(nc.RemoteAddr())
	l.mu.Lock()
	full := ""
	switch {
	case l.cfg.MaxConns > 0 && l.total >= l.cfg.MaxConns:
		full = "limit of connections reached"
	case l.cfg.MaxConnsPerIP > 0 && l.perIP[ip] >= l.cfg.MaxConnsPerIP:
		full = "limit of connections from one address reached"
	default:
		l.total++
		l.perIP[ip]++
	}
	l.mu.Unlock()
	if full != "" {
		l.cfg.Logger.Warn(full, "from", nc.RemoteAddr().String())
		_ = nc.Close()
		return
	}
	tuneConn(nc)
	counted := &countedConn{Conn: nc, release: func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.total--
		if l.perIP[ip]--; l.perIP[ip] == 0 {
			delete(l.perIP, ip)
		}
	}}
	l.greeters.Add(1)
	go func() {
		defer l.greeters.Done()
		unhook := context.AfterFunc(ctx, func() { _ = counted.SetDeadline(time.Unix(1, 0)) })
		err := l.greet(ctx, counted)
		unhook()
		if err != nil {
			_ = counted.Close()
			l.cfg.Logger.Warn("refused a connection", "from", nc.RemoteAddr().String(), "reason", err.Error())
		}
	}()
}

// greet reads what kind of connection it is, encrypts it and hands it over.
func (l *Listener) greet(ctx context.Context, nc net.Conn) error {
	if err := nc.SetDeadline(time.Now().Add(HelloTimeout)); err != nil {
		return err
	}
	pc := &peekedConn{Conn: nc, r: bufio.NewReaderSize(nc, 16)}
	first, err := pc.r.Peek(1)
	if err != nil {
		return errSilent
	}
	m := l.cfg.Security.material.Load()
	server := m.server
	to, encrypted := l.rpc, first[0] == kindTLS
	switch {
	case first[0] == kindRaft:
		if _, err := pc.r.Discard(1); err != nil {
			return err
		}
		to, encrypted, server = l.raft.muxed, server != nil, m.raft
	case first[0] != kindTLS && first[0] != kindGRPC:
		return errNotAgent
	}
	switch {
	case server != nil && !encrypted:
		refuse(nc, plainRefusal)
		return errPlainPeer
	case server == nil && encrypted:
		refuse(nc, []byte{0x15, 0x03, 0x03, 0x00, 0x02, 0x02, alertNoEncryption})
		return errTLSPeer
	}
	var out net.Conn = pc
	if server != nil {
		tc, err := l.pacer.handshake(ctx, pc, func(c net.Conn) *tls.Conn { return tls.Server(c, server) })
		if err != nil {
			return explainHandshake(nc.RemoteAddr().String(), err)
		}
		out = tc
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return to.deliver(ctx, out)
}

// refuse sends a last word. What the peer sent meanwhile is read, or closing
// would take the word back. All of it is a courtesy: the refusal is logged here.
func refuse(nc net.Conn, words []byte) {
	_ = nc.SetDeadline(time.Now().Add(refuseTimeout))
	if _, err := nc.Write(words); err != nil {
		return
	}
	if c, ok := nc.(*countedConn); ok {
		if tc, ok := c.Conn.(*net.TCPConn); ok {
			_ = tc.CloseWrite()
		}
	}
	_, _ = io.CopyN(io.Discard, nc, refuseBytes)
}

var (
	errSilent    = errors.New("it sent nothing")
	errNotAgent  = errors.New("it does not speak an agent's protocol: this is the rpc port, the HTTP API has its own")
	errPlainPeer = errors.New("it does not encrypt: this cluster does, give the agent the cluster's encrypt key or tls certificates")
	errTLSPeer   = errors.New("it encrypts and this agent does not: give this agent the cluster's encrypt key or tls certificates")
)

const plainRefusalWords = "this cluster encrypts: the agent needs the cluster's encrypt key or tls certificates"

// plainRefusal tells a plaintext gRPC client why: an HTTP/2 go-away frame (last
// stream 0, code INADEQUATE_SECURITY) with the words. Settings do not precede it,
// or the client would take the connection for usable.
var plainRefusal = func() []byte {
	n := 8 + len(plainRefusalWords)
	out := append([]byte(nil), byte(n>>16), byte(n>>8), byte(n), 7, 0, 0, 0, 0, 0)
	out = append(out, 0, 0, 0, 0, 0, 0, 0, 0x0c)
	return append(out, plainRefusalWords...)
}()

// WatchRefusal has refused called when an encrypting agent turns a plaintext
// connection away: gRPC would keep its words to itself.
func WatchRefusal(nc net.Conn, refused func(error)) net.Conn {
	if _, encrypted := nc.(*tls.Conn); encrypted {
		return nc
	}
	return &plainConn{Conn: nc, refused: refused}
}

// plainConn looks out for plainRefusal.
type plainConn struct {
	net.Conn
	refused func(error)
	seen    []byte // what came first
	done    bool   // known to be a refusal, or not
}

// Read implements net.Conn.
func (c *plainConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.done {
		c.seen = append(c.seen, p[:n]...)
		switch {
		case bytes.HasPrefix(c.seen, plainRefusal):
			c.refused(errors.New(plainRefusalWords))
			c.done = true
		case !bytes.HasPrefix(plainRefusal, c.seen):
			c.done = true
		}
		if c.done {
			c.seen = nil
		}
	}
	return n, err
}

// muxed is one kind's share of a Listener.
type muxed struct {
	addr  net.Addr
	ready chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newMuxed(addr net.Addr) *muxed {
	return &muxed{addr: addr, ready: make(chan net.Conn, acceptQueue), done: make(chan struct{})}
}

// deliver waits until the kind's server takes c.
func (m *muxed) deliver(ctx context.Context, c net.Conn) error {
	select {
	case m.ready <- c:
		select {
		case <-m.done:
			return m.Close() // nobody takes it any more
		default:
			return nil
		}
	case <-m.done:
		return net.ErrClosed
	case <-ctx.Done():
		return net.ErrClosed
	}
}

// Accept implements net.Listener.
func (m *muxed) Accept() (net.Conn, error) {
	select {
	case c := <-m.ready:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *muxed) Close() error {
	m.once.Do(func() { close(m.done) })
	for {
		select {
		case c := <-m.ready:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (m *muxed) Addr() net.Addr { return m.addr }

// RaftLayer carries raft's streams over the shared port, with the cluster's
// security.
type RaftLayer struct {
	*muxed
	security *Security
}

// Dial opens a raft stream to the server at addr (host:port).
func (r *RaftLayer) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return r.security.dial(ctx, addr, r.security.region, kindRaft)
}

// peekedConn reads first what was peeked.
type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

// Read implements net.Conn. Once the few peeked bytes are gone it bypasses the
// buffer.
func (c *peekedConn) Read(p []byte) (int, error) {
	if c.r != nil {
		if c.r.Buffered() > 0 {
			return c.r.Read(p)
		}
		c.r = nil
	}
	return c.Conn.Read(p)
}

// countedConn gives its place back when closed.
type countedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// tuneConn makes an accepted connection notice a dead peer. It is best effort:
// other kinds of connections (tests, tunnels) have no such options.
func tuneConn(nc net.Conn) {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tc.SetKeepAliveConfig(keepAlive)
	if raw, err := tc.SyscallConn(); err == nil {
		_ = setUnackedTimeout("", "", raw)
	}
}

// setUnackedTimeout sets TCP_USER_TIMEOUT, without which the kernel retransmits
// to a vanished machine for a quarter of an hour.
func setUnackedTimeout(_, _ string, raw syscall.RawConn) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTimeout.Milliseconds()))
	}); cerr != nil {
		return cerr
	}
	return err
}
