package consensus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// ledger is the tests' machine: the list of all bodies applied.
type ledger struct {
	mu     sync.Mutex
	bodies []string
	times  []int64
	fatal  string // a body that this version does not know
}

func (l *ledger) Apply(e fsm.Entry) []fsm.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]fsm.Outcome, len(e.Commands))
	for i, c := range e.Commands {
		if l.fatal != "" && string(c.Body) == l.fatal {
			out[i].Err = &fsm.FatalError{Reason: "unknown command: upgrade this server"}
			return out
		}
		if string(c.Body) == "refuse" {
			out[i].Err = model.Errorf(model.CodeConflict, "refused")
			continue
		}
		l.bodies = append(l.bodies, string(c.Body))
		l.times = append(l.times, e.Time)
		out[i] = fsm.Outcome{Index: e.Index, Value: string(c.Body)}
	}
	return out
}

func (l *ledger) Snapshot() io.WriterTo {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b bytes.Buffer
	for i, body := range l.bodies {
		b.Write(binary.AppendUvarint(nil, uint64(len(body))))
		b.WriteString(body)
		b.Write(binary.AppendUvarint(nil, uint64(l.times[i])))
	}
	return &b
}

func (l *ledger) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	var bodies []string
	var times []int64
	for in := bytes.NewBuffer(data); in.Len() > 0; {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return err
		}
		bodies = append(bodies, string(in.Next(int(n))))
		at, err := binary.ReadUvarint(in)
		if err != nil {
			return err
		}
		times = append(times, int64(at))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodies, l.times = bodies, times
	return nil
}

func (l *ledger) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.bodies)
}

// tcp is a StreamLayer on loopback.
type tcp struct{ net.Listener }

func (tcp) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", addr, timeout)
}

func listen(t testing.TB, addr string) tcp {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return tcp{ln}
}

// member is a server under test; it can be stopped and started again.
type member struct {
	*Host
	*ledger
	id, addr, dir string
	stop          func() error
}

func start(t testing.TB, m *member, tune ...func(*Config)) *member {
	t.Helper()
	m.ledger = &ledger{}
	cfg := Config{ID: m.id, Addr: m.addr, Dir: m.dir, Machine: m.ledger, Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if m.addr != "alone" {
		if m.addr == "" {
			m.addr = "127.0.0.1:0"
		}
		ln := listen(t, m.addr)
		m.addr = ln.Addr().String()
		cfg.Addr, cfg.Streams = m.addr, ln
	}
	for _, f := range tune {
		f(&cfg)
	}
	h, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Host = h
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	m.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := m.stop(); err != nil {
			t.Errorf("%s: %v", m.id, err)
		}
	})
	return m
}

// testLog writes to the test's log while the test runs.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	if testing.Verbose() {
		fmt.Print(l.t.Name(), ": ", string(p))
	}
	return len(p), nil
}

func startAlone(t testing.TB, dir string, tune ...func(*Config)) *member {
	t.Helper()
	m := start(t, &member{id: "a", addr: "alone", dir: dir}, tune...)
	if _, err := m.Bootstrap([]Peer{{ID: "a", Addr: "alone", Expect: 1, Bootstrapped: m.Bootstrapped()}}); err != nil {
		t.Fatal(err)
	}
	waitLeader(t, m)
	return m
}

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not reached in time", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// waitLeader waits until one of the servers leads.
func waitLeader(t testing.TB, members ...*member) *member {
	t.Helper()
	var leader *member
	waitFor(t, "a leader", func() bool {
		for _, m := range members {
			if m.Leadership().Self {
				leader = m
				return true
			}
		}
		return false
	})
	return leader
}

func command(body string) fsm.Command { return fsm.Command{Kind: 1, Body: []byte(body)} }

