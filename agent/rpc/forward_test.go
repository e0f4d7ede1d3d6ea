package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// three starts three servers of which a leads.
func three(t *testing.T) (a, b, c *agent) {
	sec := fromKey(t, testKey, "x")
	a, b, c = startAgent(t, "a", sec), startAgent(t, "b", sec), startAgent(t, "c", sec)
	lead(a, b, c)
	return a, b, c
}

// lead makes the first of the servers the leader in the eyes of all.
func lead(leader *agent, others ...*agent) {
	leader.router.set(leader.addr, true)
	for _, o := range others {
		o.router.set(leader.addr, false)
	}
}

func TestForwarding(t *testing.T) {
	a, b, c := three(t)
	ctx := testCtx(t)
	tests := []struct {
		name string
		call func(Caller) (*note, error)
		want string
	}{
		{"write", func(c Caller) (*note, error) { return write.Call(ctx, c, &note{Text: "w"}) }, "a:w"},
		{"read", func(c Caller) (*note, error) { return read.Call(ctx, c, &note{Text: "r"}) }, "a:r"},
		{"stale read", func(c Caller) (*note, error) { return read.Call(ctx, c, &note{Text: "r", Stale: true}) }, "b:r"},
		{"local", func(c Caller) (*note, error) { return echo.Call(ctx, c, &note{Text: "e"}) }, "b:e"},
		{"stream", func(c Caller) (*note, error) {
			st, err := followed.Open(ctx, c)
			if err != nil {
				return nil, err
			}
			defer st.Close()
			if err := st.Send(&note{Text: "s"}); err != nil {
				return nil, err
			}
			return st.Recv()
		}, "a:S"},
	}
	for _, tt := range tests {
		for way, caller := range map[string]Caller{"in process": b.Caller(), "network": c.pool.At(b.addr)} {
			out, err := tt.call(caller)
			if err != nil || out.Text != tt.want {
				t.Errorf("%s, %s: %v %v, want %s", tt.name, way, out, err, tt.want)
			}
		}
	}
	if n := a.writes.Load(); n != 2 {
		t.Errorf("%d writes at the leader, want 2", n)
	}
}

func TestForwardWaitsForALeader(t *testing.T) {
	a, b, c := three(t)
	for _, x := range []*agent{a, b, c} {
		x.router.set("", false)
	}
	done := make(chan error, 1)
	go func() {
		_, err := write.Call(testCtx(t), b.Caller(), &note{})
		done <- err
	}()
	lead(c, a, b)
	if err := <-done; err != nil || c.writes.Load() != 1 {
		t.Errorf("%v, %d writes", err, c.writes.Load())
	}
}

func TestForwardFollowsAMovingLeader(t *testing.T) {
	a, b, c := three(t)
	// b still believes in a, which has been deposed and says so.
	a.router.set(c.addr, false)
	c.router.set(c.addr, true)
	done := make(chan error, 1)
	go func() {
		_, err := write.Call(testCtx(t), b.Caller(), &note{})
		done <- err
	}()
	b.router.set(c.addr, false)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if a.writes.Load() != 0 || c.writes.Load() != 1 {
		t.Errorf("writes: a %d, c %d", a.writes.Load(), c.writes.Load())
	}
	// A dead leader: nothing was sent, so the write may go to the next one.
	dead := c.addr
	c.stop()
	go func() {
		_, err := write.Call(testCtx(t), b.Caller(), &note{})
		done <- err
	}()
	if a.router.addr != dead {
		t.Fatal("test is wrong")
	}
	lead(a, b)
	if err := <-done; err != nil || a.writes.Load() != 1 {
		t.Errorf("%v, %d writes", err, a.writes.Load())
	}
}

