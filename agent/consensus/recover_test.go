package consensus

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
)

// recoverAt runs Recover on a stopped server's directory.
func recoverAt(t *testing.T, m *member, write bool) (*Recovery, error) {
	t.Helper()
	return Recover(Config{ID: m.id, Addr: m.addr, Dir: m.dir, Machine: &ledger{}, Logger: slog.New(slog.DiscardHandler)}, write)
}

// TestRecover: of three servers two are lost for good. The third, which can decide
// nothing any more, is made the only one: it has what it had, goes on, and takes new
// servers.
func TestRecover(t *testing.T) {
	members := startCluster(t, 3)
	leader := waitLeader(t, members...)
	if _, err := leader.Propose(testCtx(t), command("one"), command("two")); err != nil {
		t.Fatal(err)
	}
	left := members[slices.IndexFunc(members, func(m *member) bool { return m != leader })]
	waitFor(t, "the survivor has it", func() bool { left.ledger.mu.Lock(); defer left.ledger.mu.Unlock(); return len(left.bodies) == 2 })
	index := left.Stats().LastIndex
	for _, m := range members {
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
	}
	told, err := recoverAt(t, left, false)
	if err != nil || len(told.Servers) != 3 || told.Index != index || !told.Voter {
		t.Fatalf("before: %+v, %v, want 3 servers and index %d", told, err, index)
	}
	again := start(t, &member{id: left.id, addr: left.addr, dir: left.dir}) // nothing was changed
	if got, _ := again.Servers(); len(got) != 3 {
		t.Errorf("%d servers after a look", len(got))
	}
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := recoverAt(t, left, true); err != nil {
		t.Fatal(err)
	}
	alone := start(t, &member{id: left.id, addr: left.addr, dir: left.dir})
	waitLeader(t, alone)
	if got, _ := alone.Servers(); len(got) != 1 || got[0].ID != left.id {
		t.Errorf("servers %+v, want the survivor alone", got)
	}
	if _, err := alone.Propose(testCtx(t), command("three")); err != nil {
		t.Fatal(err)
	}
	fresh := start(t, &member{id: "fresh", dir: t.TempDir()})
	if err := alone.AddServer(testCtx(t), fresh.id, fresh.addr, true); err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "two", "three"}
	for _, m := range []*member{alone, fresh} {
		waitFor(t, m.id+" has all of it", func() bool {
			m.ledger.mu.Lock()
			defer m.ledger.mu.Unlock()
			return slices.Equal(m.bodies, want)
		})
	}
}

// TestRecoverRefused: there must be something to recover, that this version knows.
func TestRecoverRefused(t *testing.T) {
	empty := &member{id: "a", addr: "127.0.0.1:1", dir: t.TempDir()}
	if _, err := recoverAt(t, empty, true); model.CodeOf(err) != model.CodeInvalid || !strings.Contains(err.Error(), "never belonged") {
		t.Errorf("an empty directory: %v", err)
	}
	m := startAlone(t, t.TempDir())
	if _, err := m.Propose(testCtx(t), command("unknown")); err != nil {
		t.Fatal(err)
	}
	if _, err := recoverAt(t, m, false); model.CodeOf(err) != model.CodeInvalid || !strings.Contains(err.Error(), "another process") {
		t.Errorf("while it runs: %v", err)
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	stranger := &member{id: "b", addr: m.addr, dir: m.dir}
	if _, err := recoverAt(t, stranger, true); model.CodeOf(err) != model.CodeInvalid || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("one that is no member: %v", err)
	}
	cfg := Config{ID: "a", Addr: m.addr, Dir: m.dir, Machine: &ledger{fatal: "unknown"}, Logger: slog.New(slog.DiscardHandler)}
	if _, err := Recover(cfg, true); model.CodeOf(err) != model.CodeInvalid || !strings.Contains(err.Error(), "upgrade this server") {
		t.Errorf("entries of a later version: %v", err)
	}
}
