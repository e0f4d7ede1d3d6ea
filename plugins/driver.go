package plugins

import (
	"context"
	"errors"
	"io"
	"time"
)

// APIVersion is the plugin API version that driver and device plugins
// announce and the host requires (compat: "v0.1.0" is the only one in use).
const APIVersion = "v0.1.0"

// ErrTaskNotFound is returned by every task call with an unknown id. On the
// wire it travels as its text, which third-party plugins use too.
var ErrTaskNotFound = errors.New("task not found for given id")

// ErrUnavailable is wrapped by the errors of calls that did not reach a plugin
// process or lost it: the process died, is starting, or has been stopped.
var ErrUnavailable = errors.New("plugin process is not reachable")

// Driver runs tasks of one kind on one machine. Implementations are safe for
// concurrent use. A driver keeps no durable state: what it needs to find a
// task again is in the TaskHandle that StartTask returns and RecoverTask gets.
//
// The contract is split in the small interfaces below; Driver is their sum
// without the optional ones (SignalTasker, ExecTasker, EventSource,
// NetworkCreator), which the host discovers by Capabilities.
type Driver interface {
	Base
	// Capabilities are constant for the life of the process.
	Capabilities(ctx context.Context) (*Capabilities, error)
	// TaskConfigSchema describes the task's config block.
	TaskConfigSchema(ctx context.Context) (*Spec, error)
	Fingerprinter
	TaskRunner
	TaskObserver
}

// Base is what every plugin of any type answers.
type Base interface {
	PluginInfo(ctx context.Context) (*Info, error)
	// ConfigSchema describes the agent's plugin "name" { config {} } block; a
	// nil Spec means that no configuration is accepted.
	ConfigSchema(ctx context.Context) (*Spec, error)
	// SetConfig is called once before anything but PluginInfo and ConfigSchema.
	SetConfig(ctx context.Context, c *Config) error
}

// Fingerprinter reports what the driver can do on this machine.
type Fingerprinter interface {
	// Fingerprint sends one Fingerprint at once and another whenever something
	// changes, until ctx ends or an error closes the channel.
	Fingerprint(ctx context.Context) (<-chan *Fingerprint, error)
}

// TaskRunner starts, finds again and ends tasks.
type TaskRunner interface {
	// StartTask returns once the task runs. An error that wraps Recoverable
	// may go away by itself: the caller retries under the restart policy.
	StartTask(ctx context.Context, c *TaskConfig) (*TaskHandle, *NetworkOverride, error)
	// RecoverTask takes over a task that an earlier process started; idempotent.
	RecoverTask(ctx context.Context, h *TaskHandle) error
	// StopTask sends signal (the driver's default if empty), waits up to timeout
	// and then kills the task and all its children. The task stays inspectable.
	StopTask(ctx context.Context, id string, timeout time.Duration, signal string) error
	// DestroyTask forgets a task and frees what it holds; a running one is
	// an error unless force is set, then it is killed first.
	DestroyTask(ctx context.Context, id string, force bool) error
}

// TaskObserver reads what tasks do.
type TaskObserver interface {
	// WaitTask blocks until the task has exited; at once if it has. May be
	// called many times.
	WaitTask(ctx context.Context, id string) (*ExitResult, error)
	InspectTask(ctx context.Context, id string) (*TaskStatus, error)
	// TaskStats sends usage every interval until the task exits or ctx ends.
	TaskStats(ctx context.Context, id string, interval time.Duration) (<-chan *TaskUsage, error)
}

// SignalTasker is implemented by drivers with Capabilities.SendSignals.
type SignalTasker interface {
	SignalTask(ctx context.Context, id, signal string) error
}

// ExecTasker is implemented by drivers with Capabilities.Exec.
type ExecTasker interface {
	// ExecTask runs command inside the task and returns its output (each stream
	// bounded by MaxExecOutput).
	ExecTask(ctx context.Context, id string, command []string, timeout time.Duration) (*ExecResult, error)
	// ExecTaskStreaming runs command with the streams of opts attached and
	// returns its exit status.
	ExecTaskStreaming(ctx context.Context, id string, opts *ExecOptions) (*ExitResult, error)
}

// EventSource is implemented by drivers that say what they are doing for a task.
type EventSource interface {
	TaskEvents(ctx context.Context) (<-chan *TaskEvent, error)
}

