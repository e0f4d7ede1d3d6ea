package msg

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

//go:generate go tool msgp -file client.go -tests=false -io=false

// AllocFileRequest reads the file system of an allocation. Path is relative to
// the allocation directory and cannot leave it.
type AllocFileRequest struct {
	QueryOptions
	AllocID string
	Path    string
	Offset  int64
	Limit   int64  // 0 = to the end
	Origin  string // start, end
	Follow  bool
}

// AllocLogsRequest reads a task's log across its rotated files.
type AllocLogsRequest struct {
	QueryOptions
	AllocID string
	Task    string
	Type    string // stdout, stderr
	Offset  int64
	Origin  string // start, end
	Follow  bool
}

// FileInfo describes a file of an allocation.
type FileInfo struct {
	Name        string
	IsDir       bool
	Size        int64
	FileMode    string
	ModTime     time.Time
	ContentType string
}

// FileInfosResponse is a directory (or the one file asked for).
type FileInfosResponse struct {
	QueryMeta
	Files []*FileInfo
}

// FileFrame is a piece of a file or log; the JSON form is the API's. An empty
// one is a heartbeat.
type FileFrame struct {
	Offset    int64  `json:",omitempty"` // position after Data
	Data      []byte `json:",omitempty"`
	File      string `json:",omitempty"`
	FileEvent string `json:",omitempty"` // "file deleted", "file truncated"
}

// AllocRestartRequest restarts one task, or all of an allocation.
type AllocRestartRequest struct {
	WriteOptions
	AllocID  string
	TaskName string
	AllTasks bool // also those that ended
}

// AllocSignalRequest signals one task, or all ("").
type AllocSignalRequest struct {
	WriteOptions
	AllocID string
	Task    string
	Signal  string
}

// AllocStatsResponse is the resource usage of an allocation, as JSON of the API.
type AllocStatsResponse struct {
	QueryMeta
	Stats *AllocResourceUsage
}

// AllocResourceUsage sums up an allocation's tasks. Timestamp in unix ns.
type AllocResourceUsage struct {
	ResourceUsage *ResourceUsage
	Tasks         map[string]*TaskResourceUsage
	Timestamp     int64
}

// TaskResourceUsage is one task's usage.
type TaskResourceUsage struct {
	ResourceUsage *ResourceUsage
	Timestamp     int64
	Pids          map[string]*ResourceUsage
}

// ResourceUsage of a process or a group.
type ResourceUsage struct {
	MemoryStats *MemoryStats
	CpuStats    *CpuStats
	DeviceStats []map[string]any
}

// MemoryStats in bytes.
type MemoryStats struct {
	RSS, Cache, Swap, Usage, MaxUsage, KernelUsage, KernelMaxUsage uint64
	Measured                                                       []string
}

// CpuStats in percent of a core and MHz ticks.
type CpuStats struct {
	SystemMode, UserMode, TotalTicks, Percent float64
	ThrottledPeriods, ThrottledTime           uint64
	Measured                                  []string
}

// NodeStatsRequest reads a machine's usage.
type NodeStatsRequest struct {
	QueryOptions
	NodeID string
}

// HostStats is a machine's usage as the API's JSON.
type HostStats struct {
	Timestamp        int64
	Memory           *HostMemoryStats
	CPU              []*HostCPUStats
	DiskStats        []*HostDiskStats
	AllocDirStats    *HostDiskStats
	Uptime           uint64
	CPUTicksConsumed float64
}

// HostMemoryStats in bytes.
type HostMemoryStats struct{ Total, Available, Used, Free uint64 }

// HostCPUStats in percent.
type HostCPUStats struct {
	CPU                                     string
	User, System, Idle, Total, TotalPercent float64
}

// HostDiskStats in bytes and percent.
type HostDiskStats struct {
	Device, Mountpoint             string
	Size, Used, Available          uint64
	UsedPercent, InodesUsedPercent float64
}

// HostStatsResponse carries HostStats.
type HostStatsResponse struct {
	QueryMeta
	Stats *HostStats
}

// ClientGCRequest collects ended allocations of a node at once (AllocID "" = all).
type ClientGCRequest struct {
	WriteOptions
	NodeID  string
	AllocID string
}

// NodeMetaResponse is a node's static and dynamic metadata.
type NodeMetaResponse struct {
	QueryMeta
	Node *model.Node
}
