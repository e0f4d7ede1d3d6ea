package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/steppe-project/steppe/agent/rpc/lane"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// led is answered by the leader only, so it goes by lane.
var led = Method[note, note]{Name: "Test.Led", Forward: Leader}

// laneEnds are two ends of a connection without a network; what led does is the
// test's.
type laneEnds struct {
	srv *Server
	c   *conn
	nc  atomic.Pointer[net.Conn] // what c is made of
	end context.CancelFunc       // the server's
	ran sync.WaitGroup
}

func startLane(t *testing.T, router Router, h func(context.Context, *note) (*note, error)) *laneEnds {
	t.Helper()
	e := &laneEnds{srv: NewServer(Config{Router: router, Logger: slog.New(slog.DiscardHandler)})}
	Handle(e.srv, led, h)
	ln := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	e.end = cancel
	e.ran.Go(func() {
		if err := e.srv.Run(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	c, err := newConn("lane", false, func(ctx context.Context) (net.Conn, error) {
		nc, err := ln.DialContext(ctx)
		e.nc.Store(&nc)
		return nc, err
	})
	if err != nil {
		t.Fatal(err)
	}
	e.c = c
	t.Cleanup(e.close)
	return e
}

func (e *laneEnds) close() {
	e.c.close()
	e.end()
	e.ran.Wait()
}

// opened makes calls until the lane stands.
func (e *laneEnds) opened(t *testing.T) *lane.Caller {
	t.Helper()
	for range 1000 {
		if l := e.c.lane(); l != nil {
			return l
		}
		if err := e.c.ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no lane")
	return nil
}

func (e *laneEnds) call(ctx context.Context, text string) (string, error) {
	out, err := led.Call(ctx, e.c, &note{Text: text})
	if err != nil {
		return "", err
	}
	return out.Text, nil
}

func leading() *fakeRouter {
	r := &fakeRouter{}
	r.set("", true)
	return r
}

// TestLane: what a call brings and what it ends with is the same by lane, and
// whatever is too long for it.
func TestLane(t *testing.T) {
	deadline := make(chan bool, 1)
	e := startLane(t, leading(), func(ctx context.Context, n *note) (*note, error) {
		code, text, failed := strings.Cut(n.Text, "!")
		switch {
		case failed && code == "panic":
			panic(text)
		case failed:
			return nil, model.Errorf(model.Code(code), "%s", text)
		case n.Text == "deadline":
			_, has := ctx.Deadline()
			deadline <- has
		case n.Text == "peer" && PeerOf(ctx).Local:
			return nil, errors.New("the peer is not known")
		case n.Text == "long answer":
			return &note{Text: strings.Repeat("y", 3*lane.FrameBytes)}, nil
		}
		return &note{Text: "re: " + n.Text, Stale: n.Stale}, nil
	})
	l := e.opened(t)
	before := l.Calls()
	for _, text := range []string{"a", "", "peer"} {
		if out, err := e.call(t.Context(), text); err != nil || out != "re: "+text {
			t.Errorf("%q: %q, %v", text, out, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := e.call(ctx, "deadline"); err != nil || !<-deadline {
		t.Errorf("deadline: %v", err)
	}
	if out, err := e.call(t.Context(), "long answer"); err != nil || len(out) != 3*lane.FrameBytes {
		t.Errorf("long answer: %d bytes, %v", len(out), err)
	}
	for _, code := range []model.Code{model.CodeInvalid, model.CodeNotFound, model.CodeConflict, model.CodeDenied, model.CodeUnavailable, model.CodeNotLeader, model.CodeInternal} {
		// As if forwarded: who is not the leader is asked again otherwise.
		if err := e.c.invoke(t.Context(), led.Spec(), true, &note{Text: string(code) + "!ünïcode"}, new(note)); model.CodeOf(err) != code || err.Error() != "ünïcode" {
			t.Errorf("%s: %v", code, err)
		}
	}
	if _, err := e.call(t.Context(), "panic!on purpose"); model.CodeOf(err) != model.CodeInternal {
		t.Errorf("panic: %v", err)
	}
	if n := l.Calls() - before; n != 13 {
		t.Errorf("%d calls went by lane", n)
	}
	if out, err := e.call(t.Context(), strings.Repeat("x", laneCallBytes)); err != nil || len(out) != laneCallBytes+4 || l.Calls()-before != 13 {
		t.Errorf("long request: %d bytes, %v", len(out), err)
	}
	if out, err := led.Call(outgoing(t.Context(), "k", "v"), e.c, &note{Text: "header"}); err != nil || out.Text != "re: header" || l.Calls()-before != 13 {
		t.Errorf("request with a header: %v, %v", out, err)
	}
}

// TestLaneBreaks: a connection that breaks fails what is under way, at once.
func TestLaneBreaks(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	e := startLane(t, leading(), func(_ context.Context, n *note) (*note, error) {
		close(began)
		<-release
		return n, nil
	})
	e.opened(t)
	failed := make(chan error, 1)
	go func() {
		_, err := e.call(t.Context(), "a")
		failed <- err
	}()
	<-began
	if err := (*e.nc.Load()).Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; model.CodeOf(err) != model.CodeUnavailable || isNotSent(err) {
		t.Errorf("broken connection: %v", err)
	}
	close(release)
}

// TestNoLanes: calls go on with one that knows no lanes.
func TestNoLanes(t *testing.T) {
	e := startLane(t, nil, func(_ context.Context, n *note) (*note, error) { return n, nil })
	for range 50 {
		if _, err := e.call(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	e.c.lanes.mu.Lock()
	defer e.c.lanes.mu.Unlock()
	if e.c.lanes.open != nil || !time.Now().Before(e.c.lanes.not) && !e.c.lanes.opening {
		t.Error("it is asked for lanes again and again")
	}
}

// TestLanesOverServersThatEnd: callers that move on when nothing was sent make
// each call once, however often servers end and come back.
func TestLanesOverServersThatEnd(t *testing.T) {
	var made sync.Map
	var stop atomic.Bool
	sec := port.Plaintext()
	servers := make([]atomic.Pointer[agent], 2)
	start := func(i int) *agent {
		a := startAgent(t, "a", sec)
		a.router.set("", true)
		Handle(a.Server, led, func(_ context.Context, n *note) (*note, error) {
			count, _ := made.LoadOrStore(n.Text, new(atomic.Int64))
			count.(*atomic.Int64).Add(1)
			return n, nil
		})
		servers[i].Store(a)
		return a
	}
	start(0)
	start(1)
	pool := NewPool(sec, slog.New(slog.DiscardHandler))
	defer pool.Close()
	to := pool.Servers(func() []string { return []string{servers[0].Load().addr, servers[1].Load().addr} })
	var wg sync.WaitGroup
	var calls, unknown atomic.Int64
	for w := range 8 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				text := fmt.Sprint(w, "/", n)
				_, err := led.Call(t.Context(), to, &note{Text: text})
				count, ok := made.Load(text)
				times := int64(0)
				if ok {
					times = count.(*atomic.Int64).Load()
				}
				calls.Add(1)
				if err == nil && times != 1 || isNotSent(err) && times != 0 || times > 1 {
					t.Errorf("call %s was made %d times, and ended with %v", text, times, err)
					return
				}
				if err != nil {
					t.Logf("%d: %v", times, err)
					unknown.Add(1)
				}
			}
		})
	}
	for i := range 12 {
		time.Sleep(30 * time.Millisecond)
		old := servers[i%2].Load()
		start(i % 2)
		old.stop()
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d calls, %d of them failed", calls.Load(), unknown.Load())
	if calls.Load() < 500 || unknown.Load() > calls.Load()/10 {
		t.Errorf("of %d calls %d failed", calls.Load(), unknown.Load())
	}
}
