package model

import (
	"time"

	"github.com/steppe-project/steppe/model/depends"
)

// Job types.
const (
	JobTypeService  = "service"
	JobTypeBatch    = "batch"
	JobTypeSystem   = "system"
	JobTypeSysbatch = "sysbatch"
)

// Job statuses.
const (
	JobStatusPending = "pending"
	JobStatusRunning = "running"
	JobStatusDead    = "dead"
)

// Names that stand for themselves when nothing is said.
const (
	DefaultRegion    = "global"
	DefaultNamespace = "default"
	DefaultNodePool  = "default"
	AllNodePool      = "all"
	AllNamespaces    = "*"
)

// Job is what a user wants to run. The fields after UI are set by the server.
type Job struct {
	Region           string
	Namespace        string
	ID               string
	Name             string
	Type             string
	Priority         int // 1..100
	AllAtOnce        bool
	Datacenters      []string // globs
	NodePool         string
	Constraints      []*Constraint
	Affinities       []*Affinity
	TaskGroups       []*TaskGroup
	Update           *UpdateStrategy
	Multiregion      *Multiregion
	Spreads          []*Spread
	Periodic         *PeriodicConfig
	ParameterizedJob *ParameterizedJobConfig
	Reschedule       *ReschedulePolicy
	Migrate          *MigrateStrategy
	Meta             map[string]string
	UI               *JobUIConfig
	DependsOn        []*depends.Dependency `msg:",omitempty" json:",omitempty"` // holds for all groups

	Stop                     bool
	ParentID                 string
	Dispatched               bool
	DispatchIdempotencyToken string
	Payload                  []byte
	ConsulNamespace          string
	VaultNamespace           string
	NomadTokenID             string
	Status                   string
	StatusDescription        string
	Stable                   bool
	Version                  uint64
	SubmitTime               int64 // unix ns
	CreateIndex              uint64
	ModifyIndex              uint64 // any change, status included
	JobModifyIndex           uint64 // change of the specification only
	VersionTag               *JobVersionTag
}

// JobVersionTag names a version of a job.
type JobVersionTag struct {
	Name        string
	Description string
	TaggedTime  int64
}

// JobUIConfig is shown in the console.
type JobUIConfig struct {
	Description string
	Links       []*JobUILink
}

// JobUILink is one link of a JobUIConfig.
type JobUILink struct {
	Label string
	URL   string
}

// TaskGroup is a set of tasks that run together on one node, Count times.
type TaskGroup struct {
	Name                      string
	Count                     int
	Constraints               []*Constraint
	Affinities                []*Affinity
	Tasks                     []*Task
	Spreads                   []*Spread
	Volumes                   map[string]*VolumeRequest
	RestartPolicy             *RestartPolicy
	Disconnect                *DisconnectStrategy
	ReschedulePolicy          *ReschedulePolicy
	EphemeralDisk             *EphemeralDisk
	Update                    *UpdateStrategy
	Migrate                   *MigrateStrategy
	Stateful                  *StatefulConfig `json:",omitempty" msg:",omitempty"`
	Networks                  []*NetworkResource
	Meta                      map[string]string
	Services                  []*Service
	ShutdownDelay             time.Duration
	MaxRunDuration            time.Duration
	StopAfterClientDisconnect time.Duration
	MaxClientDisconnect       time.Duration
	Scaling                   *ScalingPolicy
	Consul                    *Consul
	PreventRescheduleOnLost   bool
	DependsOn                 []*depends.Dependency `msg:",omitempty" json:",omitempty"`
	Gang                      *GangConfig           `msg:",omitempty" json:",omitempty"`
}

// Constraint filters nodes. Operators: = == is, != not, >, >=, <, <=, regexp,
// version, semver, set_contains, set_contains_all, set_contains_any, is_set,
// is_not_set, distinct_hosts, distinct_property.
type Constraint struct {
	LTarget string
	RTarget string
	Operand string
}

// Affinity prefers (or, with a negative weight, avoids) nodes; weight -100..100.
type Affinity struct {
	LTarget string
	RTarget string
	Operand string
	Weight  int8
}

// Spread distributes a group over the values of an attribute; weight 0..100.
type Spread struct {
	Attribute    string
	Weight       int8
	SpreadTarget []*SpreadTarget
}

// SpreadTarget is the share of one value, in percent.
type SpreadTarget struct {
	Value   string
	Percent uint8
}

// GangConfig makes a group one of which all instances run, or none; see package gang.
type GangConfig struct {
	MaxPartial time.Duration // how long it may run with fewer than count after losses; 0: not at all
}

// UpdateStrategy says how a new version replaces the old one.
type UpdateStrategy struct {
	Stagger          time.Duration
	MaxParallel      int
	HealthCheck      string // checks, task_states, manual
	MinHealthyTime   time.Duration
	HealthyDeadline  time.Duration
	ProgressDeadline time.Duration
	Canary           int
	AutoRevert       bool
	AutoPromote      bool
}

