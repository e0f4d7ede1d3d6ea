package config

import "github.com/hashicorp/hcl/v2"

// Default ports.
const (
	DefaultHTTPPort = 4646
	DefaultRPCPort  = 4647
	DefaultSerfPort = 4648
	DefaultWANPort  = 4649
)

// NoWAN is the WAN port of a server that stands alone.
const NoWAN = -1

// Default is what an agent does when nothing is said. Neither role is enabled.
func Default() *Config {
	conns := 100
	cleanup := true
	return &Config{
		Region: "global", Datacenter: "dc1", BindAddr: "0.0.0.0", LogLevel: "info",
		Ports:     &Ports{HTTP: DefaultHTTPPort, RPC: DefaultRPCPort, Serf: DefaultSerfPort, WAN: DefaultWANPort},
		Addresses: &Addresses{}, Advertise: &Advertise{},
		Server: &Server{
			RetryInterval: "30s", RaftProtocol: 3, HeartbeatGrace: "0s", MinHeartbeatTTL: "2.75s",
			NodeGCThreshold: "24h", JobGCInterval: "5m", JobGCThreshold: "4h", EvalGCThreshold: "1h",
			BatchEvalGCThreshold: "24h", DeploymentGC: "1h", EventBufferSize: 100, JobTrackedVersions: 6,
			JobMaxPriority: 100, JobDefaultPriority: 50, DiskReserveMB: 64,
			ServerJoin:        &ServerJoin{},
			FeatureActivation: FeatureAutomatic,
			DefaultScheduler:  &Scheduler{Algorithm: "binpack", Preemption: &Preemption{}},
		},
		Client: &Client{
			NodePool: "default", MaxKillTimeout: "30s", MinDynamicPort: 20000, MaxDynamicPort: 32000,
			GCInterval: "1m", GCMaxAge: "24h", GCMaxAllocs: 50, GCDiskUsage: 80, GCInodeUsage: 70, GCParallel: 2,
			ServerJoin: &ServerJoin{}, Reserved: &Reserved{},
			MetaMap: map[string]string{}, OptionsMap: map[string]string{},
		},
		Telemetry: &Telemetry{}, ACL: &ACL{}, TLS: &TLS{},
		Limits: &Limits{
			HTTPSHandshakeTimeout: "5s", HTTPMaxConns: &conns, RPCHandshakeTimeout: "5s", RPCMaxConns: &conns,
		},
		Autopilot: &Autopilot{
			CleanupDeadServers: &cleanup, LastContactThreshold: "200ms", MaxTrailingLogs: 250,
			ServerStabilizationTime: "10s",
		},
		UI:     &UI{Enabled: true},
		places: map[string]hcl.Range{},
	}
}

// SetDev turns c into an agent of both roles on loopback with nothing kept: what
// -dev does. DataDir is given by the caller, who removes it.
func (c *Config) SetDev(dataDir string) {
	c.Dev = true
	c.BindAddr = "127.0.0.1"
	c.Ports.WAN = NoWAN
	c.DataDir = dataDir
	c.EnableDebug = true
	c.Server.Enabled, c.Server.BootstrapExpect = true, 1
	c.Client.Enabled = true
	c.Client.OptionsMap["driver.raw_exec.enable"] = "1"
}
