package msg

import (
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
)

//go:generate go tool msgp -file raft.go -tests=false -io=false

// RaftStats asks a server for its place in the log; the leader's autopilot does.
var RaftStats = rpc.Method[Empty, RaftStatsResponse]{Name: "Status.Raft", Idempotent: true, Inside: true}

// RaftStatsResponse is a server's place in the log.
type RaftStatsResponse struct {
	State        string
	Term         uint64
	LastIndex    uint64
	LastTerm     uint64
	CommitIndex  uint64
	AppliedIndex uint64
	LastContact  time.Duration // with the leader; negative when never
	Snapshot     uint64
}

// StateHash asks a server for the digest of its own state: servers that have
// applied the same log up to the same index have the same.
var StateHash = rpc.Method[StatusRequest, StateHashResponse]{Name: "Operator.StateHash", Idempotent: true}

// StateHashResponse is one server's state at one index.
type StateHashResponse struct {
	ServerID string
	Index    uint64
	Hash     string // SHA-256 in hexadecimal digits
}
