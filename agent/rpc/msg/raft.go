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
	Disk         string // what ails its disk, in words
}

// ServerHealth is autopilot's view of one server. Durations in ns, times in unix ns.
type ServerHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string
	Version     string
	Leader      bool
	LastContact int64
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince int64
	Zone        string
	Upgrade     string // its operator's version for migrations
	NonVoter    bool   // never to vote
	Disk        string // what ails it, in words
}

// ServersHealthResponse is autopilot's view of all servers.
type ServersHealthResponse struct {
	QueryMeta
	Healthy          bool
	FailureTolerance int
	Optimistic       int
	Servers          []*ServerHealth
	Zones            map[string]*ZoneHealth // nil while zones are off
	Upgrade          *UpgradeHealth         // nil when there is nothing to migrate
}

// ZoneHealth is how a redundancy zone stands.
type ZoneHealth struct {
	Servers, Voters  []string
	FailureTolerance int
}

// UpgradeVersions are server ids by their part in a migration.
type UpgradeVersions struct {
	TargetVoters, TargetNonVoters, OtherVoters, OtherNonVoters []string
}

// UpgradeHealth is how a migration to a newer version stands.
type UpgradeHealth struct {
	Status                        string
	TargetVersion                 string
	All                           UpgradeVersions
	TargetReplicas, OtherReplicas []string
	Zones                         map[string]*UpgradeVersions
}

// FeaturesResponse is how far the cluster has agreed to go, as one server sees it.
type FeaturesResponse struct {
	QueryMeta
	Active      int
	ActivatedAt int64 // unix ns, 0 at the base level
	Understands int   // the answering server's
	Possible    int   // what all servers that count understand
	Lacking     []string
	Held        []string // servers whose operators want activation by hand
	Servers     []*FeatureServer
}

// FeatureServer is what one server understands.
type FeatureServer struct {
	ID          string
	Name        string
	Understands int // 0: not known
	Status      string
	Member      bool
	Holds       bool
}

// FeatureActivateRequest activates a level; 0 means the newest that all understand.
type FeatureActivateRequest struct {
	WriteOptions
	Level int
}

// FeatureActivateResponse tells which level is active.
type FeatureActivateResponse struct {
	WriteMeta
	Level int
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
