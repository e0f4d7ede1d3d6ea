package gossip

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// syncBuffer collects log lines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var key, otherKey = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)

type agent struct {
	*Pool
	log  *syncBuffer
	stop func()
}

func start(t *testing.T, id string, tune ...func(*Config)) *agent {
	t.Helper()
	a := &agent{log: new(syncBuffer)}
	cfg := Config{
		ID: id, Bind: "127.0.0.1:0", Keys: [][]byte{key}, Meta: Meta{Name: "name-" + id, Region: "global", Server: true},
		Timing: Timing{Rejoin: 200 * time.Millisecond},
		Logger: slog.New(slog.NewTextHandler(a.log, nil)),
	}
	for _, f := range tune {
		f(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.Pool = p
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", id, err)
		}
	})
	t.Cleanup(a.stop)
	return a
}

func testCtx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not reached in time", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (a *agent) status(id string) Status {
	m, _ := a.Member(id)
	return m.Status
}

func TestAloneAtOnce(t *testing.T) {
	began := time.Now()
	a := start(t, "a")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	} else {
		t.Logf("started in %s", took)
	}
	if ms := a.Members(); len(ms) != 1 || ms[0].ID != "a" || ms[0].Meta.Name != "name-a" || ms[0].Status != StatusAlive || ms[0].Addr != a.Addr() {
		t.Errorf("members %+v", ms)
	}
}

func TestLifeOfAMember(t *testing.T) {
	t.Parallel()
	a, b, c := start(t, "a"), start(t, "b"), start(t, "c", func(c *Config) { c.Meta.Server, c.Meta.Client = false, true })
	ctx := testCtx(t)
	sub := a.Subscribe()
	defer sub.Close()
	expect := func(want ...Event) {
		t.Helper()
		for len(want) > 0 {
			events, err := sub.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if len(want) == 0 || e.Type != want[0].Type || e.Member.ID != want[0].Member.ID {
					t.Fatalf("event %s %+v, want %+v", e.Type, e.Member, want)
				}
				want = want[1:]
			}
		}
	}
	event := func(kind EventType, id string) Event { return Event{kind, Member{ID: id}} }
	expect(event(EventJoin, "a"))
	if n, err := b.Join(ctx, []string{a.Addr()}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	expect(event(EventJoin, "b"))
	// Any one address is enough, a client's too.
	if _, err := c.Join(ctx, []string{b.Addr()}); err != nil {
		t.Fatal(err)
	}
	expect(event(EventJoin, "c"))
	waitFor(t, "everybody knows everybody", func() bool { return len(a.Members())+len(b.Members())+len(c.Members()) == 9 })
	if m, _ := a.Member("c"); !m.Meta.Client || m.Meta.Server {
		t.Errorf("roles %+v", m.Meta)
	}

	meta := Meta{Name: "name-b", Region: "global", Server: true, Bootstrapped: true}
	if err := b.SetMeta(meta); err != nil {
		t.Fatal(err)
	}
	expect(event(EventUpdate, "b"))
	if m, _ := a.Member("b"); m.Meta != meta {
		t.Errorf("meta %+v", m.Meta)
	}

	if err := c.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	c.stop()
	expect(event(EventLeave, "c"))

	if err := a.ForceLeave("b"); model.CodeOf(err) != model.CodeConflict {
		t.Errorf("force a living member out: %v", err)
	}
	if err := a.ForceLeave("x"); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("force nobody out: %v", err)
	}
	began := time.Now()
	b.stop()
	expect(event(EventFail, "b"))
	t.Logf("failure known after %s", time.Since(began))
}

func TestForceLeaveSpreads(t *testing.T) {
	t.Parallel()
	a, b, c := start(t, "a"), start(t, "b"), start(t, "c")
	ctx := testCtx(t)
	for _, x := range []*agent{b, c} {
		if _, err := x.Join(ctx, []string{a.Addr()}); err != nil {
			t.Fatal(err)
		}
	}
	c.stop()
	waitFor(t, "failure known", func() bool { return a.status("c") == StatusFailed && b.status("c") == StatusFailed })
	if err := a.ForceLeave("c"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "everybody forgets", func() bool { return a.status("c") == StatusLeft && b.status("c") == StatusLeft })
}

func TestFailedMemberIsFoundAgain(t *testing.T) {
	t.Parallel()
	a, b := start(t, "a"), start(t, "b")
	if _, err := a.Join(testCtx(t), []string{b.Addr()}); err != nil {
		t.Fatal(err)
	}
	addr := b.Addr()
	b.stop()
	waitFor(t, "failure known", func() bool { return a.status("b") == StatusFailed })
	b = start(t, "b", func(c *Config) { c.Bind = addr }) // joins nobody itself
	waitFor(t, "found again", func() bool { return a.status("b") == StatusAlive && b.status("a") == StatusAlive })
	// And at another address, where it joins by itself.
	b.stop()
	waitFor(t, "failure known again", func() bool { return a.status("b") == StatusFailed })
	b = start(t, "b", func(c *Config) { c.RetryJoin = []string{a.Addr()} })
	waitFor(t, "back at another address", func() bool { m, _ := a.Member("b"); return m.Status == StatusAlive && m.Addr == b.Addr() })
}

