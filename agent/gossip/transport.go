package gossip

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// bindTries is how often a free port is looked for that both protocols can have.
const bindTries = 10

// transport is memberlist's, with streams that end when the pool closes: an
// agent that stops must not wait for machines that do not answer. Who knocks at
// the wrong pool is told so.
type transport struct {
	memberlist.NodeAwareTransport
	ctx     context.Context
	label   string        // this pool's
	streams chan net.Conn // that came in
	relay   sync.WaitGroup
}

// newTransport binds host and port, for 0 any port, which it returns.
func newTransport(ctx context.Context, host string, port int, label string, l *log.Logger) (*transport, int, error) {
	tries := 1
	if port == 0 {
		tries = bindTries
	}
	nc := &memberlist.NetTransportConfig{BindAddrs: []string{host}, BindPort: port, Logger: l}
	for {
		tries--
		nt, err := memberlist.NewNetTransport(nc)
		if err == nil {
			t := &transport{NodeAwareTransport: nt, ctx: ctx, label: label, streams: make(chan net.Conn)}
			t.relay.Go(t.takeStreams)
			return t, nt.GetAutoBindPort(), nil
		}
		if tries == 0 || !portTaken(err) {
			return nil, 0, err
		}
	}
}

// portTaken reads it off the text: memberlist wraps without types.
func portTaken(err error) bool { return strings.Contains(err.Error(), "address already in use") }

// takeStreams passes streams on until the pool closes.
func (t *transport) takeStreams() {
	for {
		select {
		case c := <-t.NodeAwareTransport.StreamCh():
			select {
			case t.streams <- &knock{Conn: c, label: t.label}:
			case <-t.ctx.Done():
				_ = c.Close()
				return
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport; ctx has ended.
func (t *transport) Shutdown() error {
	err := t.NodeAwareTransport.Shutdown()
	t.relay.Wait()
	return err
}

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

// stream is a dialled connection. It looks out for the word that another pool is
// there, which memberlist would not understand.
type stream struct {
	net.Conn
	stop func() bool
	seen []byte // what came first
	done bool   // known to be a refusal, or not
}

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if s.done {
		return n, err
	}
	s.seen = append(s.seen, p[:n]...)
	label, refused := strings.CutPrefix(string(s.seen), refusalMark)
	switch {
	case refused && strings.Contains(label, "\n"):
		label, _, _ = strings.Cut(label, "\n")
		return 0, errors.New(otherPool + label)
	case (refused || strings.HasPrefix(refusalMark, string(s.seen))) && len(s.seen) <= len(refusalMark)+memberlist.LabelMaxSize:
		if err == nil && n > 0 { // more of it is to come
			return s.Read(p)
		}
		return n, err
	}
	s.done = true
	n, s.seen = copy(p, s.seen), nil
	return n, err
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.stop()
	return s.Conn.Close()
}

// A stream that comes with another pool's label is answered with refusalMark,
// this pool's label and a line feed.
const refusalMark = "\xf3steppe pool "

// otherPool precedes the label of the pool that answered, in the error of who
// knocked there.
const otherPool = "another pool answers: "

const (
	// labelType is the first byte of a stream that has a label; its length and the
	// label follow.
	labelType = 244
	// refuseTimeout and refuseBytes bound waiting for who was refused to hang up.
	refuseTimeout = time.Second
	refuseBytes   = 1 << 20
)

// knock is a stream that came in. It reads the label before memberlist does,
// which would close the stream of another pool without a word.
type knock struct {
	net.Conn
	label string // this pool's
	seen  []byte // what came first
	done  bool   // the label is known
}

// Read implements net.Conn.
func (k *knock) Read(p []byte) (int, error) {
	n, err := k.Conn.Read(p)
	if k.done {
		return n, err
	}
	k.seen = append(k.seen, p[:n]...)
	label, known := labelOf(k.seen)
	if !known {
		return n, err
	}
	k.done, k.seen = true, nil
	if label == k.label || label != wanLabel && !strings.HasPrefix(label, regionLabel) {
		return n, err
	}
	k.refuse()
	return 0, errors.New("discarding stream with unacceptable label " + label)
}

// labelOf reads the label at the beginning of a stream; "" for none. It is not
// known while too little has come.
func labelOf(b []byte) (label string, known bool) {
	switch {
	case len(b) == 0:
		return "", false
	case b[0] != labelType:
		return "", true
	case len(b) < 2 || len(b) < 2+int(b[1]):
		return "", false
	}
	return string(b[2 : 2+int(b[1])]), true
}

// refuse says which pool this is. What the peer sent meanwhile is read, or closing
// would take the word back. All of it is a courtesy.
func (k *knock) refuse() {
	_ = k.SetDeadline(time.Now().Add(refuseTimeout))
	if _, err := k.Write([]byte(refusalMark + k.label + "\n")); err != nil {
		return
	}
	if tc, ok := k.Conn.(*net.TCPConn); ok {
		_ = tc.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, k.Conn, refuseBytes)
}