func TestNoLeaderIsToldInTime(t *testing.T) {
	a, _, _ := three(t)
	a.router.set("", false)
	ctx, cancel := context.WithTimeout(testCtx(t), 200*time.Millisecond)
	defer cancel()
	if _, err := write.Call(ctx, a.Caller(), &note{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestStoppedLeaderDoesNotHoldItsCallers: the leader takes a write and falls
// silent; when another leads, the caller learns that the outcome is unknown.
func TestStoppedLeaderDoesNotHoldItsCallers(t *testing.T) {
	a, b, c := three(t)
	hang := Method[note, note]{Name: "Test.Hang", Forward: Leader}
	reads := Method[note, note]{Name: "Test.HangRead", Forward: LeaderOrStale}
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	t.Cleanup(func() { close(release) })
	for _, x := range []*agent{a, b, c} {
		stuck := func(ctx context.Context, n *note) (*note, error) {
			if x == a {
				entered <- struct{}{}
				<-release
			}
			return &note{Text: x.name}, nil
		}
		Handle(x.Server, hang, stuck)
		Handle(x.Server, reads, stuck)
	}
	type answer struct {
		out *note
		err error
	}
	wrote, hasRead := make(chan answer, 1), make(chan answer, 1)
	go func() { out, err := hang.Call(testCtx(t), b.Caller(), &note{}); wrote <- answer{out, err} }()
	go func() { out, err := reads.Call(testCtx(t), b.Caller(), &note{}); hasRead <- answer{out, err} }()
	<-entered
	<-entered
	lead(c, b)
	if w := <-wrote; model.CodeOf(w.err) != model.CodeUnavailable || !strings.Contains(w.err.Error(), "may or may not have been applied") {
		t.Errorf("write: %v %v", w.out, w.err)
	}
	if r := <-hasRead; r.err != nil || r.out.Text != "c" {
		t.Errorf("read: %v %v", r.out, r.err)
	}
}

func TestAnyServerMovesOn(t *testing.T) {
	a, b, c := three(t)
	pool := NewPool(fromKey(t, testKey, "client"), slog.Default())
	t.Cleanup(pool.Close)
	servers := pool.Servers(func() []string { return []string{a.addr, b.addr, c.addr} })
	byAddr := map[string]*agent{a.addr: a, b.addr: b, c.addr: c}
	for left := 3; left > 0; left-- {
		for range 3 {
			if _, err := echo.Call(testCtx(t), servers, &note{}); err != nil {
				t.Fatalf("with %d servers: %v", left, err)
			}
		}
		byAddr[servers.Current()].stop()
		waitFor(t, func() bool { // the connection's end is noticed
			_, err := echo.Call(testCtx(t), servers, &note{})
			return err == nil || left == 1
		})
	}
	_, err := echo.Call(testCtx(t), servers, &note{})
	if !errors.Is(err, ErrNotSent) || model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("without servers: %v", err)
	}
	none := pool.Servers(func() []string { return nil })
	if _, err := echo.Call(testCtx(t), none, &note{}); !errors.Is(err, ErrNotSent) {
		t.Errorf("without a list: %v", err)
	}
}

func TestStrangersAreToldWhy(t *testing.T) {
	plain := startAgent(t, "plain", port.Plaintext())
	secure := startAgent(t, "secure", fromKey(t, testKey, "s"))
	otherKey := fromKey(t, make([]byte, port.KeyBytes), "o")
	tests := []struct {
		name string
		sec  *port.Security
		to   *agent
		err  string // for the caller
		log  string // at the agent called
	}{
		{"another key", otherKey, secure, "belongs to another cluster: its encrypt key differs", "bad certificate"},
		{"no key", port.Plaintext(), secure, "this cluster encrypts: the agent needs the cluster's encrypt key", "it does not encrypt: this cluster does"},
		{"key too many", otherKey, plain, "does not encrypt: it has no encrypt key or tls certificates, this one has", "it encrypts and this agent does not"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pool := NewPool(tt.sec, slog.Default())
			defer pool.Close()
			_, err := echo.Call(testCtx(t), pool.At(tt.to.addr), &note{})
			if !strings.Contains(err.Error(), tt.err) || model.CodeOf(err) != model.CodeUnavailable {
				t.Errorf("caller is told %v", err)
			}
			t.Log(err)
			waitFor(t, func() bool { return strings.Contains(tt.to.log.String(), tt.log) })
			if _, err := tt.to.lis.Raft().Dial(tt.to.addr, time.Second); err != nil {
				t.Errorf("raft among equals: %v", err)
			}
		})
	}
}

func TestKeyRotationKeepsPeers(t *testing.T) {
	newKey := make([]byte, port.KeyBytes)
	sec := fromKey(t, testKey, "a")
	a := startAgent(t, "a", sec)
	call := func(key []byte) error {
		pool := NewPool(fromKey(t, key, "b"), slog.Default())
		defer pool.Close()
		_, err := echo.Call(testCtx(t), pool.At(a.addr), &note{})
		return err
	}
	if err := sec.SetKeys(testKey, newKey); err != nil {
		t.Fatal(err)
	}
	if err := call(testKey); err != nil {
		t.Errorf("old key while both are known: %v", err)
	}
	if err := sec.SetKeys(newKey, testKey); err != nil {
		t.Fatal(err)
	}
	if err := call(newKey); err != nil {
		t.Errorf("new key: %v", err)
	}
	if err := sec.SetKeys(newKey); err != nil {
		t.Fatal(err)
	}
	if err := call(testKey); err == nil {
		t.Error("the old key is still accepted")
	}
}

func TestRaftSharesThePort(t *testing.T) {
	for name, sec := range map[string]*port.Security{"plain": port.Plaintext(), "encrypted": fromKey(t, testKey, "a")} {
		t.Run(name, func(t *testing.T) {
			a := startAgent(t, "a", sec)
			var wg sync.WaitGroup
			wg.Go(func() {
				c, err := a.lis.Raft().Accept()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				buf := make([]byte, 5)
				if _, err := c.Read(buf); err != nil || string(buf) != "hello" {
					t.Errorf("read %q %v", buf, err)
				}
				if _, err := c.Write([]byte("there")); err != nil {
					t.Error(err)
				}
			})
			c, err := a.lis.Raft().Dial(a.addr, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 5)
			if _, err := c.Read(buf); err != nil || string(buf) != "there" {
				t.Errorf("read %q %v", buf, err)
			}
			wg.Wait()
			if _, err := echo.Call(testCtx(t), a.pool.At(a.addr), &note{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNoConnectionLimit: below zero there is none, of one address neither.
func TestNoConnectionLimit(t *testing.T) {
	a := startAgent(t, "a", port.Plaintext(), func(c *port.ListenerConfig) { c.MaxConnsPerIP = -1 })
	for range 10 {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	if _, err := echo.Call(testCtx(t), a.pool.At(a.addr), &note{}); err != nil {
		t.Error(err)
	}
}

func TestConnectionLimits(t *testing.T) {
	a := startAgent(t, "a", port.Plaintext(), func(c *port.ListenerConfig) { c.MaxConns, c.MaxConnsPerIP = 3, 2 })
	dial := func() net.Conn {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := dial()
	dial()
	third := dial()
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("the third connection of one address was kept")
	}
	waitFor(t, func() bool { return strings.Contains(a.log.String(), "limit of connections from one address reached") })
	// A place that is given back can be taken again.
	if _, err := first.Write([]byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return strings.Contains(a.log.String(), "does not speak an agent's protocol") })
	if _, err := echo.Call(testCtx(t), a.pool.At(a.addr), &note{}); err != nil {
		t.Error(err)
	}
}
