package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// TestPartsKeepOrderAndLimits: whatever is proposed, parts and entries hold all
// of it in order and stay within an entry's limits, unless one command alone
// exceeds them.
func TestPartsKeepOrderAndLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatcher(nil, time.Now, func() int64 { return 0 }, func() *error { return nil }, nil)
		b.gate(nil)
		var want []string
		for range rapid.IntRange(1, 20).Draw(t, "proposals") {
			var cmds []fsm.Command
			for range rapid.IntRange(1, 5).Draw(t, "commands") {
				id := fmt.Sprint(len(want))
				size := rapid.SampledFrom([]int{0, 100, MaxEntryBytes / 3, MaxEntryBytes, 2 * MaxEntryBytes}).Draw(t, "size")
				cmds = append(cmds, fsm.Command{RequestID: id, Body: make([]byte, size)})
				want = append(want, id)
			}
			parts, err := split(t.Context(), cmds)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.enqueue(parts); err != nil && model.CodeOf(err) == model.CodeUnavailable {
				want = want[:len(want)-len(cmds)]
			}
		}
		var got []string
		for batch := b.take(); len(batch) > 0; batch = b.take() {
			size, n := 0, 0
			for _, p := range batch {
				size += p.size
				for _, c := range p.cmds {
					got = append(got, c.RequestID)
					n++
				}
			}
			if n > 1 && (size > MaxEntryBytes || n > MaxEntryCommands) {
				t.Fatalf("an entry of %d commands, %d bytes", n, size)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if b.bytes != 0 || b.commands != 0 {
			t.Fatalf("%d bytes, %d commands are left", b.bytes, b.commands)
		}
	})
}

// TestApart: commands that must be apart never share an entry, keep their order,
// and hold up nobody else.
func TestApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatcher(nil, time.Now, func() int64 { return 0 }, func() *error { return nil }, nil)
		b.gate(nil)
		want := map[string][]string{}
		n := rapid.IntRange(1, 3*maxApart).Draw(t, "proposals")
		for i := range n {
			cmd := fsm.Command{RequestID: fmt.Sprint(i), Apart: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "apart")}
			want[cmd.Apart] = append(want[cmd.Apart], cmd.RequestID)
			parts, err := split(t.Context(), []fsm.Command{cmd})
			if err == nil {
				err = b.enqueue(parts)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		got, entries := map[string][]string{}, 0
		for batch := b.take(); len(batch) > 0; batch = b.take() {
			seen := map[string]bool{}
			for _, p := range batch {
				c := p.cmds[0]
				if c.Apart != "" && seen[c.Apart] {
					t.Fatalf("two commands of %s in one entry", c.Apart)
				}
				seen[c.Apart] = true
				got[c.Apart] = append(got[c.Apart], c.RequestID)
			}
			entries++
		}
		for name := range want {
			if !slices.Equal(got[name], want[name]) {
				t.Fatalf("%s: got %v, want %v", name, got[name], want[name])
			}
		}
		if most := max(1, len(want["a"]), len(want["b"]), len(want["c"])) + n/maxApart; entries > most {
			t.Fatalf("%d entries, at most %d were needed", entries, most)
		}
		if b.bytes != 0 || b.commands != 0 || b.queue != nil {
			t.Fatalf("%d bytes, %d commands are left", b.bytes, b.commands)
		}
	})
}

// fakeRaft takes a millisecond for an entry and fails as told.
type fakeRaft struct {
	mu      sync.Mutex
	entries []int // commands of each
	fail    error
}

type fakeFuture struct {
	raft.ApplyFuture
	err error
	out []fsm.Outcome
	at  time.Time
}

func (f *fakeFuture) Error() error  { time.Sleep(time.Until(f.at)); return f.err }
func (f *fakeFuture) Response() any { return f.out }

func (r *fakeRaft) apply(data []byte) raft.ApplyFuture {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, err := fsm.DecodeEntry(1, 1, data)
	if err != nil {
		return &fakeFuture{err: err}
	}
	r.entries = append(r.entries, len(e.Commands))
	f := &fakeFuture{err: r.fail, at: time.Now().Add(time.Millisecond)}
	for _, c := range e.Commands {
		f.out = append(f.out, fsm.Outcome{Value: string(c.Body)})
	}
	return f
}

