// Package config is the agent's configuration: its types, defaults, files and
// checks. Block and attribute names are those of existing Nomad agent
// configurations; what this version does not act on is refused by name.
//
// Files (HCL, or JSON by its ending) are decoded one over the other onto
// Default(), flags come last. Validate changes nothing.
//
//	cfg, warnings, err := config.Load([]string{"/etc/steppe.d"}, config.Default())
package config

import "github.com/hashicorp/hcl/v2"

// Config is one agent's configuration. Times are Go duration texts.
type Config struct {
	// Region is the region's name: letters, digits, dashes. Default "global".
	Region string `hcl:"region,optional"`
	// Datacenter is where the machine stands. Default "dc1".
	Datacenter string `hcl:"datacenter,optional"`
	// Name is unique in the region. Default: the host's name.
	Name string `hcl:"name,optional"`
	// DataDir holds all state, an absolute path. Required outside dev mode.
	DataDir string `hcl:"data_dir,optional"`
	// PluginDir holds external plugins. Default data_dir/plugins.
	PluginDir string `hcl:"plugin_dir,optional"`
	// BindAddr is the address that all listeners use. Default 0.0.0.0 (dev: 127.0.0.1).
	BindAddr string `hcl:"bind_addr,optional"`
	// LogLevel is trace, debug, info, warn or error. Default info.
	LogLevel string `hcl:"log_level,optional"`
	// LogJSON writes logs as JSON lines. Default false.
	LogJSON bool `hcl:"log_json,optional"`
	// LogFile appends logs to a file too. Default none.
	LogFile string `hcl:"log_file,optional"`
	// EnableDebug serves pprof under /debug/pprof. Default false (dev: true).
	EnableDebug bool `hcl:"enable_debug,optional"`
	// LeaveOnInterrupt leaves the cluster for good on SIGINT. Default false.
	LeaveOnInterrupt bool `hcl:"leave_on_interrupt,optional"`
	// LeaveOnTerminate leaves the cluster for good on SIGTERM. Default false.
	LeaveOnTerminate bool `hcl:"leave_on_terminate,optional"`
	// DisableUpdateCheck is accepted: Steppe never calls home.
	DisableUpdateCheck bool `hcl:"disable_update_check,optional"`
	// Encrypt is the region's key: 32 bytes in base64, the same on every
	// agent, server or client. Gossip and RPC are then encrypted and authenticated.
	// server.encrypt is the same attribute's older place. Default none.
	Encrypt string `hcl:"encrypt,optional"`
	// HTTPHeaders are added to every HTTP answer.
	HTTPHeaders map[string]string `hcl:"http_api_response_headers,optional"`

	Ports     *Ports     `hcl:"ports,block"`
	Addresses *Addresses `hcl:"addresses,block"`
	Advertise *Advertise `hcl:"advertise,block"`
	Server    *Server    `hcl:"server,block"`
	Client    *Client    `hcl:"client,block"`
	Plugins   []*Plugin  `hcl:"plugin,block"`
	Telemetry *Telemetry `hcl:"telemetry,block"`
	ACL       *ACL       `hcl:"acl,block"`
	TLS       *TLS       `hcl:"tls,block"`
	Limits    *Limits    `hcl:"limits,block"`
	Autopilot *Autopilot `hcl:"autopilot,block"`
	UI        *UI        `hcl:"ui,block"`

	// Blocks of products that Steppe does without: see foreign.go.
	Vault     []*Foreign `hcl:"vault,block"`
	Consul    []*Foreign `hcl:"consul,block"`
	Sentinel  []*Foreign `hcl:"sentinel,block"`
	Audit     []*Foreign `hcl:"audit,block"`
	Keyring   []*Foreign `hcl:"keyring,block"`
	Reporting []*Foreign `hcl:"reporting,block"`
	Users     []*Foreign `hcl:"users,block"`
	RPC       []*Foreign `hcl:"rpc,block"`
	Eventlog  []*Foreign `hcl:"eventlog,block"`

	// Dev marks an ephemeral agent on loopback. Set by the -dev flag only.
	Dev bool
	// Files are the files that were loaded, for `agent/self`.
	Files []string
	// places maps an attribute path to where it was set.
	places map[string]hcl.Range
}

