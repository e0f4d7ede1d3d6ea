package port

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"slices"
	"sync"
)

// pacer bounds how many handshakes are computed at once, so that in a storm of
// connections each is done in milliseconds instead of all of them in seconds,
// when nobody waits for them any more. It counts computing, not waiting: a peer
// that takes its time takes nobody's place.
//
//	new ──► newest first ──┐
//	                       ├─► a place ──► computes ──► reads: gives its place back
//	begun ─► oldest first ─┘   (these before those)        │
//	  ▲────────────────────────────────────────────────────┘
//
// The newest of the new goes first because its peer is the one that surely still
// waits; what has begun goes before anything new, or work would be lost.
type pacer struct {
	mu    sync.Mutex
	free  int
	begun []chan struct{}
	fresh []chan struct{}
}

// newPacer leaves one core, where there are more, to everything else.
func newPacer() *pacer { return &pacer{free: max(1, runtime.GOMAXPROCS(0)-1)} }

// enter waits for a place.
func (p *pacer) enter(ctx context.Context, begun bool) error {
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	line := &p.fresh
	if begun {
		line = &p.begun
	}
	*line = append(*line, turn)
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(*line, turn)
	if i >= 0 {
		*line = slices.Delete(*line, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // its turn came at the same time
		p.leave()
	}
	return ctx.Err()
}

// leave gives a place to the next.
func (p *pacer) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.begun) > 0:
		close(p.begun[0])
		p.begun = slices.Delete(p.begun, 0, 1)
	case len(p.fresh) > 0:
		last := len(p.fresh) - 1
		close(p.fresh[last])
		p.fresh = slices.Delete(p.fresh, last, last+1)
	default:
		p.free++
	}
}

// handshake runs a TLS handshake on nc in its turn; with makes the TLS connection.
func (p *pacer) handshake(ctx context.Context, nc net.Conn, with func(net.Conn) *tls.Conn) (*tls.Conn, error) {
	if err := p.enter(ctx, false); err != nil {
		return nil, err
	}
	c := &pacedConn{Conn: nc, pacer: p, ctx: ctx, holds: true}
	tc := with(c)
	err := tc.HandshakeContext(ctx)
	c.pause()
	return tc, err
}

// pacedConn gives its place back while it waits for its peer. Once the handshake
// is over it has none, and just reads.
type pacedConn struct {
	net.Conn
	pacer *pacer
	ctx   context.Context
	holds bool // only one goroutine reads at a time
}

// Read implements net.Conn.
func (c *pacedConn) Read(b []byte) (int, error) {
	if !c.pause() {
		return c.Conn.Read(b)
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	if err := c.pacer.enter(c.ctx, true); err != nil {
		return n, err
	}
	c.holds = true
	return n, nil
}

// pause gives the place back and tells whether there was one.
func (c *pacedConn) pause() bool {
	if !c.holds {
		return false
	}
	c.holds = false
	c.pacer.leave()
	return true
}
