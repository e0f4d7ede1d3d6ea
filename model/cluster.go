package model

import "time"

// Scheduler algorithms.
const (
	AlgorithmBinpack = "binpack"
	AlgorithmSpread  = "spread"
)

// SchedulerConfiguration steers placement cluster-wide.
type SchedulerConfiguration struct {
	SchedulerAlgorithm            string
	MemoryOversubscriptionEnabled bool
	RejectJobRegistration         bool
	PauseEvalBroker               bool
	PreemptionConfig              PreemptionConfig
	MassLoss                      MassLossConfig
	CreateIndex                   uint64
	ModifyIndex                   uint64
}

// MassLossConfig is the brake on replacing what runs on nodes that vanish
// together. 0 means the default, of the brake.
type MassLossConfig struct {
	Threshold  float64 // share of the nodes, above 0 up to 1
	MinNodes   int     // at least so many
	Rate       int     // nodes given up a minute while it is on; below 0: none
	ReleasedAt int64   // unix ns of its last release
}

// PreemptionConfig says which job types may preempt.
type PreemptionConfig struct {
	SystemSchedulerEnabled   bool
	SysBatchSchedulerEnabled bool
	BatchSchedulerEnabled    bool
	ServiceSchedulerEnabled  bool
}

// AutopilotConfiguration steers the care of the server set.
type AutopilotConfiguration struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime time.Duration
	EnableRedundancyZones   bool
	DisableUpgradeMigration bool
	EnableCustomUpgrades    bool
	CreateIndex             uint64
	ModifyIndex             uint64
}

// ClusterMetadata identifies the cluster for its whole life.
type ClusterMetadata struct {
	ClusterID  string
	CreateTime int64
}

// SigningKey signs workload identities. Private is kept in the replicated
// state and never leaves the servers.
type SigningKey struct {
	KeyID       string
	Algorithm   string // EdDSA
	Public      []byte // ed25519, 32 bytes
	Private     []byte `json:"-"`
	State       string // active, inactive
	CreateTime  int64
	CreateIndex uint64
	ModifyIndex uint64
}

// Event is one message of the event stream.
type Event struct {
	Topic      string
	Type       string
	Key        string
	Namespace  string
	FilterKeys []string
	Index      uint64
	Payload    map[string]any
}

// Event topics.
const (
	TopicDeployment = "Deployment"
	TopicEvaluation = "Evaluation"
	TopicAllocation = "Allocation"
	TopicJob        = "Job"
	TopicNode       = "Node"
	TopicNodePool   = "NodePool"
	TopicService    = "Service"
	TopicAll        = "*"
)

// ServiceRegistration is one address in the catalogue.
type ServiceRegistration struct {
	ID          string
	ServiceName string
	Namespace   string
	NodeID      string
	Datacenter  string
	JobID       string
	AllocID     string
	Tags        []string
	Address     string
	Port        int
	CreateIndex uint64
	ModifyIndex uint64
}

// Variable is a small encrypted document at a path.
type Variable struct {
	Namespace   string
	Path        string
	Items       map[string]string
	CreateIndex uint64
	ModifyIndex uint64
	CreateTime  int64
	ModifyTime  int64
}