// MigrateStrategy says how a drain moves a group.
type MigrateStrategy struct {
	MaxParallel     int
	HealthCheck     string
	MinHealthyTime  time.Duration
	HealthyDeadline time.Duration
}

// StatefulConfig makes a group's instances ordinals with a name of their own; see package stateful.
type StatefulConfig struct {
	Ordered   bool // one at a time: 0..N-1, and stopped and updated N-1..0
	Partition int  // updates replace only ordinals from here on
}

// Restart modes.
const (
	RestartModeFail  = "fail"
	RestartModeDelay = "delay"
)

// RestartPolicy says how a task is restarted on its node.
type RestartPolicy struct {
	Interval        time.Duration
	Attempts        int
	Delay           time.Duration
	Mode            string
	RenderTemplates bool
}

// Delay functions of a ReschedulePolicy.
const (
	DelayConstant    = "constant"
	DelayExponential = "exponential"
	DelayFibonacci   = "fibonacci"
)

// ReschedulePolicy says how a failed allocation is replaced on another node.
type ReschedulePolicy struct {
	Attempts      int
	Interval      time.Duration
	Delay         time.Duration
	DelayFunction string
	MaxDelay      time.Duration
	Unlimited     bool
}

// DisconnectStrategy says what happens while a node is unreachable.
type DisconnectStrategy struct {
	LostAfter         time.Duration
	StopOnClientAfter time.Duration
	Replace           bool
	Reconcile         string // keep_original, keep_replacement, best_score, longest_running
}

// EphemeralDisk is the allocation directory's size in MB.
type EphemeralDisk struct {
	Sticky  bool
	Migrate bool
	SizeMB  int
}

// VolumeRequest asks for a volume; Type is host or csi.
type VolumeRequest struct {
	Name           string
	Type           string
	Source         string
	ReadOnly       bool
	Sticky         bool
	AccessMode     string
	AttachmentMode string
	MountOptions   *CSIMountOptions
	PerAlloc       bool
}

// CSIMountOptions are options of a CSI volume's mount.
type CSIMountOptions struct {
	FSType     string
	MountFlags []string
}

// Multiregion runs a job in several regions (parsed; refused at submit).
type Multiregion struct {
	Strategy *MultiregionStrategy
	Regions  []*MultiregionRegion
}

// MultiregionStrategy is the order of a multiregion job.
type MultiregionStrategy struct {
	MaxParallel int
	OnFailure   string
}

// MultiregionRegion is one region of a multiregion job.
type MultiregionRegion struct {
	Name        string
	Count       int
	Datacenters []string
	NodePool    string
	Meta        map[string]string
}

// PeriodicConfig launches a job by a cron specification.
type PeriodicConfig struct {
	Enabled         bool
	Spec            string
	Specs           []string
	SpecType        string
	ProhibitOverlap bool
	TimeZone        string
	CatchUp         string // what becomes of missed launches: last ("" too), skip
}

// ParameterizedJobConfig makes a job a template for dispatches.
type ParameterizedJobConfig struct {
	Payload      string // optional, required, forbidden
	MetaRequired []string
	MetaOptional []string
}

// ScalingPolicy bounds and steers a group's count or a task's resources.
type ScalingPolicy struct {
	ID          string
	Namespace   string
	Type        string
	Target      map[string]string
	Policy      map[string]any
	Min         int64
	Max         int64
	Enabled     bool
	CreateIndex uint64
	ModifyIndex uint64
}

// Consul is a block of a product that Steppe does without (refused at submit).
type Consul struct {
	Namespace string
	Cluster   string
	Partition string
}

// Vault is a block of a product that Steppe does without (refused at submit).
type Vault struct {
	Policies             []string
	Role                 string
	Namespace            string
	Cluster              string
	Env                  bool
	DisableFile          bool
	ChangeMode           string
	ChangeSignal         string
	AllowTokenExpiration bool
}

// JobSubmission is the text a job came from.
type JobSubmission struct {
	Source        string
	Format        string // hcl2, json
	VariableFlags map[string]string
	Variables     string
}

// JobSummary counts a job's allocations by group.
type JobSummary struct {
	JobID       string
	Namespace   string
	Summary     map[string]TaskGroupSummary
	Children    *JobChildrenSummary
	CreateIndex uint64
	ModifyIndex uint64
}

// TaskGroupSummary counts the allocations of one group.
type TaskGroupSummary struct {
	Queued   int
	Complete int
	Failed   int
	Running  int
	Starting int
	Lost     int
	Unknown  int
}

// JobChildrenSummary counts the children of a periodic or parameterized job.
type JobChildrenSummary struct {
	Pending int64
	Running int64
	Dead    int64
}

// NamespacedID names a job, an allocation or a variable.
type NamespacedID struct {
	ID        string
	Namespace string
}
