package consensus

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/steppe-project/steppe/fsm"
)

// Proposer turns commands into committed, applied outcomes. Host implements it
// on Raft; the simulator has its own.
type Proposer interface {
	// Propose replicates cmds and waits until they are applied here. It returns
	// one outcome per command, in order; each command is its own transaction and
	// carries its own error. Commands of concurrent calls share log entries.
	// The call's error says that the outcome is not known to be applied:
	//   - CodeNotLeader: this server does not lead; nothing was applied.
	//   - CodeInvalid: a command exceeds MaxCommandBytes or there are none or too
	//     many; nothing was applied.
	//   - CodeUnavailable: leadership was lost or the disk failed while waiting,
	//     or the queue is full; ErrUnknownOutcome tells (errors.Is) when commands
	//     may yet be applied.
	//   - the context's error: the commands may yet be applied.
	Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error)
	// ReadIndex returns an index such that the local state at it contains every
	// write acknowledged before the call, and makes sure that the local state
	// has reached it: a snapshot taken after the call is linearizable. It fails
	// with CodeNotLeader on a server that does not lead.
	ReadIndex(ctx context.Context) (uint64, error)
	// Leadership returns who leads now.
	Leadership() Leadership
}

// Leadership is one period of who leads, as seen by one server.
type Leadership struct {
	// Self is true when this server leads and has applied everything its
	// predecessors committed: leader components may run.
	Self bool
	// Term is the Raft term.
	Term uint64
	// ID and Addr are the leader's server id and rpc address, empty when none
	// is known.
	ID   string
	Addr string
	// Changed is closed when this value is superseded.
	Changed <-chan struct{}
}

// Machine is the replicated state machine; *fsm.FSM is one. Apply, Snapshot and
// Restore are called by one goroutine at a time; a snapshot's WriteTo runs
// beside later Applies.
type Machine interface {
	// Apply applies one entry and returns one outcome per command. An outcome
	// with a fsm.FatalError stops the host.
	Apply(e fsm.Entry) []fsm.Outcome
	// Snapshot captures the state at no cost; WriteTo streams it.
	Snapshot() io.WriterTo
	// Restore replaces the state by what a snapshot's WriteTo wrote. On error
	// the former state must be kept.
	Restore(r io.Reader) error
}

// StreamLayer carries raft's connections; port.RaftLayer is one.
type StreamLayer interface {
	net.Listener
	// Dial connects to the server at addr.
	Dial(addr string, timeout time.Duration) (net.Conn, error)
}
