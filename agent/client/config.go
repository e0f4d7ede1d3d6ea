package client

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/client/fingerprint"
	"github.com/steppe-project/steppe/agent/client/session"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/model"
)

// Config says how a node agent works. Zero values mean the defaults of
// DefaultConfig where one is named.
type Config struct {
	// Region, Datacenter, Name, NodePool, NodeClass and Meta are the node's.
	// Name defaults to the host's name.
	Region, Datacenter, Name, NodePool, NodeClass string
	Meta                                          map[string]string
	// NodeID is the node's id for its whole life; "" keeps one in StateDir. An
	// agent gives its own, so that gossip and servers speak of the same node.
	NodeID string

	// StateDir, AllocDir and PluginDir are absolute; PluginDir may be empty.
	StateDir, AllocDir, PluginDir string
	// Dev: when the client ends, everything it runs ends and is removed.
	Dev bool

	// HTTPAddr is the address of this agent's HTTP API, host:port.
	HTTPAddr string
	TLS      bool

	// Servers are where sessions go; Handlers is the table that the client adds
	// its own handlers to, and that answers through its tunnel.
	Servers  session.Servers
	Handlers *rpc.Server

	// Options are the client's free options (driver.raw_exec.enable, ...), Plugins
	// the plugin blocks by name, ChrootEnv what the exec driver's root holds.
	Options   map[string]string
	Plugins   map[string]driverset.Block
	ChrootEnv map[string]string

	Reserved     Reserved
	HostNetworks []*model.HostNetworkInfo
	HostVolumes  map[string]*model.HostVolumeInfo

	// Overrides of what is found out about the machine; see fingerprint.Config.
	NetworkInterface   string
	TotalMHz, MemoryMB int
	DiskMB, DiskFreeMB int
	ReservableCores    string
	MinDynamicPort     int // default 20000
	MaxDynamicPort     int // default 32000
	NodeMaxAllocs      int // 0 = no limit
	MaxKillTimeout     time.Duration
	GC                 GC
	// PublishNode and PublishAllocs add figures of the machine, and of each task,
	// to those that Collector gives.
	PublishNode, PublishAllocs bool
	// Environ is the environment that tasks may inherit, "NAME=value".
	Environ []string
	Logger  *slog.Logger
}

// Reserved is withheld from tasks.
type Reserved struct {
	MHz      int
	Cores    string // "0-1,4"
	MemoryMB int
	DiskMB   int
	Ports    string // "22,80,8500-8600"
}

// GC is when ended allocations are removed.
type GC struct {
	Interval     time.Duration // default 1m
	MaxAllocs    int           // default 50
	MaxAge       time.Duration // default 24h
	DiskPercent  float64       // default 80
	InodePercent float64       // default 70
}

// DefaultConfig holds the defaults.
func DefaultConfig() Config {
	return Config{
		Region: model.DefaultRegion, Datacenter: "dc1", NodePool: model.DefaultNodePool,
		MinDynamicPort: 20000, MaxDynamicPort: 32000, MaxKillTimeout: 30 * time.Second,
		GC: GC{Interval: time.Minute, MaxAllocs: 50, MaxAge: 24 * time.Hour, DiskPercent: 80, InodePercent: 70},
	}
}

// Validate names everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !filepath.IsAbs(c.StateDir) || !filepath.IsAbs(c.AllocDir) {
		bad("state_dir %q and alloc_dir %q must be absolute paths", c.StateDir, c.AllocDir)
	}
	if c.Servers == nil || c.Handlers == nil || c.Logger == nil {
		bad("servers, handlers and logger are required")
	}
	if c.MinDynamicPort < 1 || c.MaxDynamicPort > 65535 || c.MinDynamicPort > c.MaxDynamicPort {
		bad("dynamic ports %d to %d are not a range of ports", c.MinDynamicPort, c.MaxDynamicPort)
	}
	if c.GC.Interval <= 0 {
		bad("gc_interval must be above zero")
	}
	if c.MaxKillTimeout <= 0 {
		bad("max_kill_timeout must be above zero")
	}
	if c.Reserved.MHz < 0 || c.Reserved.MemoryMB < 0 || c.Reserved.DiskMB < 0 {
		bad("reserved resources must not be negative")
	}
	if c.Reserved.Cores != "" {
		if _, err := fingerprint.ParseList(c.Reserved.Cores); err != nil {
			bad("reserved cores: %w", err)
		}
	}
	return errors.Join(errs...)
}
