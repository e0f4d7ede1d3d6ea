package msg

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

//go:generate go tool msgp -file node.go -tests=false -io=false

// NodeUp is a message of a node to its server over the session stream. Exactly one
// field is set. The first one is Register.
type NodeUp struct {
	Register *NodeRegister
	Renew    *NodeRenew
	Report   *NodeReport
	Update   *model.Node // the node's description changed
}

// NodeRegister opens a session. Known is the highest AllocModifyIndex the node
// has; the server answers with the full set whatever it is.
type NodeRegister struct {
	Node *model.Node // with SecretID
}

// NodeRenew extends the node's lease. Seq comes back in NodeDown.Renewed.
type NodeRenew struct{ Seq uint64 }

// NodeReport carries allocation statuses; Seq comes back in NodeDown.Reported
// once they are committed.
type NodeReport struct {
	Seq     uint64
	Updates []*model.AllocUpdate
}

// NodeDown is a message of a server to a node.
type NodeDown struct {
	Registered *NodeRegistered
	Assign     *NodeAssign
	Renewed    *NodeRenewed
	Reported   *NodeReported
}

// NodeRegistered answers NodeRegister once the node is in the state.
type NodeRegistered struct {
	Index    uint64
	LeaseTTL time.Duration
	Servers  []string      // RPC addresses of all servers
	Every    time.Duration // how often to renew; 0 = a third of LeaseTTL
}

// NodeAssign says what should run. Full replaces everything known; a delta
// carries changed allocations (with their job) and the ids of removed ones.
type NodeAssign struct {
	Index   uint64
	Full    bool
	Allocs  []*AssignedAlloc
	Removed []string
}

// AssignedAlloc is an allocation with the job version that it runs.
type AssignedAlloc struct {
	Alloc *model.Allocation
	Job   *model.Job
}

// NodeRenewed acknowledges a lease renewal that the servers have recorded.
type NodeRenewed struct {
	Seq   uint64
	Every time.Duration // how often to renew from now on; 0 = as before
	TTL   time.Duration // how long the lease lasts by this; 0 = NodeRegistered.LeaseTTL
}

// NodeReported acknowledges reports.
type NodeReported struct{ Seq uint64 }

// NodeRegisterRequest is NodeRegister as the session's server forwards it to
// the leader.
type NodeRegisterRequest struct {
	WriteOptions
	Node *model.Node
}

// NodeUpdateAllocsRequest is a batch of reports as servers forward them.
type NodeUpdateAllocsRequest struct {
	WriteOptions
	NodeID   string
	SecretID string
	Updates  []*model.AllocUpdate
}

// NodeReportRequest is the reports of many nodes of one server.
type NodeReportRequest struct {
	WriteOptions
	Nodes []*NodeUpdateAllocsRequest
}

// NodeReportResponse answers it: the refused, by their place in Nodes. All others
// are committed.
type NodeReportResponse struct {
	WriteMeta
	Refused []*NodeReportRefused
}

// NodeReportRefused is why the report of one node was not taken.
type NodeReportRefused struct {
	Place   int
	Code    string // model.Code
	Message string
}

// NodeRenewRequest is a batch of leases that a server saw renewed, sent to the leader.
type NodeRenewRequest struct {
	WriteOptions
	Server  string
	NodeIDs []string
}

// NodeRenewResponse lists nodes that the leader does not consider alive or known:
// their sessions must register again. The leases of the others last for TTL; a leader
// of an earlier version says 0 and means what each server tells its nodes.
type NodeRenewResponse struct {
	WriteMeta
	Unknown []string
	TTL     time.Duration
}

// HasNodeRequest asks a server whether it holds the node's tunnel.
type HasNodeRequest struct{ NodeID string }

// BoolResponse is yes or no.
type BoolResponse struct{ Value bool }