func testCtx(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAloneLeadsAtOnce(t *testing.T) {
	began := time.Now()
	m := startAlone(t, "")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("leads after %s", took)
	} else {
		t.Logf("leads after %s", took)
	}
	ctx := testCtx(t)
	out, err := m.Propose(ctx, command("one"), command("refuse"), command("two"))
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 3 || out[0].Value != "one" || model.CodeOf(out[1].Err) != model.CodeConflict || out[2].Value != "two" || out[0].Index == 0 {
		t.Errorf("outcomes %v", out)
	}
	index, err := m.ReadIndex(ctx)
	if err != nil || index != out[0].Index {
		t.Errorf("ReadIndex %d %v, want %d", index, err, out[0].Index)
	}
}

func TestDurable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	const n = 200
	m := startAlone(t, dir)
	propose := func(from int) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if _, err := m.Propose(testCtx(t), command(fmt.Sprint("c", from+i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	propose(0)
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	// Again through a snapshot.
	m = startAlone(t, dir)
	waitFor(t, "replay", func() bool { return len(m.all()) == n })
	propose(n)
	if err := m.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	propose(2 * n)
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	m = startAlone(t, dir)
	t.Logf("leads again after %s", time.Since(began))
	got := m.all()
	if len(got) != 3*n {
		t.Fatalf("%d commands, want %d", len(got), 3*n)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 3*n {
		t.Error("commands were applied twice")
	}
	if !slices.IsSorted(m.times) {
		t.Error("times go back")
	}
}

func TestTimesNeverGoBack(t *testing.T) {
	now := time.Unix(1000, 0)
	m := startAlone(t, "", func(c *Config) {
		c.Now = func() time.Time { now = now.Add(-time.Hour); return now }
	})
	for range 5 {
		if _, err := m.Propose(testCtx(t), command("x")); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i < len(m.times); i++ {
		if m.times[i] <= m.times[i-1] {
			t.Errorf("times %v", m.times)
		}
	}
}

func TestFatalEntryStopsTheServer(t *testing.T) {
	dir := t.TempDir()
	m := startAlone(t, dir)
	if _, err := m.Propose(testCtx(t), command("fine"), command("new")); err != nil {
		t.Fatal(err)
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	l := &ledger{fatal: "new"}
	h, err := Open(Config{ID: "a", Addr: "alone", Dir: dir, Machine: l, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Run(testCtx(t)); !fsm.Fatal(err) {
		t.Errorf("Run ended with %v", err)
	}
}

func TestTwoProcessesOnOneLog(t *testing.T) {
	dir := t.TempDir()
	startAlone(t, dir)
	_, err := Open(Config{ID: "a", Addr: "alone", Dir: dir, Machine: &ledger{}, Logger: slog.New(slog.DiscardHandler)})
	if model.CodeOf(err) != model.CodeInvalid || !bytes.Contains([]byte(err.Error()), []byte("another process has it open")) {
		t.Errorf("got %v", err)
	}
}

func TestProposalLimits(t *testing.T) {
	m := startAlone(t, "")
	ctx := testCtx(t)
	tests := []struct {
		name string
		cmds []fsm.Command
	}{
		{"none", nil},
		{"too large", []fsm.Command{{Kind: 1, Body: make([]byte, MaxCommandBytes+1)}}},
		{"request id", []fsm.Command{{Kind: 1, RequestID: string(make([]byte, fsm.MaxRequestIDBytes+1))}}},
	}
	for _, tt := range tests {
		if _, err := m.Propose(ctx, tt.cmds...); model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// Larger than an entry: parts, in order.
	var cmds []fsm.Command
	for i := range 3*MaxEntryCommands + 7 {
		cmds = append(cmds, command(fmt.Sprint("p", i)))
	}
	out, err := m.Propose(ctx, cmds...)
	if err != nil || len(out) != len(cmds) {
		t.Fatalf("%d outcomes, %v", len(out), err)
	}
	for i := range out {
		if out[i].Value != string(cmds[i].Body) {
			t.Fatalf("outcome %d is %v", i, out[i].Value)
		}
	}
	cctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Propose(cctx, command("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
