package port

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// FuzzGreeting feeds the first bytes of a connection to the listener.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), false)
	f.Add([]byte{kindRaft, 1, 2, 3}, false)
	f.Add([]byte{kindTLS, 3, 1, 0, 4, 1, 0, 0, 0}, true)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), true)
	sec := map[bool]*Security{false: Plaintext()}
	var err error
	if sec[true], err = FromKey(make([]byte, KeyBytes), "a", ""); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first []byte, encrypt bool) {
		l := NewListener(ListenerConfig{Listener: noListener{}, Security: sec[encrypt], Logger: slog.New(slog.DiscardHandler)})
		server, client := net.Pipe()
		go func() {
			_, _ = client.Write(first)
			_ = client.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = io.Copy(io.Discard, client)
			_ = client.Close()
		}()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		done := make(chan error, 1)
		go func() { done <- l.greet(context.Background(), server) }()
		select {
		case err := <-done:
			_ = server.Close()
			taken := len(l.rpc.ready) + len(l.raft.ready)
			if (err == nil) != (taken == 1) {
				t.Errorf("%v, but %d connections taken", err, taken)
			}
			if encrypt && err == nil {
				t.Error("a connection without a certificate was taken")
			}
			if err == nil && first[0] != kindRaft && first[0] != kindGRPC {
				t.Errorf("taken for a first byte of %x", first[0])
			}
		case <-time.After(20 * time.Second):
			t.Error("greeting hangs")
		}
	})
}

// noListener is a listener that is never asked.
type noListener struct{ net.Listener }

// Addr implements net.Listener.
func (noListener) Addr() net.Addr { return &net.TCPAddr{} }