func TestRetryJoinUntilItWorks(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	a := start(t, "a", func(c *Config) { c.RetryJoin = []string{addr} })
	waitFor(t, "a first failure", func() bool { return strings.Contains(a.log.String(), "no agent listens there") })
	start(t, "b", func(c *Config) { c.Bind = addr })
	waitFor(t, "joined", func() bool { return a.status("b") == StatusAlive })
}

// TestRetryJoinInCompany: having been found by somebody is not having joined.
func TestRetryJoinInCompany(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	a := start(t, "a", func(c *Config) { c.RetryJoin = []string{addr} })
	b := start(t, "b")
	if _, err := b.Join(testCtx(t), []string{a.Addr()}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "company", func() bool { return a.status("b") == StatusAlive })
	start(t, "c", func(c *Config) { c.Bind = addr })
	waitFor(t, "joined", func() bool { return a.status("c") == StatusAlive && b.status("c") == StatusAlive })
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		tune           func(*Config)
		joiner, joined string // what the two logs or errors say
	}{
		{"another key", func(c *Config) { c.Keys = [][]byte{otherKey} }, "it may belong to another cluster", "an agent of another cluster was refused: its encrypt key differs"},
		{"no key", func(c *Config) { c.Keys = nil }, "it may belong to another cluster", "an agent was refused: it has no encrypt key, this cluster has one"},
		{"another region", func(c *Config) { c.Meta.Region = "mars" }, `belongs to region "global", this one to "mars"`, "an agent of another region was refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, b := start(t, "a"), start(t, "b", tt.tune)
			_, err := b.Join(testCtx(t), []string{a.Addr()})
			if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), tt.joiner) {
				t.Errorf("join: %v", err)
			}
			waitFor(t, "a line in the log", func() bool { return strings.Contains(a.log.String(), tt.joined) })
			if len(a.Members()) != 1 || len(b.Members()) != 1 {
				t.Errorf("members %v and %v", a.Members(), b.Members())
			}
		})
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	a, b := start(t, "a"), start(t, "b")
	if _, err := b.Join(testCtx(t), []string{a.Addr()}); err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][][]byte{{key, otherKey}, {otherKey, key}, {otherKey}} {
		for _, x := range []*agent{a, b} {
			if err := x.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
		}
	}
	if keys := a.Keys(); len(keys) != 1 || !bytes.Equal(keys[0], otherKey) {
		t.Errorf("keys %v", keys)
	}
	c := start(t, "c", func(c *Config) { c.Keys = [][]byte{otherKey} })
	if _, err := c.Join(testCtx(t), []string{a.Addr()}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all three", func() bool { return len(b.Members()) == 3 })
	if err := a.SetKeys(nil); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("no key at all: %v", err)
	}
	plain := start(t, "p", func(c *Config) { c.Keys = nil })
	if err := plain.SetKeys([][]byte{key}); model.CodeOf(err) != model.CodeInvalid || plain.Keys() != nil {
		t.Errorf("key for a pool in the clear: %v", err)
	}
}

func TestSameIDTwice(t *testing.T) {
	t.Parallel()
	a, b, twin := start(t, "a"), start(t, "b"), start(t, "a")
	ctx := testCtx(t)
	if _, err := b.Join(ctx, []string{a.Addr()}); err != nil {
		t.Fatal(err)
	}
	_, _ = twin.Join(ctx, []string{b.Addr()}) // whether it notices is not the point
	waitFor(t, "a line in the log", func() bool { return strings.Contains(b.log.String(), "two agents use the same id") })
	if m, _ := b.Member("a"); m.Addr != a.Addr() {
		t.Errorf("the second took over: %v", m)
	}
}

func TestBadAddresses(t *testing.T) {
	a := start(t, "a")
	tests := []struct{ name, bind, advertise, want string }{
		{"taken", a.Addr(), "", "is used by another process"},
		{"no port", "127.0.0.1", "", "missing port"},
		{"a name", "localhost:1", "", "is not an IP address"},
		{"large port", "127.0.0.1:70000", "", "not a number up to 65535"},
		{"foreign address", "203.0.113.1:0", "", "gossip on 203.0.113.1:0"},
		{"advertise", "127.0.0.1:0", "x:1", "is not an IP address"},
	}
	for _, tt := range tests {
		p, err := New(Config{ID: "x", Bind: tt.bind, Advertise: tt.advertise, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestClosedSubscription(t *testing.T) {
	a := start(t, "a")
	sub := a.Subscribe()
	if _, err := sub.Next(testCtx(t)); err != nil {
		t.Fatal(err)
	}
	cctx, cancel := context.WithCancel(testCtx(t))
	cancel()
	if _, err := sub.Next(cctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	sub.Close()
	if _, err := sub.Next(testCtx(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
