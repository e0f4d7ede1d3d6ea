package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// note is the tests' message.
type note struct {
	Text  string
	Stale bool
}

func (n *note) AllowsStale() bool { return n.Stale }

func (n *note) MarshalMsg(b []byte) ([]byte, error) {
	return msgp.AppendBool(msgp.AppendString(b, n.Text), n.Stale), nil
}

func (n *note) UnmarshalMsg(b []byte) ([]byte, error) {
	var err error
	if n.Text, b, err = msgp.ReadStringBytes(b); err != nil {
		return nil, err
	}
	n.Stale, b, err = msgp.ReadBoolBytes(b)
	return b, err
}

var (
	echo     = Method[note, note]{Name: "Test.Echo"}
	write    = Method[note, note]{Name: "Test.Write", Forward: Leader}
	read     = Method[note, note]{Name: "Test.Read", Forward: LeaderOrStale}
	fail     = Method[note, note]{Name: "Test.Fail"}
	shout    = StreamMethod[note, note]{Name: "Test.Shout"}
	followed = StreamMethod[note, note]{Name: "Test.Follow", Forward: Leader}
)

// fakeRouter is a Router that tests set.
type fakeRouter struct {
	mu      sync.Mutex
	addr    string
	self    bool
	servers []string
	changed chan struct{}
}

func (r *fakeRouter) set(addr string, self bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed != nil {
		close(r.changed)
	}
	r.addr, r.self, r.changed = addr, self, make(chan struct{})
}

func (r *fakeRouter) Leader() (string, bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addr, r.self, r.changed
}

func (r *fakeRouter) Servers() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.servers
}

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

// agent is a running server on loopback.
type agent struct {
	*Server
	name    string
	addr    string
	router  *fakeRouter
	pool    *Pool
	tunnels *Tunnels
	log     *syncBuffer
	lis     *port.Listener
	stop    func()
	writes  atomic.Int64
}

func startAgent(t testing.TB, name string, sec *port.Security, tune ...func(*port.ListenerConfig)) *agent {
	t.Helper()
	return startIn(t, name, sec, nil, tune...)
}

// startIn starts a server that knows of regions.
func startIn(t testing.TB, name string, sec *port.Security, regions Regions, tune ...func(*port.ListenerConfig)) *agent {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{name: name, addr: ln.Addr().String(), router: &fakeRouter{}, log: new(syncBuffer)}
	a.router.set("", false)
	logger := slog.New(slog.NewTextHandler(a.log, nil))
	a.pool = NewPool(sec, logger)
	a.tunnels = NewTunnels(TunnelsConfig{Logger: logger})
	a.Server = NewServer(Config{Router: a.router, Pool: a.pool, Regions: regions, Tunnels: a.tunnels, Logger: logger})
	a.handleTests()
	cfg := port.ListenerConfig{Listener: ln, Security: sec, Logger: logger}
	for _, f := range tune {
		f(&cfg)
	}
	a.lis = port.NewListener(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.lis.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := a.Server.Run(ctx, a.lis.RPC()); err != nil {
			t.Error(err)
		}
	})
	a.stop = sync.OnceFunc(func() { cancel(); a.pool.Close(); wg.Wait() })
	t.Cleanup(a.stop)
	return a
}

func (a *agent) handleTests() {
	Handle(a.Server, echo, func(_ context.Context, n *note) (*note, error) {
		return &note{Text: a.name + ":" + n.Text}, nil
	})
	Handle(a.Server, write, func(_ context.Context, n *note) (*note, error) {
		a.writes.Add(1)
		return &note{Text: a.name + ":" + n.Text}, nil
	})
	Handle(a.Server, read, func(_ context.Context, n *note) (*note, error) {
		return &note{Text: a.name + ":" + n.Text}, nil
	})
	Handle(a.Server, fail, func(_ context.Context, n *note) (*note, error) {
		if n.Text == "panic" {
			panic("on purpose")
		}
		return nil, model.Errorf(model.Code(n.Text), "it was %s: ünïcode", n.Text)
	})
	serveEcho := func(_ context.Context, st *Stream[note, note]) error {
		for {
			n, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return st.Send(&note{Text: "bye"})
			}
			if err != nil {
				return err
			}
			if n.Text == "fail" {
				return model.Errorf(model.CodeConflict, "as asked")
			}
			if err := st.Send(&note{Text: a.name + ":" + strings.ToUpper(n.Text)}); err != nil {
				return err
			}
		}
	}
	HandleStream(a.Server, shout, serveEcho)
	HandleStream(a.Server, followed, serveEcho)
}

var testKey = bytes.Repeat([]byte{7}, port.KeyBytes)

