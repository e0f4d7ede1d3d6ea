package gossip

import (
	"context"
	"log"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// bindTries is how often a free port is looked for that both protocols can have.
const bindTries = 10

// transport is memberlist's, with streams that end when the pool closes: an
// agent that stops must not wait for machines that do not answer.
type transport struct {
	memberlist.NodeAwareTransport
	ctx context.Context
}

// newTransport binds host and port, for 0 any port, which it returns.
func newTransport(ctx context.Context, host string, port int, l *log.Logger) (*transport, int, error) {
	tries := 1
	if port == 0 {
		tries = bindTries
	}
	nc := &memberlist.NetTransportConfig{BindAddrs: []string{host}, BindPort: port, Logger: l}
	for {
		tries--
		nt, err := memberlist.NewNetTransport(nc)
		if err == nil {
			return &transport{nt, ctx}, nt.GetAutoBindPort(), nil
		}
		if tries == 0 || !portTaken(err) {
			return nil, 0, err
		}
	}
}

// portTaken reads it off the text: memberlist wraps without types.
func portTaken(err error) bool { return strings.Contains(err.Error(), "address already in use") }

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(t.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	sc := &stream{Conn: c}
	sc.stop = context.AfterFunc(t.ctx, func() { _ = c.Close() }) // the reader sees it
	return sc, nil
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// stream is a dialled connection.
type stream struct {
	net.Conn
	stop func() bool
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.stop()
	return s.Conn.Close()
}
