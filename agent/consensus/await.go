package consensus

import (
	"time"

	"github.com/hashicorp/raft"
)

// await waits for a future of raft, or for raft's end: an entry that waits for the
// state machine when raft ends is forgotten, and its future never answered
// (hashicorp/raft 1.7.3, runFSM).
func (h *Host) await(f raft.Future) error { return awaitOr(f, h.ended) }

// awaitOr is await, without a host. The goroutine of a future that is never answered
// stays until the process ends.
func awaitOr(f raft.Future, ended <-chan struct{}) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ended:
	}
	select {
	case err := <-done: // answered before the end
		return err
	case <-time.After(answerGrace):
		return raft.ErrRaftShutdown
	}
}

// answerGrace is for an answer that was given before raft's end and is under way here.
const answerGrace = 10 * time.Millisecond

// bounded are futures that end with raft at the latest, for the library that cares
// for the server set.
type bounded struct {
	raft.IndexFuture
	host *Host
}

// Error implements raft.Future.
func (b bounded) Error() error { return b.host.await(b.IndexFuture) }

// AddNonvoter is raft's, and ends with it at the latest.
func (s Steering) AddNonvoter(id raft.ServerID, addr raft.ServerAddress, prev uint64, timeout time.Duration) raft.IndexFuture {
	return bounded{s.Raft.AddNonvoter(id, addr, prev, timeout), s.host}
}

// AddVoter is raft's, and ends with it at the latest.
func (s Steering) AddVoter(id raft.ServerID, addr raft.ServerAddress, prev uint64, timeout time.Duration) raft.IndexFuture {
	return bounded{s.Raft.AddVoter(id, addr, prev, timeout), s.host}
}

// DemoteVoter is raft's, and ends with it at the latest.
func (s Steering) DemoteVoter(id raft.ServerID, prev uint64, timeout time.Duration) raft.IndexFuture {
	return bounded{s.Raft.DemoteVoter(id, prev, timeout), s.host}
}

// RemoveServer is raft's, and ends with it at the latest.
func (s Steering) RemoveServer(id raft.ServerID, prev uint64, timeout time.Duration) raft.IndexFuture {
	return bounded{s.Raft.RemoveServer(id, prev, timeout), s.host}
}
