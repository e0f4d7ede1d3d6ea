package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// node is a client agent that keeps a tunnel open, as agents do.
func openTunnel(t *testing.T, c Caller, hello NodeHello, srv *Server) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ServeTunnel(ctx, c, hello, srv) }()
	end = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = end() })
	return end
}

func TestTunnelRegistry(t *testing.T) {
	server := startAgent(t, "srv", port.Plaintext())
	var mu sync.Mutex
	var heard []string
	server.tunnels.cfg.OnChange = func(id string, up bool) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, fmt.Sprint(id, up))
	}
	server.tunnels.cfg.Authorize = func(_ context.Context, h NodeHello) error {
		if h.Secret != "s3cret" {
			return model.Errorf(model.CodeDenied, "wrong secret for node %s", h.NodeID)
		}
		return nil
	}
	server.tunnels.cfg.Max = 3
	client := startAgent(t, "cl", port.Plaintext())
	to := client.pool.At(server.addr)
	hello := NodeHello{NodeID: "n1", Secret: "s3cret"}

	if err := ServeTunnel(testCtx(t), to, NodeHello{NodeID: "n1", Secret: "x"}, client.Server); model.CodeOf(err) != model.CodeDenied {
		t.Errorf("wrong secret: %v", err)
	}
	if err := ServeTunnel(testCtx(t), to, NodeHello{Secret: "s3cret"}, client.Server); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("no id: %v", err)
	}
	end := openTunnel(t, to, hello, client.Server)
	waitFor(t, func() bool { _, ok := server.tunnels.Get("n1"); return ok })
	call := func() error {
		_, err := echo.Call(testCtx(t), server.Node("n1"), &note{Text: "x"})
		return err
	}
	if err := call(); err != nil {
		t.Error(err)
	}
	// A second tunnel of the same node takes over; the first one ends.
	first, _ := server.tunnels.Get("n1")
	openTunnel(t, to, hello, client.Server)
	waitFor(t, func() bool { now, _ := server.tunnels.Get("n1"); return now != first })
	waitFor(t, func() bool { return call() == nil })
	if err := end(); err != nil && model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("the first tunnel ended with %v", err)
	}
	server.tunnels.Disconnect("n1")
	waitFor(t, func() bool { _, ok := server.tunnels.Get("n1"); return !ok })
	if err := call(); model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "node n1 is not connected to any server") {
		t.Errorf("without tunnel: %v", err)
	}
	mu.Lock()
	if got := fmt.Sprint(heard); got != "[n1true n1false]" {
		t.Errorf("heard %s", got)
	}
	mu.Unlock()
	for i := range 3 {
		openTunnel(t, to, NodeHello{NodeID: fmt.Sprint("m", i), Secret: "s3cret"}, client.Server)
	}
	waitFor(t, func() bool { return len(server.tunnels.Nodes()) == 3 })
	if err := ServeTunnel(testCtx(t), to, hello, client.Server); model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "its limit") {
		t.Errorf("beyond the limit: %v", err)
	}
}

// TestSlowReaderHoldsItsStreamOnly: one stream through a tunnel that nobody
// reads must not hold up the others, nor fill memory.
func TestSlowReaderHoldsItsStreamOnly(t *testing.T) {
	server, client := startAgent(t, "srv", port.Plaintext()), startAgent(t, "cl", port.Plaintext())
	flood := StreamMethod[note, note]{Name: "Test.Flood"}
	var mu sync.Mutex
	sent := 0
	big := strings.Repeat("x", 16<<10)
	HandleStream(client.Server, flood, func(_ context.Context, st *Stream[note, note]) error {
		for {
			if err := st.Send(&note{Text: big}); err != nil {
				return err
			}
			mu.Lock()
			sent++
			mu.Unlock()
		}
	})
	openTunnel(t, client.pool.At(server.addr), NodeHello{NodeID: "n1"}, client.Server)
	waitFor(t, func() bool { return len(server.tunnels.Nodes()) == 1 })
	st, err := flood.Open(testCtx(t), server.Node("n1"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	last := -1
	waitFor(t, func() bool { // until it stands still
		time.Sleep(50 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		still := sent == last && sent > 0
		last = sent
		return still
	})
	if last > 1000 {
		t.Errorf("%d messages of 16 KB were taken without a reader", last)
	}
	for range 20 {
		if _, err := echo.Call(testCtx(t), server.Node("n1"), &note{Text: "still there"}); err != nil {
			t.Fatal(err)
		}
	}
	for range last + 10 {
		if _, err := st.Recv(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTunnelEndsWithItsServer(t *testing.T) {
	server, client := startAgent(t, "srv", port.Plaintext()), startAgent(t, "cl", port.Plaintext())
	done := make(chan error, 1)
	go func() {
		done <- ServeTunnel(testCtx(t), client.pool.At(server.addr), NodeHello{NodeID: "n1"}, client.Server)
	}()
	waitFor(t, func() bool { return len(server.tunnels.Nodes()) == 1 })
	if _, err := echo.Call(testCtx(t), server.Node("n1"), &note{}); err != nil {
		t.Fatal(err)
	}
	st, err := shout.Open(testCtx(t), server.Node("n1"))
	if err != nil {
		t.Fatal(err)
	}
	server.stop()
	if _, err := st.Recv(); err == nil {
		t.Error("a stream outlived its server")
	}
	if err := <-done; err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the tunnel ended with %v", err)
	}
}

func TestAttachedNode(t *testing.T) {
	server, client := startAgent(t, "srv", port.Plaintext()), NewServer(Config{Logger: slog.Default()})
	Handle(client, echo, func(_ context.Context, n *note) (*note, error) { return n, nil })
	detach := server.tunnels.Attach("n1", client)
	other := startAgent(t, "other", port.Plaintext())
	other.router.servers = []string{server.addr}
	for _, c := range []Caller{server.Node("n1"), other.Node("n1")} {
		if out, err := echo.Call(testCtx(t), c, &note{Text: "x"}); err != nil || out.Text != "x" {
			t.Errorf("%v %v", out, err)
		}
		if _, err := shout.Open(testCtx(t), c); err == nil {
			// Over the network the answer comes with the first message.
			t.Log("opened")
		}
	}
	detach()
	if _, err := echo.Call(testCtx(t), other.Node("n1"), &note{}); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("detached: %v", err)
	}
}