// NetworkCreator is implemented by drivers with Capabilities.MustCreateNetwork.
type NetworkCreator interface {
	CreateNetwork(ctx context.Context, allocID, hostname string) (spec *NetworkIsolation, created bool, err error)
	DestroyNetwork(ctx context.Context, allocID string, spec *NetworkIsolation) error
}

// Lifecycle is implemented by plugins that prepare after SetConfig or clean up
// before their process is stopped. Tasks keep running over both.
type Lifecycle interface {
	Init(ctx context.Context) error
	Shutdown(ctx context.Context) error
}

// MaxExecOutput bounds each stream of a non-streaming ExecTask, in bytes.
const MaxExecOutput = 1 << 20

// PluginType is the kind of contract a plugin implements.
type PluginType int

// The plugin types of the wire.
const (
	TypeUnknown PluginType = 0
	TypeDriver  PluginType = 2
	TypeDevice  PluginType = 3
)

// Info names a plugin. Version is a semantic version.
type Info struct {
	Type        PluginType
	Name        string
	Version     string
	APIVersions []string
}

// Config is what SetConfig carries. Msgpack is the plugin's own configuration,
// encoded from its Spec (compat/plugins: one msgpack map with every key).
type Config struct {
	Msgpack    []byte
	APIVersion string
	MinPort    int
	MaxPort    int
	Topology   *Topology
}

// Topology describes the machine's processors, for drivers that compute shares.
type Topology struct {
	NodeIDs   []uint32
	Distances [][]uint32 // square, len(NodeIDs) each way
	Cores     []Core
	// OverrideTotalMHz and WithheldMHz come from the agent's configuration.
	OverrideTotalMHz uint64
	WithheldMHz      uint64
}

// Core is one logical processor; speeds in MHz, 0 = unknown.
type Core struct {
	SocketID, NodeID, CoreID          uint32
	Efficiency                        bool
	Disabled                          bool
	BaseSpeed, MaxSpeed, GuessedSpeed uint64
}

// FSIsolation says how a driver confines a task's view of the file system.
type FSIsolation int

// File system isolation modes.
const (
	FSNone FSIsolation = iota
	FSChroot
	FSImage
	FSUnveil
)

// NetMode is a network isolation mode a driver supports.
type NetMode int

// Network isolation modes.
const (
	NetHost NetMode = iota
	NetGroup
	NetTask
	NetNone
)

// Capabilities are a driver's constant properties.
type Capabilities struct {
	SendSignals          bool
	Exec                 bool
	FSIsolation          FSIsolation
	NetModes             []NetMode
	MustCreateNetwork    bool
	NoMounts             bool
	DisableLogCollection bool
	DynamicWorkloadUsers bool
	// RotatesLogs: the driver (its shim) writes and rotates the log files that
	// TaskConfig.Logs describes; the host then makes no FIFOs. An extension
	// field on the wire; third-party plugins leave it false.
	RotatesLogs bool
}

// Health of a driver on this machine.
type Health int

// Health states of the wire.
const (
	Undetected Health = iota
	Unhealthy
	Healthy
)

// Fingerprint is one report of a driver's presence.
type Fingerprint struct {
	Attributes  map[string]Attribute
	Health      Health
	Description string
	Err         error
}

// Attribute is a typed value with an optional unit. Exactly one field is set.
type Attribute struct {
	Float  *float64
	Int    *int64
	String *string
	Bool   *bool
	Unit   string
}

// TaskConfig is everything a driver needs to start one task.
type TaskConfig struct {
	ID               string // <alloc id>/<task>/<8 hex>
	Name             string
	AllocID          string
	JobID            string
	JobName          string
	ParentJobID      string
	GroupName        string
	Namespace        string
	NodeID           string
	NodeName         string
	Msgpack          []byte // the task's config block, encoded from TaskConfigSchema
	Env              map[string]string
	DeviceEnv        map[string]string
	Resources        *Resources
	Mounts           []*Mount
	Devices          []*DeviceNode
	User             string
	AllocDir         string // holds alloc/ and <task>/
	StdoutPath       string // FIFO to write to, or /dev/null; unused when Logs is set
	StderrPath       string
	Logs             *LogRotation
	NetworkIsolation *NetworkIsolation
	DNS              *DNSConfig
}

// LogRotation tells a driver with RotatesLogs where to write output:
// Dir/<Name>.stdout.N and .stderr.N, N rising, at most MaxFiles of MaxBytes each.
type LogRotation struct {
	Dir      string
	Name     string
	MaxFiles int
	MaxBytes int64
}