func fromKey(t *testing.T, key []byte, id string) *port.Security {
	t.Helper()
	s, err := port.FromKey(key, id, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testCtx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// callers are all the ways to one agent's handlers.
func callers(t *testing.T) map[string]Caller {
	plain := startAgent(t, "a", port.Plaintext())
	secure := startAgent(t, "a", fromKey(t, testKey, "id-a"))
	server := startAgent(t, "srv", fromKey(t, testKey, "id-s"))
	client := startAgent(t, "a", port.Plaintext())
	go func() {
		_ = ServeTunnel(testCtx(t), server.Caller(), NodeHello{NodeID: "n1"}, client.Server)
	}()
	other := startAgent(t, "other", fromKey(t, testKey, "id-o"))
	other.router.mu.Lock()
	other.router.servers = []string{server.addr}
	other.router.mu.Unlock()
	far := startAgent(t, "far", fromKey(t, testKey, "id-f"))
	farClient := startAgent(t, "a", port.Plaintext())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = ServeTunnel(ctx, far.pool.At(server.addr), NodeHello{NodeID: "n2"}, farClient.Server)
	}()
	t.Cleanup(func() { cancel(); <-done })
	waitFor(t, func() bool { return len(server.tunnels.Nodes()) == 2 })
	n1, _ := server.tunnels.Get("n1")
	n2, _ := server.tunnels.Get("n2")
	return map[string]Caller{
		"in process":          plain.Caller(),
		"plaintext":           other.pooledPlain(t).At(plain.addr),
		"encrypted":           other.pool.At(secure.addr),
		"any server":          other.pool.Servers(func() []string { return []string{"127.0.0.1:1", secure.addr} }),
		"tunnel in process":   n1,
		"tunnel":              n2,
		"tunnel of other":     other.Node("n2"),
		"tunnel of this":      server.Node("n2"),
		"in process of other": other.Node("n1"),
	}
}

func (a *agent) pooledPlain(t *testing.T) *Pool {
	p := NewPool(port.Plaintext(), slog.Default())
	t.Cleanup(p.Close)
	return p
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatal("condition not reached in time")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestEveryWayBehavesTheSame(t *testing.T) {
	for name, c := range callers(t) {
		t.Run(name, func(t *testing.T) {
			ctx := testCtx(t)
			out, err := echo.Call(ctx, c, &note{Text: "hi"})
			if err != nil || out.Text != "a:hi" {
				t.Fatalf("echo: %v %v", out, err)
			}
			big := strings.Repeat("x", 5<<20)
			if out, err := echo.Call(ctx, c, &note{Text: big}); err != nil || out.Text != "a:"+big {
				t.Fatalf("big echo: %v", err)
			}
			for _, code := range []model.Code{model.CodeInvalid, model.CodeNotFound, model.CodeConflict, model.CodeDenied, model.CodeUnavailable, model.CodeNotLeader, model.CodeInternal} {
				_, err := fail.Call(ctx, c, &note{Text: string(code)})
				if model.CodeOf(err) != code || err.Error() != fmt.Sprintf("it was %s: ünïcode", code) {
					t.Errorf("code %s came as %s: %v", code, model.CodeOf(err), err)
				}
			}
			_, err = Method[note, note]{Name: "No.Such"}.Call(ctx, c, new(note))
			if model.CodeOf(err) != model.CodeNotFound {
				t.Errorf("unknown method: %v", err)
			}
			checkStream(t, ctx, c)
		})
	}
}

func checkStream(t *testing.T, ctx context.Context, c Caller) {
	t.Helper()
	st, err := shout.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := st.Send(&note{Text: fmt.Sprint("n", i)}); err != nil {
			t.Fatal(err)
		}
		n, err := st.Recv()
		if err != nil || n.Text != fmt.Sprint("a:N", i) {
			t.Fatalf("message %d: %v %v", i, n, err)
		}
	}
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if n, err := st.Recv(); err != nil || n.Text != "bye" {
		t.Fatalf("after close: %v %v", n, err)
	}
	if _, err := st.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("end: %v", err)
	}
	st.Close()

	st, err = shout.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Send(&note{Text: "fail"}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); model.CodeOf(err) != model.CodeConflict || err.Error() != "as asked" {
		t.Fatalf("handler's error: %v", err)
	}

	cctx, cancel := context.WithCancel(ctx)
	st2, err := shout.Open(cctx, c)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := st2.Recv(); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
}

func TestPanicIsAnError(t *testing.T) {
	a := startAgent(t, "a", port.Plaintext())
	_, err := fail.Call(testCtx(t), a.pool.At(a.addr), &note{Text: "panic"})
	if model.CodeOf(err) != model.CodeInternal {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(a.log.String(), "on purpose") {
		t.Error("panic is not logged")
	}
}

func TestOversizedMessage(t *testing.T) {
	a := startAgent(t, "a", port.Plaintext())
	_, err := echo.Call(testCtx(t), a.pool.At(a.addr), &note{Text: strings.Repeat("x", MaxMessageBytes+1)})
	if model.CodeOf(err) != model.CodeInvalid {
		t.Fatalf("got %v", err)
	}
	if out, err := echo.Call(testCtx(t), a.pool.At(a.addr), &note{Text: "y"}); err != nil || out.Text != "a:y" {
		t.Fatalf("afterwards: %v", err)
	}
}

func TestLongErrorTextIsClipped(t *testing.T) {
	long := strings.Repeat("é", maxErrorBytes)
	if got := clip(long); len(got) > maxErrorBytes+4 || !strings.HasSuffix(got, "é ...") {
		t.Errorf("clipped to %d bytes ending %q", len(got), got[len(got)-8:])
	}
}

// handleWho makes a answer who asks.
func handleWho(a *agent, m Method[note, note]) {
	Handle(a.Server, m, func(ctx context.Context, _ *note) (*note, error) {
		if p := PeerOf(ctx); !p.Local {
			return &note{Text: p.Name}, nil
		}
		return &note{Text: "local"}, nil
	})
}
