package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-project/steppe/model"
)

// write runs one transaction at the next index.
func write(s *Store, rows ...any) uint64 {
	x := s.Begin(s.Snapshot().Index() + 1)
	_ = x.Do(func() error {
		for _, row := range rows {
			x.Put(row)
		}
		return nil
	})
	x.Publish()
	return s.Snapshot().Index()
}

func node(i int) *model.Node { return &model.Node{ID: fmt.Sprint("n", i), NodePool: "default"} }

func alloc(id, job, node string) *model.Allocation {
	return &model.Allocation{ID: id, Namespace: "default", JobID: job, NodeID: node, EvalID: "e", ClientStatus: model.ClientPending, DesiredStatus: model.DesiredRun}
}

// Watches wake for their topic and for nothing else.
func TestWatchTopics(t *testing.T) {
	s := New()
	w := map[string]*Watch{
		"table nodes": s.Watch(TopicTable(TableNodes)), "table allocs": s.Watch(TopicTable(TableAllocs)),
		"node 1": s.Watch(TopicKey(TableNodes, "n1")), "node 2": s.Watch(TopicKey(TableNodes, "n2")),
		"job web": s.Watch(TopicJobAllocs("default", "web")), "job db": s.Watch(TopicJobAllocs("default", "db")),
		"on n1": s.Watch(TopicNodeAllocs("n1")), "on n2": s.Watch(TopicNodeAllocs("n2")),
		"eval e": s.Watch(TopicEvalAllocs("e")), "evals web": s.Watch(TopicJobEvals("default", "web")),
		"spec web": s.Watch(TopicJob("default", "web")), "versions web": s.Watch(TopicJobVersions("default", "web")),
		"deploys web": s.Watch(TopicJobDeployments("default", "web")), "deploy d": s.Watch(TopicDeploymentAllocs("d")),
		"two": s.Watch(TopicNodeAllocs("n2"), TopicNodeAllocs("n1")),
	}
	woken := func() []string {
		var names []string
		for name, watch := range w {
			select {
			case <-watch.C():
				names = append(names, name)
			default:
			}
		}
		slices.Sort(names)
		return names
	}
	expect := func(want ...string) {
		t.Helper()
		if got := woken(); !slices.Equal(got, want) {
			t.Fatalf("woke %q, want %q", got, want)
		}
	}
	write(s, node(1))
	expect("node 1", "table nodes")
	write(s, alloc("a", "web", "n1"))
	expect("eval e", "job web", "on n1", "table allocs", "two")
	moved := alloc("a", "web", "n2")
	moved.DeploymentID = "d"
	write(s, moved)
	expect("deploy d", "eval e", "job web", "on n1", "on n2", "table allocs", "two")
	write(s, &model.Evaluation{ID: "e", Namespace: "default", JobID: "web"})
	expect("evals web")
	write(s, &model.Deployment{ID: "d", Namespace: "default", JobID: "web"})
	expect("deploys web")
	write(s, &model.Job{ID: "web", Namespace: "default", Status: model.JobStatusRunning})
	expect("spec web")
	write(s, &model.NodePool{Name: "x"})
	expect()
	var buf bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	if got := woken(); len(got) != len(w) {
		t.Fatalf("a restore woke only %q", got)
	}
	for _, watch := range w {
		watch.Close()
		watch.Close()
	}
	if len(s.watches.topics) != 0 || s.watches.kinds != [topicKinds]int{} {
		t.Fatal("closed watches left something behind")
	}
}

