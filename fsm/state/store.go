package state

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steppe-project/steppe/fsm/state/asked"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
)

// SeedIndex is the index of the rows that exist from the start. It is not 0
// because a blocking query takes 0 for "do not wait".
const SeedIndex = 1

// Store holds the current state. One goroutine at a time may write (Begin);
// readers take snapshots, watches and subscriptions at any time.
type Store struct {
	writer  sync.Mutex // held from Begin to Publish
	current atomic.Pointer[Snapshot]
	epoch   uint64 // of the latest transaction; guarded by writer
	tallies map[jobRef]*tally
	asked   asked.Sums
	feed    feed
	watches watches
	indexes indexWaiters

	understands feature.Level // states beyond it are not loaded

	origin *Snapshot // of a fork: what it was made of
}

// New returns a store with the rows that always exist: the namespace default,
// the node pools default and all, and the default configurations.
func New() *Store {
	s := &Store{tallies: make(map[jobRef]*tally), understands: feature.Newest}
	s.feed.init()
	s.watches.init()
	s.current.Store(&Snapshot{})
	x := s.begin(&Snapshot{index: SeedIndex})
	for _, row := range seedRows() {
		x.Put(row)
	}
	first := x.Snapshot
	first.index = 0 // no entry has been applied
	s.current.Store(&first)
	s.writer.Unlock()
	return s
}

// seedRows are the rows of an empty cluster.
func seedRows() []any {
	return []any{
		&tenancy.Namespace{Name: model.DefaultNamespace, Description: "Default shared namespace", CreateIndex: SeedIndex, ModifyIndex: SeedIndex},
		&model.NodePool{Name: model.DefaultNodePool, Description: "Default node pool.", CreateIndex: SeedIndex, ModifyIndex: SeedIndex},
		&model.NodePool{Name: model.AllNodePool, Description: "Node pool with all nodes in the cluster.", CreateIndex: SeedIndex, ModifyIndex: SeedIndex},
		&model.SchedulerConfiguration{
			SchedulerAlgorithm: model.AlgorithmBinpack,
			PreemptionConfig:   model.PreemptionConfig{SystemSchedulerEnabled: true},
			CreateIndex:        SeedIndex, ModifyIndex: SeedIndex,
		},
		&model.AutopilotConfiguration{
			CleanupDeadServers: true, LastContactThreshold: 200 * time.Millisecond, MaxTrailingLogs: 250,
			ServerStabilizationTime: 10 * time.Second, CreateIndex: SeedIndex, ModifyIndex: SeedIndex,
		},
	}
}

// Understand makes the store that of a binary that understands so much. Call it
// before anything else.
func (s *Store) Understand(level feature.Level) { s.understands = level }

// Snapshot returns the current state.
func (s *Store) Snapshot() *Snapshot { return s.current.Load() }

// SnapshotAt waits until the state stands at index or later and returns it. It
// fails with ctx's error.
func (s *Store) SnapshotAt(ctx context.Context, index uint64) (*Snapshot, error) {
	for {
		if snap := s.Snapshot(); snap.index >= index {
			return snap, nil
		}
		reached := s.indexes.wait(index, s)
		select {
		case <-reached:
		case <-ctx.Done():
			s.indexes.cancel(reached)
			return nil, ctx.Err()
		}
	}
}

// Begin starts the transaction of the entry at index, and waits for an earlier
// one to be published.
func (s *Store) Begin(index uint64) *Txn {
	s.writer.Lock()
	next := *s.current.Load()
	next.index = index
	return s.txn(&next)
}

// begin is Begin on a content of its own.
func (s *Store) begin(content *Snapshot) *Txn {
	s.writer.Lock()
	return s.txn(content)
}

func (s *Store) txn(content *Snapshot) *Txn {
	s.epoch++
	return &Txn{Snapshot: *content, store: s, epoch: s.epoch, staleSet: make(map[jobRef]bool)}
}

// Publish makes the transaction's state current, hands its changes to the
// subscribers and wakes the watches concerned. The transaction is over.
func (x *Txn) Publish() {
	s := x.store
	next := x.Snapshot
	s.feed.append(next.index, x.changes, func() { s.current.Store(&next) })
	s.writer.Unlock()
	s.watches.wake(x.changes)
	s.indexes.reached(next.index)
}

// Advance records that the log is applied up to index although the entries
// since the current index carried no commands.
func (s *Store) Advance(index uint64) {
	s.writer.Lock()
	defer s.writer.Unlock()
	now := s.current.Load()
	if now.index >= index {
		return
	}
	next := *now
	next.index = index
	s.current.Store(&next)
	s.indexes.reached(index)
}

// indexWaiters are the callers of SnapshotAt that wait for an index.
type indexWaiters struct {
	mu      sync.Mutex
	waiting map[chan struct{}]uint64
}

// wait returns a channel that is closed when the store has reached index. The
// store is looked at again under the lock, so that no step is missed.
func (w *indexWaiters) wait(index uint64, s *Store) chan struct{} {
	ch := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Snapshot().index >= index {
		close(ch)
		return ch
	}
	if w.waiting == nil {
		w.waiting = make(map[chan struct{}]uint64)
	}
	w.waiting[ch] = index
	return ch
}

func (w *indexWaiters) cancel(ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, ch)
}

func (w *indexWaiters) reached(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch, want := range w.waiting {
		if want <= index {
			close(ch)
			delete(w.waiting, ch)
		}
	}
}