// inBubble runs a batcher on a fake raft in a synctest bubble.
func inBubble(t *testing.T, r *fakeRaft, disk func() *error, f func(t *testing.T, b *batcher)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatcher(r.apply, time.Now, func() int64 { return 0 }, disk, nil)
		b.gate(nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.gather(ctx) })
		wg.Go(b.settle)
		f(t, b)
		cancel()
		wg.Wait()
	})
}

func noDisk() *error { return nil }

func TestGroupCommit(t *testing.T) {
	r := &fakeRaft{}
	inBubble(t, r, noDisk, func(t *testing.T, b *batcher) {
		began := time.Now()
		if _, err := b.propose(t.Context(), []fsm.Command{command("lone")}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Millisecond {
			t.Errorf("a lone proposal took %s, want one commit", took)
		}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				out, err := b.propose(t.Context(), []fsm.Command{command(fmt.Sprint(i)), command("x")})
				if err != nil || len(out) != 2 || out[0].Value != fmt.Sprint(i) || out[1].Value != "x" {
					t.Errorf("%d: %v %v", i, out, err)
				}
			})
		}
		wg.Wait()
	})
	// The lone one, the first two that found a free slot, and the rest in one.
	if len(r.entries) > 2+maxEntriesInFlight {
		t.Errorf("entries of %v commands", r.entries)
	}
}

func TestApplyFailures(t *testing.T) {
	full := fmt.Errorf("write: %w", syscall.ENOSPC)
	tests := []struct {
		err     error
		disk    *error // set while the entry is written
		code    model.Code
		unknown bool
		text    string
	}{
		{raft.ErrNotLeader, nil, model.CodeNotLeader, false, "does not lead"},
		{raft.ErrLeadershipTransferInProgress, nil, model.CodeNotLeader, false, "does not lead"},
		{raft.ErrLeadershipLost, nil, model.CodeUnavailable, true, "lost its leadership"},
		{raft.ErrAbortedByRestore, nil, model.CodeUnavailable, true, "snapshot was restored"},
		{raft.ErrRaftShutdown, nil, model.CodeUnavailable, true, "shutting down"},
		{errors.New("unable to store logs"), &full, model.CodeUnavailable, true, "disk of the leader's data directory is full"},
		{errors.New("odd"), nil, model.CodeUnavailable, true, "could not be replicated"},
	}
	for _, tt := range tests {
		calls := 0
		disk := func() *error {
			calls++
			if calls == 1 {
				return nil
			}
			return tt.disk
		}
		inBubble(t, &fakeRaft{fail: tt.err}, disk, func(t *testing.T, b *batcher) {
			_, err := b.propose(t.Context(), []fsm.Command{command("x")})
			if model.CodeOf(err) != tt.code || errors.Is(err, ErrUnknownOutcome) != tt.unknown || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v became %v (%s)", tt.err, err, model.CodeOf(err))
			}
		})
	}
}

func TestClosedGateRefusesWhatWaits(t *testing.T) {
	b := newBatcher(nil, time.Now, func() int64 { return 0 }, noDisk, nil)
	if _, err := b.propose(t.Context(), []fsm.Command{command("x")}); model.CodeOf(err) != model.CodeNotLeader {
		t.Errorf("before leading: %v", err)
	}
	b.gate(nil)
	done := make(chan error, 1)
	go func() {
		_, err := b.propose(context.Background(), []fsm.Command{command("x")})
		done <- err
	}()
	waitFor(t, "the proposal waits", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.queue) == 1 })
	b.gate(errNotLeader)
	if err := <-done; model.CodeOf(err) != model.CodeNotLeader {
		t.Errorf("waiting: %v", err)
	}
}

func TestFullQueue(t *testing.T) {
	b := newBatcher(nil, time.Now, func() int64 { return 0 }, noDisk, nil)
	b.gate(nil)
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		parts, serr := split(t.Context(), []fsm.Command{{Body: make([]byte, maxQueueBytes/16)}})
		if serr != nil {
			t.Fatal(serr)
		}
		err = b.enqueue(parts)
	}
	if model.CodeOf(err) != model.CodeUnavailable || n != 17 || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("proposal %d: %v", n, err)
	}
}
