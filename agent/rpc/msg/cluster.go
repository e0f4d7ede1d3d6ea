package msg

import "github.com/steppe-project/steppe/model"

//go:generate go tool msgp -file cluster.go -tests=false -io=false

// AllocListRequest lists allocations of a namespace, a job, a node or an evaluation
// (the first of JobID, NodeID, EvalID that is set).
type AllocListRequest struct {
	QueryOptions
	JobID      string
	AllVersion bool // with JobID: also of earlier jobs with the same id
	NodeID     string
	EvalID     string
	Resources  bool
	TaskStates bool

	DeploymentID string
}

// AllocListResponse is one page of stubs.
type AllocListResponse struct {
	QueryMeta
	Allocs []*model.AllocListStub
}

// AllocsResponse carries whole allocations (those of a node).
type AllocsResponse struct {
	QueryMeta
	Allocs []*model.Allocation
}

// IDQuery reads one thing by its id.
type IDQuery struct {
	QueryOptions
	ID      string
	Related bool
}

// AllocResponse carries an allocation or nil.
type AllocResponse struct {
	QueryMeta
	Alloc *model.Allocation
}

// AllocStopRequest stops an allocation and has another one placed.
type AllocStopRequest struct {
	WriteOptions
	AllocID         string
	NoShutdownDelay bool
}

// EvalIDResponse names the evaluation a write created.
type EvalIDResponse struct {
	WriteMeta
	EvalID string
}

// EvalListRequest lists evaluations.
type EvalListRequest struct {
	QueryOptions
	Status string
	JobID  string
}

// EvalListResponse is one page.
type EvalListResponse struct {
	QueryMeta
	Evals []*model.Evaluation
}

// EvalResponse carries an evaluation or nil.
type EvalResponse struct {
	QueryMeta
	Eval *model.Evaluation
}

// CountResponse is a number of things.
type CountResponse struct {
	QueryMeta
	Count int
}

// NodeListRequest lists nodes.
type NodeListRequest struct {
	QueryOptions
	Pool       string
	Resources  bool
	Attributes bool
}

// NodeListResponse is one page.
type NodeListResponse struct {
	QueryMeta
	Nodes []*model.NodeListStub
}

// NodeResponse carries a node or nil.
type NodeResponse struct {
	QueryMeta
	Node *model.Node
}

// NodeDrainRequest begins a drain, or calls it off (Spec nil).
type NodeDrainRequest struct {
	WriteOptions
	NodeID       string
	Spec         *model.DrainSpec
	MarkEligible bool
	Meta         map[string]string
}

// NodeEligibilityRequest opens or closes a node for new work.
type NodeEligibilityRequest struct {
	WriteOptions
	NodeID      string
	Eligibility string
}

// NodeWriteRequest purges a node, or has its jobs evaluated.
type NodeWriteRequest struct {
	WriteOptions
	NodeID string
}

// NodeWriteResponse names the evaluations a node's change created.
type NodeWriteResponse struct {
	WriteMeta
	EvalIDs         []string
	EvalCreateIndex uint64
	NodeModifyIndex uint64
}

// StatusRequest asks about the cluster's servers.
type StatusRequest struct{ QueryOptions }

// StringResponse is one text (the leader's address).
type StringResponse struct {
	QueryMeta
	Value string
}

// StringsResponse is a list (peers, regions).
type StringsResponse struct {
	QueryMeta
	Values []string
}

// Member is one agent as a member of gossip, in the shape that clients of serf
// read.
type Member struct {
	Name   string // "<name>.<region>"
	Addr   string
	Port   int
	Tags   map[string]string
	Status string
}

// Region is the member's.
func (m *Member) Region() string { return m.Tags["region"] }

// MembersResponse lists the agents of the answering server's region, and the
// servers of all others.
type MembersResponse struct {
	QueryMeta
	Members []*Member
}

// RaftServer is one voter or non-voter.
type RaftServer struct {
	ID           string
	Node         string
	Address      string
	Leader       bool
	Voter        bool
	RaftProtocol string
}

// RaftConfigurationResponse is the raft configuration.
type RaftConfigurationResponse struct {
	QueryMeta
	Servers []*RaftServer
	Index   uint64
}

// RaftPeerRequest names a raft server by id or address.
type RaftPeerRequest struct {
	WriteOptions
	ID      string
	Address string
}

// SchedulerConfigResponse carries the scheduler configuration.
type SchedulerConfigResponse struct {
	QueryMeta
	Config *model.SchedulerConfiguration
}

// SchedulerConfigRequest sets it; with CAS only if ModifyIndex still holds.
type SchedulerConfigRequest struct {
	WriteOptions
	Config model.SchedulerConfiguration
	CAS    bool
}

// BrakeResponse tells how the brake on mass loss stands.
type BrakeResponse struct {
	QueryMeta
	Brake BrakeStatus
}

// BrakeStatus is the brake: Held are the nodes that it keeps from being given up.
// Since and ReleasedAt are 0 for never.
type BrakeStatus struct {
	Engaged    bool
	Alarm      string // in words; "" while it is off
	Since      int64  // unix s
	Held       []*BrakeNode
	Nodes      int // all that are not down
	Threshold  float64
	MinNodes   int
	Rate       int   // nodes given up a minute; below 0: none
	ReleasedAt int64 // unix ns
}

// BrakeNode is one node that the brake holds.
type BrakeNode struct {
	ID    string
	Name  string
	Since int64 // unix s
}

// BrakeReleaseRequest lets go of the brake.
type BrakeReleaseRequest struct{ WriteOptions }

// CASResponse tells whether a check-and-set write was done.
type CASResponse struct {
	WriteMeta
	Updated bool
}

// AutopilotConfigResponse carries the autopilot configuration.
type AutopilotConfigResponse struct {
	QueryMeta
	Config *model.AutopilotConfiguration
}

// AutopilotConfigRequest sets it.
type AutopilotConfigRequest struct {
	WriteOptions
	Config model.AutopilotConfiguration
	CAS    bool
}

// Chunk is a piece of a byte stream (snapshots). Err ends the stream with words.
type Chunk struct {
	Data []byte
	Err  string
	Done bool
}

// SystemGCRequest collects what is over at once, whatever its age.
type SystemGCRequest struct{ WriteOptions }

// SearchRequest finds ids by prefix (Fuzzy false) or names by part.
type SearchRequest struct {
	QueryOptions
	Text    string
	Context string // jobs, evals, allocs, nodes, deployments, node_pools, namespaces, all
	Fuzzy   bool
}

// SearchMatch is one match of a fuzzy search.
type SearchMatch struct {
	ID    string
	Scope []string
}

// SearchResponse holds matches by context; at most SearchLimit each.
type SearchResponse struct {
	QueryMeta
	Matches     map[string][]SearchMatch
	Truncations map[string]bool
}

// SearchLimit bounds the matches of one context: more are no help to a person.
const SearchLimit = 20

// EventStreamRequest subscribes to changes after Index (0 = all that is kept).
// Topics maps a topic ("*" = all) to keys ("*" = all).
type EventStreamRequest struct {
	QueryOptions
	Index  uint64
	Topics map[string][]string
}

// EventBatch is the events of one log index, already encoded as the JSON the API
// sends; an empty one is a heartbeat.
type EventBatch struct {
	Index uint64
	JSON  []byte
	Err   string
}

// SigningKeysResponse carries the cluster's public signing keys.
type SigningKeysResponse struct {
	QueryMeta
	Keys []*model.SigningKey
}

// DeploymentsResponse lists deployments.
type DeploymentsResponse struct {
	QueryMeta
	Deployments []*model.Deployment
}
