package consensus

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// lease knows when a majority was last known to follow this server.
//
// A follower that answers a heartbeat sent at time t in our term does not vote
// for another before t + Heartbeat has passed: it refuses votes while it knows a
// leader. So when a majority answered heartbeats sent at t or later, no other
// leader exists before t + Heartbeat, and reads until then are linearizable.
// Three things would break this, and are excluded:
//
//   - Clocks that run at different speed: the lease is shorter than Heartbeat.
//   - A follower that restarts forgets its leader: a server with peers waits for
//     a lease's length before it takes part (Open).
//   - Transfer of leadership makes followers vote at once: once one was tried, the
//     lease is not used again in that term (confirmation by heartbeats is).
type lease struct {
	length time.Duration

	mu    sync.Mutex
	term  uint64
	sent  map[raft.ServerID]time.Time
	void  uint64        // term in which the lease may not be used
	acked chan struct{} // closed at the next answer; nil while nobody waits
}

// leaseOf is the length of the lease for a heartbeat timeout.
func leaseOf(heartbeat time.Duration) time.Duration { return heartbeat * 7 / 10 }

// ack notes that id, at some time after sent, followed us in term.
func (l *lease) ack(id raft.ServerID, term uint64, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if term < l.term {
		return
	}
	if term > l.term || l.sent == nil {
		l.term, l.sent = term, make(map[raft.ServerID]time.Time)
	}
	if sent.After(l.sent[id]) {
		l.sent[id] = sent
	}
	if l.acked != nil {
		close(l.acked)
		l.acked = nil
	}
}

// forbid gives up the lease for the rest of term.
func (l *lease) forbid(term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.void = max(l.void, term)
}

// confirmed returns the latest time at or after which a majority of voters is
// known to have followed self in term, whether the lease may be used, and a
// channel that is closed when there is news.
func (l *lease) confirmed(voters []raft.ServerID, self raft.ServerID, term uint64) (time.Time, bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked == nil {
		l.acked = make(chan struct{})
	}
	times := make([]time.Time, 0, len(voters))
	for _, id := range voters {
		switch {
		case id == self:
			times = append(times, time.Now())
		case l.term == term:
			times = append(times, l.sent[id])
		default:
			times = append(times, time.Time{})
		}
	}
	if len(times) == 0 {
		return time.Time{}, false, l.acked
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[len(times)/2], l.void != term, l.acked
}

// ReadIndex implements Proposer.
func (h *Host) ReadIndex(ctx context.Context) (uint64, error) {
	began := time.Now()
	asked := false
	for {
		now := h.Leadership()
		if !now.Self {
			return 0, errNotLeader
		}
		at, usable, news := h.lease.confirmed(h.voters(), raft.ServerID(h.cfg.ID), now.Term)
		if !at.Before(began) || usable && time.Since(at) < h.lease.length {
			// What was acknowledged before was applied here first.
			return h.adapter.applied.Load(), nil
		}
		if !asked {
			// Makes raft send heartbeats at once; their answers are the news.
			h.raft.VerifyLeader()
			asked = true
		}
		select {
		case <-news:
		case <-now.Changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// voters lists the ids of the latest configuration's voters.
func (h *Host) voters() []raft.ServerID {
	servers := h.raft.GetConfiguration().Configuration().Servers
	ids := make([]raft.ServerID, 0, len(servers))
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
