package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	nodelease "github.com/steppe-project/steppe/model/lease"
)

// Host runs Raft for one server.
type Host struct {
	cfg       Config
	logger    hclog.Logger
	adapter   *adapter
	transport *transport
	store     store
	raft      *raft.Raft
	batch     *batcher
	lease     lease
	clock     *Clock

	notify   chan bool             // raft: this server leads, or no longer
	observed chan raft.Observation // raft: another leader
	observer *raft.Observer
	caughtUp chan catchUp
	failed   chan error    // what stops the host
	dead     chan struct{} // closed with it, and at the end
	ended    chan struct{} // closed when raft has ended
	failOnce sync.Once

	now    atomic.Pointer[leadership]
	bgWork sync.WaitGroup // catch-ups under way
	close  func() error
}

// leadership is a published Leadership with the closer of its Changed.
type leadership struct {
	Leadership
	changed chan struct{}
}

// catchUp is the end of a new leader's barrier.
type catchUp struct {
	term uint64
	err  error
}

// Open opens the log and state of a server and starts Raft on it. The machine
// holds the state as of the last snapshot when Open returns; the rest follows
// when the server learns what is committed. Run must follow, or Close.
func Open(cfg Config) (*Host, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Timing = cfg.Timing.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	began := time.Now()
	h := &Host{
		cfg: cfg, logger: newLogger(cfg.Logger),
		notify: make(chan bool, 16), observed: make(chan raft.Observation, 16),
		caughtUp: make(chan catchUp, 1), failed: make(chan error, 1), dead: make(chan struct{}), ended: make(chan struct{}),
		lease: lease{length: leaseOf(cfg.Timing.Heartbeat)},
	}
	h.adapter = &adapter{machine: cfg.Machine, fatal: h.fail}
	h.clock = &Clock{
		Wall: cfg.Now, Elapsed: func() time.Duration { return time.Since(began) }, Newest: h.adapter.time.Load,
		Leads: func() bool { return h.Leadership().Self },
	}
	h.adapter.noted = h.clock.Applied
	h.publish(Leadership{})
	var err error
	if h.store, err = openStore(&cfg, h.logger, h.fail); err != nil {
		return nil, err
	}
	h.transport = openTransport(&cfg, h.logger, h.store.begins, h.lease.ack)
	if err := h.start(); err != nil {
		// The first error is the one that tells.
		_ = h.transport.Close()
		_ = h.store.close()
		return nil, err
	}
	h.batch = newBatcher(func(data []byte) raft.ApplyFuture { return h.raft.Apply(data, 0) }, h.clock.Now,
		h.adapter.time.Load, h.store.trouble.Why, h.ended)
	h.close = sync.OnceValue(h.shutdown)
	return h, nil
}

// fail stops the host; the first reason counts, and nil is that it is stopping.
func (h *Host) fail(err error) {
	h.failOnce.Do(func() {
		if err != nil {
			h.failed <- err
		}
		close(h.dead)
	})
}

// start creates the raft instance.
func (h *Host) start() error {
	t := h.cfg.Timing
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(h.cfg.ID)
	rc.Logger = h.logger
	rc.NotifyCh = h.notify
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout, rc.CommitTimeout = t.Heartbeat, t.Election, t.Lease, t.Commit
	rc.SnapshotInterval, rc.SnapshotThreshold, rc.TrailingLogs = t.SnapshotInterval, t.entriesFor(h.size()), t.TrailingEntries
	rc.MaxAppendEntries = maxAppendEntries
	// Removed servers stay, without a vote: their operator sees them and may add
	// them again.
	rc.ShutdownOnRemove = false
	rc.NoLegacyTelemetry = true
	alone, fresh, err := h.store.solitude(rc.LocalID)
	if err != nil {
		return err
	}
	if !alone && !fresh {
		// See lease: who forgot the leader must not vote while its lease runs.
		time.Sleep(h.lease.length)
	}
	r, err := h.newRaft(rc)
	if err != nil {
		select {
		case fatal := <-h.failed:
			err = fatal
		default:
		}
		return model.Errorf(model.CodeInvalid, "cannot start from the data in %s: %w", h.cfg.Dir, err)
	}
	h.raft = r
	if err := h.store.contiguous(r.AppliedIndex()); err != nil {
		return errors.Join(model.Errorf(model.CodeInvalid, "cannot start from the data in %s: %w", h.cfg.Dir, err), r.Shutdown().Error())
	}
	h.observer = raft.NewObserver(h.observed, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	r.RegisterObserver(h.observer)
	if alone {
		h.transport.callElection(h.cfg.ID, h.cfg.Addr)
	}
	return nil
}

// newRaft has raft read what there is. It panics before it starts anything when the
// log does not go on where the newest snapshot that can be read ends.
func (h *Host) newRaft(rc *raft.Config) (r *raft.Raft, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("an entry between the newest snapshot that can be read and the log's end cannot be (%v): %w", p, guard.ErrDamaged)
		}
	}()
	return raft.NewRaft(rc, h.adapter, h.store.logs, h.store.stable, h.store.snapshots, h.transport)
}

