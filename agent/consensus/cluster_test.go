package consensus

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/model"
)

// startCluster starts n servers on loopback that found a cluster.
func startCluster(t testing.TB, n int) []*member {
	t.Helper()
	members := make([]*member, n)
	for i := range members {
		id := fmt.Sprint("s", i)
		members[i] = start(t, &member{id: id, dir: filepath.Join(t.TempDir(), id)})
	}
	found(t, members)
	return members
}

// found lets every server see all, in the way gossip would.
func found(t testing.TB, members []*member) {
	t.Helper()
	var peers []Peer
	for _, m := range members {
		peers = append(peers, Peer{ID: m.id, Addr: m.addr, Expect: len(members), Bootstrapped: m.Bootstrapped()})
	}
	for _, m := range members {
		if _, err := m.Bootstrap(peers); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFounding(t *testing.T) {
	p := func(id string, expect int) Peer { return Peer{ID: id, Addr: id + ":4647", Expect: expect} }
	done := p("x", 3)
	done.Bootstrapped = true
	watcher := p("w", 3)
	watcher.NonVoter = true
	tests := []struct {
		name  string
		peers []Peer
		want  string // founders, or the error's text
	}{
		{"nothing expected", []Peer{p("a", 0)}, ""},
		{"alone", []Peer{p("a", 1)}, "a"},
		{"too few", []Peer{p("a", 3), p("b", 3)}, ""},
		{"enough", []Peer{p("c", 3), p("a", 3), p("b", 3)}, "a b c"},
		{"more than enough", []Peer{p("d", 3), p("a", 3), p("c", 3), p("b", 3)}, "a b c"},
		{"others expect nothing", []Peer{p("a", 2), p("b", 0), p("c", 2)}, "a c"},
		{"non-voters do not count", []Peer{p("a", 3), p("b", 3), watcher}, ""},
		{"a cluster exists", []Peer{p("a", 2), p("b", 2), done}, ""},
		{"disagreement", []Peer{p("a", 2), p("b", 3)}, "the servers disagree on bootstrap_expect (a:4647 expects 2, b:4647 expects 3): no cluster is founded until all say the same"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			founders, err := chooseFounders("a", tt.peers)
			got := ""
			for _, f := range founders {
				got = strings.TrimPrefix(got+" "+f.ID, " ")
			}
			if err != nil {
				got = err.Error()
				if model.CodeOf(err) != model.CodeConflict {
					t.Errorf("code %s", model.CodeOf(err))
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// writers propose numbered commands until stop; acknowledged ones are noted.
type writers struct {
	mu    sync.Mutex
	acked []string
	stop  chan struct{}
	wg    sync.WaitGroup
}

func write(members func() []*member, n int) *writers {
	w := &writers{stop: make(chan struct{})}
	for i := range n {
		w.wg.Go(func() {
			for j := 0; ; j++ {
				select {
				case <-w.stop:
					return
				default:
				}
				body := fmt.Sprintf("w%d-%d", i, j)
				for _, m := range members() {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					_, err := m.Propose(ctx, command(body))
					cancel()
					if err == nil {
						w.mu.Lock()
						w.acked = append(w.acked, body)
						w.mu.Unlock()
						break
					}
				}
			}
		})
	}
	return w
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

func TestClusterLosesNothing(t *testing.T) {
	members := startCluster(t, 3)
	var mu sync.Mutex
	live := func() []*member {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(members)
	}
	waitLeader(t, members...)
	w := write(live, 8)
	for round := range 3 {
		n := w.count()
		waitFor(t, "progress", func() bool { return w.count() > n+50 })
		leader := waitLeader(t, live()...)
		mu.Lock()
		members = slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m == leader })
		mu.Unlock()
		began := time.Now()
		if err := leader.stop(); err != nil {
			t.Fatal(err)
		}
		waitLeader(t, live()...)
		t.Logf("round %d: next leader after %s", round, time.Since(began))
		n = w.count()
		waitFor(t, "progress without it", func() bool { return w.count() > n+50 })
		back := start(t, &member{id: leader.id, addr: leader.addr, dir: leader.dir})
		mu.Lock()
		members = append(slices.Clone(members), back)
		mu.Unlock()
	}
	close(w.stop)
	w.wg.Wait()
	leader := waitLeader(t, live()...)
	if _, err := leader.Propose(testCtx(t), command("last")); err != nil {
		t.Fatal(err)
	}
	for _, m := range live() {
		waitFor(t, "catching up", func() bool { all := m.all(); return len(all) > 0 && all[len(all)-1] == "last" })
		if !slices.Equal(m.all(), leader.all()) {
			t.Errorf("%s and %s differ", m.id, leader.id)
		}
	}
	have := make(map[string]bool)
	for _, body := range leader.all() {
		have[body] = true
	}
	for _, body := range w.acked {
		if !have[body] {
			t.Errorf("acknowledged %s is lost", body)
		}
	}
	t.Logf("%d acknowledged", len(w.acked))
	restartAll(t, live())
}

// restartAll stops all servers and starts them again: everything is still there.
func restartAll(t *testing.T, members []*member) {
	t.Helper()
	want := members[0].all()
	var back []*member
	for _, m := range members {
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		back = append(back, start(t, &member{id: m.id, addr: m.addr, dir: m.dir}))
	}
	began := time.Now()
	leader := waitLeader(t, back...)
	t.Logf("leader after a restart of all: %s", time.Since(began))
	if got := leader.all(); !slices.Equal(got, want) {
		t.Errorf("%d commands after a restart of all, %d before", len(got), len(want))
	}
}

func TestReadsAndTransfer(t *testing.T) {
	members := startCluster(t, 3)
	leader := waitLeader(t, members...)
	ctx := testCtx(t)
	if _, err := leader.Propose(ctx, command("x")); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := leader.ReadIndex(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		if m == leader {
			continue
		}
		waitFor(t, "follower knows the leader", func() bool { l := m.Leadership(); return l.ID == leader.id && l.Addr == leader.addr })
		if _, err := m.ReadIndex(ctx); model.CodeOf(err) != model.CodeNotLeader {
			t.Errorf("read at a follower: %v", err)
		}
		if _, err := m.Propose(ctx, command("y")); model.CodeOf(err) != model.CodeNotLeader {
			t.Errorf("write at a follower: %v", err)
		}
	}
	began := time.Now()
	if err := leader.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	if leader.Leadership().Self {
		t.Error("still leads")
	}
	next := waitLeader(t, members...)
	t.Logf("handed over in %s", time.Since(began))
	if next == leader {
		t.Error("leads again")
	}
	if _, err := next.ReadIndex(ctx); err != nil {
		t.Error(err)
	}
	if err := next.TransferLeadership(ctx, leader.id); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "leadership at the chosen server", func() bool { return leader.Leadership().Self })
	if err := leader.TransferLeadership(ctx, "nobody"); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("transfer to nobody: %v", err)
	}
	// After a transfer was tried the lease is void, but reads are confirmed.
	if _, err := leader.ReadIndex(ctx); err != nil {
		t.Error(err)
	}
}

func TestMinorityCannotReadOrWrite(t *testing.T) {
	members := startCluster(t, 3)
	leader := waitLeader(t, members...)
	for _, m := range members {
		if m != leader {
			if err := m.stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(leader.lease.length) // the lease itself is good until then
	ctx := testCtx(t)
	if _, err := leader.ReadIndex(ctx); model.CodeOf(err) != model.CodeNotLeader {
		t.Errorf("read: %v", err)
	}
	_, err := leader.Propose(ctx, command("x"))
	if code := model.CodeOf(err); code != model.CodeNotLeader && !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("write: %v", err)
	}
}

func TestServersComeAndGo(t *testing.T) {
	members := startCluster(t, 3)
	leader := waitLeader(t, members...)
	ctx := testCtx(t)
	extra := start(t, &member{id: "s9", dir: filepath.Join(t.TempDir(), "s9")})
	if err := leader.AddServer(ctx, "s9", extra.addr, true); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the fourth voter", func() bool {
		servers, _ := extra.Servers()
		return len(servers) == 4 && !slices.ContainsFunc(servers, func(s Server) bool { return !s.Voter })
	})
	if err := leader.RemoveServer(ctx, "s9"); err != nil {
		t.Fatal(err)
	}
	if err := leader.RemoveServer(ctx, "s9"); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("removed twice: %v", err)
	}
	// The same address under another id: it came back empty.
	if err := leader.AddServer(ctx, "s10", members[0].addr, true); members[0] != leader && err != nil {
		t.Fatal(err)
	}
}

func TestLease(t *testing.T) {
	l := lease{length: time.Second}
	ids := []raft.ServerID{"a", "b", "c"}
	old, recent := time.Now().Add(-time.Minute), time.Now().Add(-time.Millisecond)
	if at, _, _ := l.confirmed(ids, "a", 1); !at.IsZero() {
		t.Errorf("confirmed by nobody: %v", at)
	}
	l.ack("b", 1, old)
	if at, ok, _ := l.confirmed(ids, "a", 1); !at.Equal(old) || !ok {
		t.Errorf("confirmed at %v", at)
	}
	_, _, news := l.confirmed(ids, "a", 1)
	l.ack("c", 1, recent)
	<-news
	l.ack("c", 1, old) // an answer that was overtaken
	if at, _, _ := l.confirmed(ids, "a", 1); !at.Equal(recent) {
		t.Errorf("confirmed at %v", at)
	}
	if at, _, _ := l.confirmed(ids, "a", 2); !at.IsZero() {
		t.Error("an answer of another term counts")
	}
	l.ack("b", 2, recent)
	l.ack("c", 1, recent)
	if at, _, _ := l.confirmed(ids, "a", 2); !at.Equal(recent) {
		t.Errorf("confirmed at %v", at)
	}
	l.forbid(2)
	if _, ok, _ := l.confirmed(ids, "a", 2); ok {
		t.Error("lease may be used after a transfer")
	}
	if at, ok, _ := l.confirmed([]raft.ServerID{"a"}, "a", 3); time.Since(at) > time.Minute || !ok {
		t.Error("a single voter is not its own majority")
	}
	if _, ok, _ := l.confirmed(nil, "a", 3); ok {
		t.Error("no voters, but a lease")
	}
}