// Ports are the listeners' ports; 0 takes any free one.
type Ports struct {
	HTTP int `hcl:"http,optional"` // default 4646
	RPC  int `hcl:"rpc,optional"`  // default 4647
	Serf int `hcl:"serf,optional"` // gossip, TCP and UDP; default 4648
	// WAN is where servers gossip with those of other regions, TCP and UDP; -1 has
	// the region stand alone. Default 4649 (dev: -1). Clients have no use for it.
	WAN int `hcl:"wan,optional"`
}

// Addresses override BindAddr for one listener.
type Addresses struct {
	HTTP string `hcl:"http,optional"`
	RPC  string `hcl:"rpc,optional"`
	Serf string `hcl:"serf,optional"`
	WAN  string `hcl:"wan,optional"`
}

// Advertise are the addresses (host or host:port) that others are told.
// Default: the bind address, or the default route's address for 0.0.0.0.
type Advertise struct {
	HTTP string `hcl:"http,optional"`
	// RPC is for agents of all regions: federated servers reach each other there.
	RPC  string `hcl:"rpc,optional"`
	Serf string `hcl:"serf,optional"`
	WAN  string `hcl:"wan,optional"`
}

// Server configures the server role.
type Server struct {
	Enabled bool `hcl:"enabled,optional"`
	// BootstrapExpect is the number of servers that found a new cluster
	// together: 0 (join only) to 7, odd. Default 0.
	BootstrapExpect int `hcl:"bootstrap_expect,optional"`
	// DataDir defaults to data_dir/server.
	DataDir string `hcl:"data_dir,optional"`
	// NumSchedulers is the number of parallel scheduler workers, 0..64; 0 only
	// queues. Default: the number of cores.
	NumSchedulers *int `hcl:"num_schedulers,optional"`
	// EnabledSchedulers is accepted when it lists all types (the default).
	EnabledSchedulers []string `hcl:"enabled_schedulers,optional"`
	// Encrypt is an older place of the top level's.
	Encrypt string `hcl:"encrypt,optional"`
	// RetryJoin and StartJoin are addresses of agents of any role.
	RetryJoin        []string    `hcl:"retry_join,optional"`
	StartJoin        []string    `hcl:"start_join,optional"`
	RetryMax         int         `hcl:"retry_max,optional"`
	RetryInterval    string      `hcl:"retry_interval,optional"`
	RejoinAfterLeave bool        `hcl:"rejoin_after_leave,optional"`
	ServerJoin       *ServerJoin `hcl:"server_join,block"`
	// RetryJoinWAN are addresses of servers of other regions, host or host:port with
	// the WAN port, tried until each has answered. One server of each region is
	// enough: its region mates are told. Default none.
	RetryJoinWAN []string `hcl:"retry_join_wan,optional"`
	RaftProtocol int      `hcl:"raft_protocol,optional"` // 3, the only one
	// NonVoting servers follow and answer, and never vote. Default false.
	NonVoting bool `hcl:"non_voting_server,optional"`
	// RedundancyZone is the zone that this server shares a vote with others of,
	// while autopilot's EnableRedundancyZones is on. Default none.
	RedundancyZone string `hcl:"redundancy_zone,optional"`
	// UpgradeVersion counts for migrations instead of the binary's version while
	// autopilot's EnableCustomUpgrades is on. Default none.
	UpgradeVersion string `hcl:"upgrade_version,optional"`
	// FeatureActivation is "automatic", or "manual": while this server lives,
	// feature levels are activated by hand only. Default automatic.
	FeatureActivation string `hcl:"feature_activation,optional"`
	// HeartbeatGrace is added to a node's lease before it is declared lost.
	// Default 0s; at most 1h.
	HeartbeatGrace string `hcl:"heartbeat_grace,optional"`
	// MinHeartbeatTTL is the least lease. Default 2.75s.
	MinHeartbeatTTL      string  `hcl:"min_heartbeat_ttl,optional"`
	MaxHeartbeatsPerSec  float64 `hcl:"max_heartbeats_per_second,optional"`
	FailoverHeartbeatTTL string  `hcl:"failover_heartbeat_ttl,optional"`
	NodeGCThreshold      string  `hcl:"node_gc_threshold,optional"`       // default 24h
	JobGCInterval        string  `hcl:"job_gc_interval,optional"`         // default 5m
	JobGCThreshold       string  `hcl:"job_gc_threshold,optional"`        // default 4h
	EvalGCThreshold      string  `hcl:"eval_gc_threshold,optional"`       // default 1h
	BatchEvalGCThreshold string  `hcl:"batch_eval_gc_threshold,optional"` // default 24h
	DeploymentGC         string  `hcl:"deployment_gc_threshold,optional"` // default 1h
	// EventBufferSize is the number of change batches kept for the event stream.
	EventBufferSize int `hcl:"event_buffer_size,optional"`
	// DiskReserveMB is how many mebibytes of the disk a server keeps taken, to be
	// given up when the disk is full so that operators can act: 1 to 16384, at most
	// a sixteenth of the file system is taken. Default 64.
	DiskReserveMB int `hcl:"disk_reserve_mb,optional"`
	// JobTrackedVersions is the number of job versions kept. Default 6.
	JobTrackedVersions int        `hcl:"job_tracked_versions,optional"`
	JobMaxPriority     int        `hcl:"job_max_priority,optional"`
	JobDefaultPriority int        `hcl:"job_default_priority,optional"`
	DefaultScheduler   *Scheduler `hcl:"default_scheduler_config,block"`
}