// A command that fails leaves nothing behind, not even in what is derived.
func TestUndo(t *testing.T) {
	s := New()
	write(s, node(1), alloc("a", "web", "n1"), &model.Job{ID: "web", Namespace: "default"})
	before := s.Snapshot().Hash()
	boom := errors.New("boom")
	x := s.Begin(s.Snapshot().Index() + 1)
	err := x.Do(func() error {
		x.Put(node(2))
		x.Put(&model.Node{ID: "n1", NodePool: "other"})
		x.Delete(alloc("a", "", ""))
		x.Put(alloc("b", "web", "n1"))
		ended := alloc("b", "web", "n2")
		ended.ClientStatus = model.ClientFailed
		x.Put(ended)
		x.Delete(&model.Job{ID: "web", Namespace: "default"})
		x.PutVersion(&model.Job{ID: "web", Namespace: "default"})
		for _, row := range seedRows() {
			x.Put(row)
		}
		x.Put(&model.ClusterMetadata{ClusterID: "c"})
		x.Put(&model.SigningKey{KeyID: "k"})
		x.Put(&Request{ID: "r"})
		x.Put(&Submission{JobID: "web"})
		x.Put(&model.Evaluation{ID: "e", JobID: "web", Namespace: "default"})
		x.Put(&model.Deployment{ID: "d"})
		x.Put(&model.JobSummary{JobID: "other"})
		x.SetQueued("default", "web", map[string]int{"g": 1})
		return boom
	})
	x.Publish()
	if !errors.Is(err, boom) || s.Snapshot().Hash() != before {
		t.Fatalf("%v, or the state changed", err)
	}
	if len(s.tallies) != 1 || s.tallies[jobRef{"default", "web"}].live != 1 {
		t.Fatalf("tallies %v", s.tallies)
	}
	ended := alloc("a", "web", "n1")
	ended.ClientStatus = model.ClientComplete
	write(s, ended)
	if j := s.Snapshot().Job("default", "web"); j.Status != model.JobStatusDead {
		t.Fatalf("job is %s", j.Status)
	}
}

// Lists are cut and ordered as asked.
func TestRanges(t *testing.T) {
	s := New()
	for i, key := range []string{"a/x1", "a/x2", "b/x1", "b/y1", "c/x1"} {
		write(s, &model.Job{Namespace: key[:1], ID: key[2:]},
			&model.Evaluation{ID: key[2:] + "-" + key[:1], Namespace: key[:1], JobID: key[2:], CreateIndex: uint64(10 - i)})
	}
	jobs := func(r Range) (out []string) {
		for j := range s.Snapshot().Jobs(r) {
			out = append(out, j.Namespace+"/"+j.ID)
		}
		return out
	}
	evals := func(r Range) (out []string) {
		for e := range s.Snapshot().Evals(r) {
			out = append(out, e.ID)
		}
		return out
	}
	for _, c := range []struct {
		name string
		got  []string
		want []string
	}{
		{"all", jobs(Range{}), []string{"a/x1", "a/x2", "b/x1", "b/y1", "c/x1"}},
		{"star", jobs(Range{Namespace: "*", Reverse: true}), []string{"c/x1", "b/y1", "b/x1", "a/x2", "a/x1"}},
		{"namespace", jobs(Range{Namespace: "b"}), []string{"b/x1", "b/y1"}},
		{"namespace reversed", jobs(Range{Namespace: "b", Reverse: true}), []string{"b/y1", "b/x1"}},
		{"prefix", jobs(Range{Namespace: "b", Prefix: "x"}), []string{"b/x1"}},
		{"prefix everywhere", jobs(Range{Prefix: "x"}), []string{"a/x1", "a/x2", "b/x1", "c/x1"}},
		{"from", jobs(Range{From: Key{Namespace: "a", ID: "x2"}}), []string{"a/x2", "b/x1", "b/y1", "c/x1"}},
		{"from reversed", jobs(Range{From: Key{Namespace: "b", ID: "x1"}, Reverse: true}), []string{"b/x1", "a/x2", "a/x1"}},
		{"from within", jobs(Range{Namespace: "a", From: Key{Namespace: "a", ID: "x2"}}), []string{"a/x2"}},
		{"nothing", jobs(Range{Namespace: "d"}), nil},
		{"evals", evals(Range{}), []string{"x1-c", "y1-b", "x1-b", "x2-a", "x1-a"}},
		{"evals from", evals(Range{From: Key{Index: 8, ID: "x1-b"}}), []string{"x1-b", "x2-a", "x1-a"}},
		{"evals reversed", evals(Range{From: Key{Index: 8, ID: "x1-b"}, Reverse: true}), []string{"x1-b", "y1-b", "x1-c"}},
		{"evals of a namespace", evals(Range{Namespace: "b"}), []string{"y1-b", "x1-b"}},
		{"evals by prefix", evals(Range{Prefix: "x1", Reverse: true}), []string{"x1-c", "x1-b", "x1-a"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	for range s.Snapshot().Jobs(Range{}) {
		break // sequences may be left
	}
}

// Waiting for an index, a change or a topic ends when it comes, or with ctx.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if snap, err := s.SnapshotAt(ctx, 2); err != nil || snap.Index() < 2 {
				t.Errorf("SnapshotAt: %v", err)
			}
		})
		wg.Go(func() {
			if snap, err := s.SnapshotAt(ctx, 99); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("SnapshotAt: %v, %v", snap, err)
			}
		})
		snap, sub := s.Subscribe(TableNodes)
		if snap.Index() != 0 {
			t.Fatal("a new store stands at 0")
		}
		wg.Go(func() {
			changes, err := sub.Next(ctx)
			if err != nil || len(changes) != 1 || changes[0].Key != "n1" {
				t.Errorf("Next: %v, %v", changes, err)
			}
			if _, err := sub.Next(ctx); !errors.Is(err, ErrClosed) {
				t.Errorf("Next after Close: %v", err)
			}
		})
		w := s.Watch(TopicTable(TableNodes))
		defer w.Close()
		wg.Go(func() {
			if err := w.Wait(ctx); err != nil {
				t.Errorf("Wait: %v", err)
			}
			if err := w.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Wait: %v", err)
			}
		})
		synctest.Wait()
		write(s, &model.NodePool{Name: "x"})
		synctest.Wait()
		write(s, node(1))
		synctest.Wait()
		sub.Close()
		s.Advance(5)
		if _, err := s.SnapshotAt(ctx, 5); err != nil {
			t.Error(err)
		}
		s.Advance(4)
		if s.Snapshot().Index() != 5 {
			t.Error("Advance went back")
		}
		wg.Wait()
		if len(s.indexes.waiting) != 0 {
			t.Error("a waiter was left behind")
		}
	})
}