// Run serves until ctx ends (nil), or the server cannot go on: it then returns
// why. It closes the host.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { h.batch.gather(ctx) })
	wg.Go(h.batch.settle)
	wg.Go(func() { h.watch(ctx) })
	wg.Go(func() { h.pace(ctx) })
	if h.store.space != nil {
		wg.Go(func() { h.store.space.Run(ctx) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-h.failed:
		h.cfg.Logger.Error("this server cannot go on", "error", err)
	}
	h.batch.gate(errShutdown)
	err = errors.Join(err, h.close())
	cancel()
	wg.Wait()
	h.bgWork.Wait()
	h.publish(Leadership{})
	return err
}

// Close stops Raft and closes the log; nil when Run or Close did already.
func (h *Host) Close() error { return h.close() }

func (h *Host) shutdown() error {
	f := h.raft.Shutdown()
	h.fail(nil)
	h.store.trouble.Stop()
	h.transport.interrupt()
	err := f.Error()
	close(h.ended)
	h.raft.DeregisterObserver(h.observer)
	if cerr := h.store.close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("close log: %w", cerr))
	}
	return err
}

// Propose implements Proposer.
func (h *Host) Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	if err := h.refuse(cmds); err != nil {
		return nil, err
	}
	return h.batch.propose(ctx, cmds)
}

// Now is the cluster's time: see Clock.
func (h *Host) Now() time.Time { return h.clock.Now() }

// Steady is what this server knows of how even the cluster's time went.
func (h *Host) Steady() nodelease.Steady { return h.clock.Steady() }

// Leadership implements Proposer.
func (h *Host) Leadership() Leadership { return h.now.Load().Leadership }

// publish makes l the present leadership, unless it says the same as before.
func (h *Host) publish(l Leadership) {
	old := h.now.Load()
	if old != nil && old.Self == l.Self && old.Term == l.Term && old.ID == l.ID && old.Addr == l.Addr {
		return
	}
	n := &leadership{Leadership: l, changed: make(chan struct{})}
	n.Changed = n.changed
	h.now.Store(n)
	if old != nil {
		close(old.changed)
	}
}

// watch follows who leads until ctx ends. It alone publishes while Run runs.
//
//	follower ──elected──► catching up ──barrier applied──► leading (Self)
//	   ▲                      │                               │
//	   └──────────────── deposed ◄────────────────────────────┘
func (h *Host) watch(ctx context.Context) {
	var ready, catching uint64 // terms
	for {
		if h.raft.State() == raft.Leader {
			term := h.raft.CurrentTerm()
			switch {
			case ready == term:
				h.batch.gate(nil) // first: who hears of it may propose at once
				h.publish(Leadership{Self: true, Term: term, ID: h.cfg.ID, Addr: h.cfg.Addr})
			case catching != term:
				catching = term
				h.deny(term)
				h.bgWork.Add(1)
				go h.catchUp(ctx, term)
			}
		} else {
			catching = 0
			h.deny(h.raft.CurrentTerm())
		}
		select {
		case <-h.notify:
		case <-h.observed:
		case done := <-h.caughtUp:
			if done.err == nil {
				ready = done.term
			} else {
				catching = 0 // deposed, or tried again
			}
		case <-ctx.Done():
			return
		}
	}
}

// deny publishes that another server leads, or none, and refuses proposals.
func (h *Host) deny(term uint64) {
	h.batch.gate(errNotLeader)
	addr, id := h.raft.LeaderWithID()
	if string(id) == h.cfg.ID {
		addr, id = "", "" // elected, but not ready to lead
	}
	h.publish(Leadership{Term: term, ID: string(id), Addr: string(addr)})
}

// catchUp waits until everything earlier terms committed is applied.
func (h *Host) catchUp(ctx context.Context, term uint64) {
	defer h.bgWork.Done()
	err := h.await(h.raft.Barrier(barrierTimeout))
	if err == nil && h.raft.CurrentTerm() != term {
		err = raft.ErrLeadershipLost
	}
	if err != nil && !errors.Is(err, raft.ErrLeadershipLost) && !errors.Is(err, raft.ErrRaftShutdown) && !errors.Is(err, raft.ErrNotLeader) {
		h.cfg.Logger.Error("new leader cannot catch up", "term", term, "error", err)
	}
	select {
	case h.caughtUp <- catchUp{term, err}:
	case <-ctx.Done():
	}
}