// ServerJoin is the newer form of the join attributes.
type ServerJoin struct {
	RetryJoin     []string `hcl:"retry_join,optional"`
	StartJoin     []string `hcl:"start_join,optional"`
	RetryMax      int      `hcl:"retry_max,optional"`
	RetryInterval string   `hcl:"retry_interval,optional"`
}

// Scheduler is the scheduler configuration a new cluster starts with.
type Scheduler struct {
	Algorithm              string      `hcl:"scheduler_algorithm,optional"`
	MemoryOversubscription bool        `hcl:"memory_oversubscription_enabled,optional"`
	RejectJobRegistration  bool        `hcl:"reject_job_registration,optional"`
	PauseEvalBroker        bool        `hcl:"pause_eval_broker,optional"`
	Preemption             *Preemption `hcl:"preemption_config,block"`
}

// Preemption says which types of jobs may have others give way; nil leaves what is
// usual: those of system jobs.
type Preemption struct {
	Batch    *bool `hcl:"batch_scheduler_enabled,optional"`
	System   *bool `hcl:"system_scheduler_enabled,optional"`
	Sysbatch *bool `hcl:"sysbatch_scheduler_enabled,optional"`
	Service  *bool `hcl:"service_scheduler_enabled,optional"`
}

// Client configures the role that runs tasks.
type Client struct {
	Enabled bool `hcl:"enabled,optional"`
	// StateDir and AllocDir default to data_dir/client and data_dir/alloc.
	StateDir string `hcl:"state_dir,optional"`
	AllocDir string `hcl:"alloc_dir,optional"`
	// Servers are addresses of any agents of the region, host[:port]. Joined by gossip.
	Servers    []string    `hcl:"servers,optional"`
	ServerJoin *ServerJoin `hcl:"server_join,block"`
	NodeClass  string      `hcl:"node_class,optional"`
	NodePool   string      `hcl:"node_pool,optional"`

	MetaMap    map[string]string `hcl:"meta,optional"`
	OptionsMap map[string]string `hcl:"options,optional"`

	// NetworkInterface is the one whose address tasks get. Default: the default
	// route's (dev: loopback).
	NetworkInterface string `hcl:"network_interface,optional"`
	// CPUTotalCompute (MHz) and MemoryTotalMB override what is detected; 0 = detect.
	CPUTotalCompute int    `hcl:"cpu_total_compute,optional"`
	MemoryTotalMB   int    `hcl:"memory_total_mb,optional"`
	DiskTotalMB     int    `hcl:"disk_total_mb,optional"`
	DiskFreeMB      int    `hcl:"disk_free_mb,optional"`
	ReservableCores string `hcl:"reservable_cores,optional"`
	MinDynamicPort  int    `hcl:"min_dynamic_port,optional"` // default 20000
	MaxDynamicPort  int    `hcl:"max_dynamic_port,optional"` // default 32000
	MaxKillTimeout  string `hcl:"max_kill_timeout,optional"` // default 30s
	NodeMaxAllocs   int    `hcl:"node_max_allocs,optional"`
	GCInterval      string `hcl:"gc_interval,optional"`             // default 1m
	GCMaxAge        string `hcl:"gc_max_age,optional"`              // of ended allocations, default 24h
	GCMaxAllocs     int    `hcl:"gc_max_allocs,optional"`           // default 50
	GCDiskUsage     int    `hcl:"gc_disk_usage_threshold,optional"` // percent, default 80
	GCInodeUsage    int    `hcl:"gc_inode_usage_threshold,optional"`
	GCParallel      int    `hcl:"gc_parallel_destroys,optional"`
	NoHostUUID      bool   `hcl:"no_host_uuid,optional"`
	CgroupParent    string `hcl:"cgroup_parent,optional"`
	PublishMetrics  bool   `hcl:"publish_allocation_metrics,optional"`

	ChrootEnv map[string]string `hcl:"chroot_env,optional"`

	Reserved     *Reserved      `hcl:"reserved,block"`
	HostVolumes  []*HostVolume  `hcl:"host_volume,block"`
	HostNetworks []*HostNetwork `hcl:"host_network,block"`
}

