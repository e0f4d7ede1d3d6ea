package model

import "time"

// Node statuses.
const (
	NodeStatusInit         = "initializing"
	NodeStatusReady        = "ready"
	NodeStatusDown         = "down"
	NodeStatusDisconnected = "disconnected"
)

// Scheduling eligibility of a node.
const (
	NodeEligible   = "eligible"
	NodeIneligible = "ineligible"
)

// Node is a machine that runs tasks. What the machine says of itself is owned
// by its agent; Status, SchedulingEligibility, Drain and Events by the servers.
type Node struct {
	ID                    string
	SecretID              string `json:"-"` // proves reports; never leaves the servers
	Datacenter            string
	Name                  string
	HTTPAddr              string // host:port
	TLSEnabled            bool
	Attributes            map[string]string
	NodeResources         *NodeResources
	ReservedResources     *NodeReservedResources
	Links                 map[string]string
	Meta                  map[string]string
	NodeClass             string
	NodePool              string
	ComputedClass         string // equal for nodes that no constraint on shared attributes can tell apart
	CgroupParent          string
	Drain                 bool
	DrainStrategy         *DrainStrategy
	SchedulingEligibility string
	Status                string
	StatusDescription     string
	StatusUpdatedAt       int64 // unix s
	Events                []*NodeEvent
	Drivers               map[string]*DriverInfo
	HostVolumes           map[string]*HostVolumeInfo
	HostNetworks          map[string]*HostNetworkInfo
	LastDrain             *DrainMetadata
	NodeMaxAllocs         int
	CreateIndex           uint64
	ModifyIndex           uint64
	// ReportsFrom is the Order after which the reports of its agent's present run are:
	// what an earlier run reported is not taken any more. 0: not known.
	ReportsFrom uint64 `json:"-" msg:",omitempty"`
}

// Ready tells whether new work may be placed on the node.
func (n *Node) Ready() bool {
	return n.Status == NodeStatusReady && n.DrainStrategy == nil && n.SchedulingEligibility == NodeEligible
}

// NodeResources are a machine's totals. Reserved is not subtracted.
type NodeResources struct {
	Cpu            NodeCpuResources
	Memory         NodeMemoryResources
	Disk           NodeDiskResources
	Networks       []*NetworkResource
	NodeNetworks   []*NodeNetworkResource
	Devices        []*NodeDeviceResource
	MinDynamicPort int
	MaxDynamicPort int
}

// NodeCpuResources: CpuShares is the machine's total MHz.
type NodeCpuResources struct {
	CpuShares          int64
	TotalCpuCores      uint16
	ReservableCpuCores []uint16
	// CoreMHz is the speed used to convert reserved cores to shares.
	CoreMHz int64
}

// NodeMemoryResources in MB.
type NodeMemoryResources struct{ MemoryMB int64 }

// NodeDiskResources in MB.
type NodeDiskResources struct{ DiskMB int64 }

// NodeNetworkResource is one network interface with its addresses.
type NodeNetworkResource struct {
	Mode       string
	Device     string
	MacAddress string
	Speed      int
	Addresses  []NodeNetworkAddress
}

// NodeNetworkAddress: Alias is the host network's name ("default" or configured).
type NodeNetworkAddress struct {
	Family        string // ipv4, ipv6
	Alias         string
	Address       string
	ReservedPorts string // "22,80,8000-8100"
	Gateway       string
}

// NodeReservedResources are withheld from tasks.
type NodeReservedResources struct {
	Cpu      NodeReservedCpuResources
	Memory   NodeReservedMemoryResources
	Disk     NodeReservedDiskResources
	Networks NodeReservedNetworkResources
}

// NodeReservedCpuResources in MHz and core ids.
type NodeReservedCpuResources struct {
	CpuShares        uint64
	ReservedCpuCores []uint16
}

// NodeReservedMemoryResources in MB.
type NodeReservedMemoryResources struct{ MemoryMB uint64 }

// NodeReservedDiskResources in MB.
type NodeReservedDiskResources struct{ DiskMB uint64 }

// NodeReservedNetworkResources lists ports and ranges.
type NodeReservedNetworkResources struct{ ReservedHostPorts string }

// NodeDeviceResource is a group of equal devices.
type NodeDeviceResource struct {
	Vendor     string
	Type       string
	Name       string
	Instances  []*NodeDevice
	Attributes map[string]*Attribute
}

// NodeDevice is one device.
type NodeDevice struct {
	ID                string
	Healthy           bool
	HealthDescription string
	Locality          *NodeDeviceLocality
}

// NodeDeviceLocality places a device on a bus.
type NodeDeviceLocality struct{ PciBusID string }

// Attribute is a typed value with a unit; one of the pointers is set.
type Attribute struct {
	FloatVal  *float64 `json:"Float,omitempty"`
	IntVal    *int64   `json:"Int,omitempty"`
	StringVal *string  `json:"String,omitempty"`
	BoolVal   *bool    `json:"Bool,omitempty"`
	Unit      string
}

// DriverInfo is a driver's presence on a node.
type DriverInfo struct {
	Attributes        map[string]string
	Detected          bool
	Healthy           bool
	HealthDescription string
	UpdateTime        time.Time
}

// HostVolumeInfo is a directory offered as a volume.
type HostVolumeInfo struct {
	Path     string
	ReadOnly bool
	ID       string
}

// HostNetworkInfo is a named network of the host.
type HostNetworkInfo struct {
	Name          string
	CIDR          string
	Interface     string
	ReservedPorts string
}

// NodeEvent is something that happened to a node; at most MaxNodeEvents are kept.
type NodeEvent struct {
	Message     string
	Subsystem   string
	Details     map[string]string
	Timestamp   time.Time
	CreateIndex uint64
}

// MaxNodeEvents bounds a node's history; more would only bloat each write.
const MaxNodeEvents = 10

// DrainSpec asks a node to be emptied.
type DrainSpec struct {
	Deadline         time.Duration // <0 force, 0 none
	IgnoreSystemJobs bool
}

// DrainStrategy is a drain in progress. (DrainSpec's fields are flattened in JSON.)
type DrainStrategy struct {
	DrainSpec
	ForceDeadline time.Time
	StartedAt     time.Time
}

// DrainMetadata describes the last drain.
type DrainMetadata struct {
	StartedAt  time.Time
	UpdatedAt  time.Time
	Status     string // draining, complete, canceled
	AccessorID string
	Meta       map[string]string
}

// NodePool groups nodes; jobs choose one.
type NodePool struct {
	Name                   string
	Description            string
	Meta                   map[string]string
	SchedulerConfiguration *NodePoolSchedulerConfiguration
	CreateIndex            uint64
	ModifyIndex            uint64
}

// NodePoolSchedulerConfiguration overrides the cluster's.
type NodePoolSchedulerConfiguration struct {
	SchedulerAlgorithm            string
	MemoryOversubscriptionEnabled *bool
}
