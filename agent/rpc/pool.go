package rpc

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// Pool holds one connection per address, made when first used and shared by all
// calls.
type Pool struct {
	security *port.Security
	logger   *slog.Logger

	mu     sync.Mutex
	conns  map[place]*conn
	closed bool
}

// place is where a connection goes: an address, and the region that whoever is
// there must belong to, "" for the agent's own.
type place struct{ addr, region string }

// NewPool makes an empty pool that dials through security.
func NewPool(security *port.Security, logger *slog.Logger) *Pool {
	return &Pool{security: security, logger: logger, conns: make(map[place]*conn)}
}

// Close ends all connections; calls in flight fail.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for at, c := range p.conns {
		c.close()
		delete(p.conns, at)
	}
}

// At returns the way to the server at addr (host:port). Calls are not forwarded
// by this side; the server forwards as their methods say.
func (p *Pool) At(addr string) Caller { return pooled{p, addr} }

type pooled struct {
	pool *Pool
	addr string
}

// Invoke implements Caller.
func (c pooled) Invoke(ctx context.Context, spec Spec, req Message, resp func() Message) (Message, error) {
	cn, err := c.pool.conn(place{addr: c.addr})
	if err != nil {
		return nil, err
	}
	return cn.Invoke(ctx, spec, req, resp)
}

// Open implements Caller.
func (c pooled) Open(ctx context.Context, spec Spec) (Wire, error) {
	cn, err := c.pool.conn(place{addr: c.addr})
	if err != nil {
		return nil, err
	}
	return cn.Open(ctx, spec)
}

func (p *Pool) conn(at place) (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.conns[at]; ok {
		return c, nil
	}
	if p.closed {
		return nil, &notSent{cause: model.Errorf(model.CodeUnavailable, "the agent is shutting down")}
	}
	if !p.makeRoom() {
		return nil, &notSent{cause: model.Errorf(model.CodeUnavailable, "%d connections to other agents are in use, no more are opened", maxPoolConns)}
	}
	c, err := newConn(at.addr, false, func(ctx context.Context) (net.Conn, error) { return p.security.Dial(ctx, at.addr, at.region) })
	if err != nil {
		return nil, &notSent{cause: model.Errorf(model.CodeInvalid, "%w", err)}
	}
	p.conns[at] = c
	return c, nil
}

// makeRoom drops unused connections when the pool is full and reports whether
// there is room.
func (p *Pool) makeRoom() bool {
	if len(p.conns) < maxPoolConns {
		return true
	}
	for at, c := range p.conns {
		if st := c.cc.GetState(); st == connectivity.Idle || st == connectivity.TransientFailure {
			c.close()
			delete(p.conns, at)
		}
	}
	return len(p.conns) < maxPoolConns
}

// Servers is the way to any server of a changing list. It stays with one and
// moves when that one cannot be reached.
type Servers struct {
	pool   *Pool
	region string // theirs; "" for the agent's own
	list   func() []string

	mu      sync.Mutex
	current string
	bad     map[string]badServer
}

// badServer is a server that could not be reached lately.
type badServer struct {
	until   time.Time
	penalty time.Duration
}

// Penalties of an unreachable server grow from Min to Max; it is tried anyway
// when all are bad.
const (
	badServerMin = 500 * time.Millisecond
	badServerMax = 10 * time.Second
)

// Servers returns the way to any of the servers that list names at the time of
// each call (rpc addresses). list must not block.
func (p *Pool) Servers(list func() []string) *Servers { return p.serversOf("", list) }

// serversOf is Servers for those of another region.
func (p *Pool) serversOf(region string, list func() []string) *Servers {
	return &Servers{pool: p, region: region, list: list, bad: make(map[string]badServer)}
}

// Current is the server in use, "" before the first call.
func (s *Servers) Current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// Move makes the next call choose another server, when there is one: for a
// caller that knows that the current one serves it badly.
func (s *Servers) Move() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != "" {
		s.blame(s.current)
	}
}

// blame must be called with mu held.
func (s *Servers) blame(addr string) {
	b := s.bad[addr]
	b.penalty = min(max(2*b.penalty, badServerMin), badServerMax)
	b.until = time.Now().Add(b.penalty)
	s.bad[addr] = b
	if s.current == addr {
		s.current = ""
	}
}

// candidates orders the servers: current, then good in random order, then bad.
func (s *Servers) candidates() []string {
	all := slices.Clone(s.list())
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for addr := range s.bad {
		if !slices.Contains(all, addr) {
			delete(s.bad, addr)
		}
	}
	rank := func(addr string) int {
		switch {
		case addr == s.current:
			return 0
		case now.Before(s.bad[addr].until):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	return all
}

// warm has servers of another region dialled all at once when the first is not
// connected: over a line that is cut each takes its time to fail.
func (s *Servers) warm(left []string) {
	if s.region == "" {
		return
	}
	for i, addr := range left {
		c, err := s.pool.conn(place{addr, s.region})
		if err != nil || i == 0 && c.cc.GetState() == connectivity.Ready {
			return
		}
		c.cc.Connect()
	}
}

// try runs do on servers in turn until one was reached. A call that may be
// repeated also moves on when the server answers that it cannot serve now.
func (s *Servers) try(spec Spec, do func(*conn) error) error {
	err := error(&notSent{cause: model.Errorf(model.CodeUnavailable, "no servers are known")})
	all := s.candidates()
	for i, addr := range all {
		s.warm(all[i:])
		var c *conn
		if c, err = s.pool.conn(place{addr, s.region}); err == nil {
			err = do(c)
		}
		if isNotSent(err) {
			s.mu.Lock()
			s.blame(addr)
			s.mu.Unlock()
			continue
		}
		s.mu.Lock()
		s.current = addr
		delete(s.bad, addr)
		s.mu.Unlock()
		if err == nil || !spec.retriable() || model.CodeOf(err) != model.CodeUnavailable {
			return err
		}
	}
	return err
}

// Invoke implements Caller.
func (s *Servers) Invoke(ctx context.Context, spec Spec, req Message, resp func() Message) (Message, error) {
	var out Message
	err := s.try(spec.of(req), func(c *conn) error {
		var err error
		out, err = c.Invoke(ctx, spec, req, resp)
		return err
	})
	return out, err
}

// Open implements Caller.
func (s *Servers) Open(ctx context.Context, spec Spec) (Wire, error) {
	var out Wire
	err := s.try(spec, func(c *conn) error {
		var err error
		out, err = c.Open(ctx, spec)
		return err
	})
	return out, err
}