// Reserved is withheld from tasks.
type Reserved struct {
	CPU           int    `hcl:"cpu,optional"` // MHz
	Cores         string `hcl:"cores,optional"`
	Memory        int    `hcl:"memory,optional"` // MB
	Disk          int    `hcl:"disk,optional"`   // MB
	ReservedPorts string `hcl:"reserved_ports,optional"`
}

// HostVolume offers a directory as a volume.
type HostVolume struct {
	Name     string `hcl:"name,label"`
	Path     string `hcl:"path,optional"`
	ReadOnly bool   `hcl:"read_only,optional"`
}

// HostNetwork names a network of the host by CIDR or interface.
type HostNetwork struct {
	Name          string `hcl:"name,label"`
	CIDR          string `hcl:"cidr,optional"`
	Interface     string `hcl:"interface,optional"`
	ReservedPorts string `hcl:"reserved_ports,optional"`
}

// Plugin configures a driver; Name is the file's name in plugin_dir, or that of
// a built-in driver.
type Plugin struct {
	Name   string     `hcl:"name,label"`
	Args   []string   `hcl:"args,optional"`
	Config *FreeAttrs `hcl:"config,block"`
}

// Telemetry steers metrics. They are always collected and served at /v1/metrics.
type Telemetry struct {
	PrometheusMetrics  bool   `hcl:"prometheus_metrics,optional"`
	DisableHostname    bool   `hcl:"disable_hostname,optional"`
	PublishAlloc       bool   `hcl:"publish_allocation_metrics,optional"`
	PublishNode        bool   `hcl:"publish_node_metrics,optional"`
	CollectionInterval string `hcl:"collection_interval,optional"`
	UseNodeName        bool   `hcl:"use_node_name,optional"`
}

// ACL is parsed; enabling it is refused by this version.
type ACL struct {
	Enabled bool `hcl:"enabled,optional"`
}

// TLS encrypts HTTP and RPC with certificates from files.
type TLS struct {
	HTTP              bool   `hcl:"http,optional"`
	RPC               bool   `hcl:"rpc,optional"`
	CAFile            string `hcl:"ca_file,optional"`
	CertFile          string `hcl:"cert_file,optional"`
	KeyFile           string `hcl:"key_file,optional"`
	VerifyServerHost  bool   `hcl:"verify_server_hostname,optional"`
	VerifyHTTPSClient bool   `hcl:"verify_https_client,optional"`
}

// Limits bound connections.
type Limits struct {
	HTTPSHandshakeTimeout string `hcl:"https_handshake_timeout,optional"`
	// HTTPMaxConns bounds connections of one address. Default 100; 0 = none.
	HTTPMaxConns        *int   `hcl:"http_max_conns_per_client,optional"`
	RPCHandshakeTimeout string `hcl:"rpc_handshake_timeout,optional"`
	RPCMaxConns         *int   `hcl:"rpc_max_conns_per_client,optional"`
}

// Autopilot is the autopilot configuration that a cluster starts with: it counts
// until somebody sets another one.
type Autopilot struct {
	CleanupDeadServers      *bool  `hcl:"cleanup_dead_servers,optional"`
	LastContactThreshold    string `hcl:"last_contact_threshold,optional"`
	MaxTrailingLogs         int    `hcl:"max_trailing_logs,optional"`
	MinQuorum               int    `hcl:"min_quorum,optional"`
	ServerStabilizationTime string `hcl:"server_stabilization_time,optional"`
	EnableRedundancyZones   bool   `hcl:"enable_redundancy_zones,optional"`
	DisableUpgradeMigration bool   `hcl:"disable_upgrade_migration,optional"`
	EnableCustomUpgrades    bool   `hcl:"enable_custom_upgrades,optional"`
}

// UI steers the web console.
type UI struct {
	Enabled bool `hcl:"enabled,optional"`
}

// FreeAttrs is a block of free attributes.
type FreeAttrs struct {
	Body hcl.Body `hcl:",remain"`
}