// Readers, watchers and subscribers work while a writer writes (for -race).
func TestConcurrentReaders(t *testing.T) {
	s := New()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		snap, sub := s.Subscribe(TableNodes)
		seen := snap.Count(TableNodes)
		wg.Go(func() {
			defer sub.Close()
			for seen < 2000 {
				changes, err := sub.Next(ctx)
				if err != nil {
					t.Errorf("after %d: %v", seen, err)
					return
				}
				seen += len(changes)
			}
		})
		w := s.Watch(TopicTable(TableNodes))
		wg.Go(func() {
			defer w.Close()
			for {
				snap, n := s.Snapshot(), 0
				for range snap.Nodes(Range{}) {
					n++
				}
				if n != snap.Count(TableNodes) {
					t.Errorf("%d nodes of %d", n, snap.Count(TableNodes))
				}
				if n == 2000 || w.Wait(ctx) != nil {
					return
				}
			}
		})
	}
	for i := range 2000 {
		write(s, node(i))
	}
	wg.Wait()
	cancel()
}

// A subscription that starts from an index gets what the feed still has.
func TestSubscribeFrom(t *testing.T) {
	s := New()
	for i := range 5 {
		write(s, node(i))
	}
	sub, gapless := s.SubscribeFrom(2, TableNodes)
	changes, err := sub.Poll()
	if err != nil || !gapless || len(changes) != 3 || changes[0].Index != 3 {
		t.Fatalf("%v %v %v", changes, gapless, err)
	}
	var buf bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Poll(); !errors.Is(err, ErrLagged) {
		t.Fatalf("after a restore: %v", err)
	}
	if _, gapless := s.SubscribeFrom(4); gapless {
		t.Fatal("changes before a restore are not there")
	}
	if _, gapless := s.SubscribeFrom(5); !gapless {
		t.Fatal("nothing is missing after the restored index")
	}
}

// A subscriber that does not read is told that it lagged, and costs no more.
func TestLaggingSubscriber(t *testing.T) {
	s := New()
	_, sub := s.Subscribe(TableNodes)
	defer sub.Close()
	const size = FeedChanges / 4
	rows := make([]any, size)
	for i := range rows {
		rows[i] = node(i % 100)
	}
	for range 5 {
		write(s, rows...)
	}
	if s.feed.total > FeedChanges {
		t.Fatalf("the feed keeps %d changes", s.feed.total)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, ErrLagged) {
		t.Fatalf("got %v", err)
	}
	if _, gapless := s.SubscribeFrom(0); gapless {
		t.Fatal("a feed that dropped entries cannot be gapless from the start")
	}
	recent, gapless := s.SubscribeFrom(1)
	defer recent.Close()
	for i := range 4 {
		if changes, err := recent.Poll(); err != nil || !gapless || len(changes) != size {
			t.Fatalf("entry %d: %d changes, %v, %v", i, len(changes), gapless, err)
		}
	}
}