// Resources granted to a task.
type Resources struct {
	CPUShares   int64 // MHz
	MemoryMB    int64
	MemoryMaxMB int64 // 0 = MemoryMB
	Linux       *LinuxResources
	Ports       []PortMapping
	Networks    []TaskNetwork
}

// TaskNetwork is a network granted to the task itself rather than to its group,
// the older form that some drivers still read. Ports use Label and Value alone.
type TaskNetwork struct {
	Device, CIDR, IP        string
	MBits                   int
	ReservedPorts, DynPorts []PortMapping
}

// LinuxResources are the kernel's view of Resources.
type LinuxResources struct {
	CPUPeriod        int64 // microseconds
	CPUQuota         int64
	CPUShares        int64
	MemoryLimitBytes int64
	OOMScoreAdj      int64
	CpusetCPUs       string
	CpusetCgroup     string // path, see compat/plugins 1.9
	PercentTicks     float64
}

// PortMapping is one port of the allocation.
type PortMapping struct {
	Label  string
	Value  int
	To     int
	HostIP string
}

// Mount is a bind mount; PropagationMode is private, host-to-task or bidirectional.
type Mount struct {
	TaskPath, HostPath string
	ReadOnly           bool
	PropagationMode    string
	SELinuxLabel       string
	RequestName        string // of the volume, when the mount is one
}

// DeviceNode is a device file made visible in the task.
type DeviceNode struct {
	TaskPath, HostPath string
	Permissions        string // subset of "rwm"
}

// NetworkIsolation is a network namespace that the task joins.
type NetworkIsolation struct {
	Mode     NetMode
	Path     string
	Labels   map[string]string
	Hostname string
	Address  string // of Hostname, for /etc/hosts
}

// DNSConfig overrides /etc/resolv.conf.
type DNSConfig struct{ Servers, Searches, Options []string }

// TaskState is the driver's view of a task.
type TaskState int

// Task states of the wire.
const (
	StateUnknown TaskState = iota
	StateRunning
	StateExited
)

// TaskHandle finds a task again after any process restart. DriverState is opaque.
type TaskHandle struct {
	Version     int
	Config      *TaskConfig
	State       TaskState
	DriverState []byte
}

// NetworkOverride is a driver's own address for the task.
type NetworkOverride struct {
	PortMap       map[string]int
	IP            string
	AutoAdvertise bool
}

// ExitResult tells how a task ended. Err is the driver's word on it, in words a
// job's author understands ("out of memory: killed at 64 MB").
type ExitResult struct {
	ExitCode  int
	Signal    int
	OOMKilled bool
	Err       string
}

// TaskStatus is a driver's report on one task.
type TaskStatus struct {
	ID          string
	Name        string
	State       TaskState
	StartedAt   time.Time
	CompletedAt time.Time
	Exit        *ExitResult
	Attributes  map[string]string // e.g. "pid"
	Network     *NetworkOverride
}

// TaskUsage is one sample of a task's resource use.
type TaskUsage struct {
	Timestamp time.Time
	Total     Usage
	ByPID     map[string]Usage
}

// Usage of one process or of all of a task. Measured names the valid fields.
type Usage struct {
	CPU    CPUUsage
	Memory MemoryUsage
}

// CPUUsage in percent of one core and in MHz ticks; may be NaN from third parties.
type CPUUsage struct {
	SystemMode, UserMode, TotalTicks, Percent float64
	ThrottledPeriods, ThrottledTime           uint64
	Measured                                  []string
}

// MemoryUsage in bytes.
type MemoryUsage struct {
	RSS, Cache, Swap, Usage, MaxUsage, KernelUsage, KernelMaxUsage uint64
	Measured                                                       []string
}

// ExecResult of a non-streaming ExecTask.
type ExecResult struct {
	Stdout, Stderr []byte
	Exit           ExitResult
}

// ExecOptions of a streaming exec; Resize may be nil.
type ExecOptions struct {
	Command        []string
	TTY            bool
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan TermSize
}

// TermSize in character cells.
type TermSize struct{ Height, Width int }

// TaskEvent is a driver's message on a task for its author.
type TaskEvent struct {
	TaskID, AllocID, TaskName string
	Timestamp                 time.Time
	Message                   string
	Annotations               map[string]string
}
