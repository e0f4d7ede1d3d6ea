package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
)

// Problem is one fault: Path names the attribute ("server.encrypt"), Range its place
// in a file when it came from one.
type Problem struct {
	Path    string
	Message string
	Range   *hcl.Range
}

// String is file:line: path: message.
func (p Problem) String() string {
	s := p.Path + ": " + p.Message
	if p.Range != nil {
		s = fmt.Sprintf("%s:%d: %s", p.Range.Filename, p.Range.Start.Line, s)
	}
	return s
}

// Problems is a list of faults as an error.
type Problems []Problem

// Error lists one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxName bounds names, in bytes.
const maxName = 128

// isName reports whether s is letters, digits and bytes of also, the first a
// letter or digit.
func isName(s, also string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || i > 0 && strings.IndexByte(also, c) >= 0) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxName
}

// maxDiskReserveMB bounds what a server takes away from everything else.
const maxDiskReserveMB = 16 << 10

// checker collects problems.
type checker struct {
	c        *Config
	problems Problems
}

func (k *checker) bad(path, format string, args ...any) {
	p := Problem{Path: path, Message: fmt.Sprintf(format, args...)}
	if r, ok := k.c.places[path]; ok {
		p.Range = &r
	}
	k.problems = append(k.problems, p)
}

// Validate finds every fault of the finished configuration and the warnings to
// log. It changes nothing.
func (c *Config) Validate() (warnings []string, err error) {
	k := &checker{c: c}
	k.general()
	k.durations()
	if c.Server.Enabled {
		warnings = append(warnings, k.server()...)
	}
	if !c.Server.Enabled && len(c.Server.RetryJoinWAN) > 0 {
		k.bad("server.retry_join_wan", "regions federate through their servers, and this agent is none: remove the addresses")
	}
	if c.Client.Enabled {
		k.client()
	}
	k.unsupported()
	more, foreign := c.checkForeign()
	warnings = append(warnings, more...)
	k.problems = append(k.problems, foreign...)
	if c.Key() == "" && !c.Dev {
		warnings = append(warnings, "no encrypt key: gossip and RPC are neither encrypted nor authenticated (steppe operator gossip keyring generate makes one)")
	}
	if len(k.problems) > 0 {
		return warnings, k.problems
	}
	return warnings, nil
}

// Key is the region's key in base64, from either of its places.
func (c *Config) Key() string {
	if c.Encrypt != "" {
		return c.Encrypt
	}
	return c.Server.Encrypt
}

func (k *checker) general() {
	c := k.c
	if !c.Server.Enabled && !c.Client.Enabled {
		k.bad("server.enabled", "enable the server role, the client role or both (or start with -dev)")
	}
	if !isName(c.Region, "-") {
		k.bad("region", "%q is not a name of letters, digits and dashes", c.Region)
	}
	if !isName(c.Datacenter, "._-") {
		k.bad("datacenter", "%q is not a name of letters, digits, dots, dashes and underscores", c.Datacenter)
	}
	if c.Name != "" && !isName(c.Name, "._-") {
		k.bad("name", "%q is not a name of letters, digits, dots, dashes and underscores", c.Name)
	}
	if c.DataDir == "" {
		k.bad("data_dir", "is required: an absolute path where the agent keeps its state")
	} else if !filepath.IsAbs(c.DataDir) {
		k.bad("data_dir", "%q is not an absolute path", c.DataDir)
	}
	for path, p := range map[string]int{"ports.http": c.Ports.HTTP, "ports.rpc": c.Ports.RPC, "ports.serf": c.Ports.Serf} {
		if p < 0 || p > 65535 {
			k.bad(path, "%d is not a port (0 to 65535)", p)
		}
	}
	if p := c.Ports.WAN; p < NoWAN || p > 65535 {
		k.bad("ports.wan", "%d is not a port (0 to 65535, or -1: the region stands alone)", p)
	}
	switch c.LogLevel {
	case "trace", "debug", "info", "warn", "error", "TRACE", "DEBUG", "INFO", "WARN", "ERROR":
	default:
		k.bad("log_level", "%q is not one of trace, debug, info, warn, error", c.LogLevel)
	}
	if net.ParseIP(c.BindAddr) == nil {
		k.bad("bind_addr", "%q is not an IP address", c.BindAddr)
	}
	if key := c.Key(); key != "" {
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil || len(raw) != 32 {
			k.bad("encrypt", "is not 32 bytes in base64 (steppe operator gossip keyring generate makes one)")
		}
		if c.Encrypt != "" && c.Server.Encrypt != "" && c.Encrypt != c.Server.Encrypt {
			k.bad("server.encrypt", "differs from the top level's encrypt: keep one of them")
		}
	}
	k.tls()
}

func (k *checker) tls() {
	t := k.c.TLS
	if !t.HTTP && !t.RPC {
		return
	}
	for path, v := range map[string]string{"tls.ca_file": t.CAFile, "tls.cert_file": t.CertFile, "tls.key_file": t.KeyFile} {
		if v == "" {
			k.bad(path, "is required with tls.http or tls.rpc")
		}
	}
}

func (k *checker) server() (warnings []string) {
	s := k.c.Server
	if s.BootstrapExpect < 0 || s.BootstrapExpect > 7 {
		k.bad("server.bootstrap_expect", "%d: a cluster is founded by 1, 3, 5 or 7 servers (0: only join)", s.BootstrapExpect)
	} else if s.BootstrapExpect > 0 && s.BootstrapExpect%2 == 0 {
		warnings = append(warnings, fmt.Sprintf("server.bootstrap_expect = %d: an even number of servers tolerates no more failures than one less", s.BootstrapExpect))
	}
	if s.NumSchedulers != nil && (*s.NumSchedulers < 0 || *s.NumSchedulers > 64) {
		k.bad("server.num_schedulers", "%d is not between 0 and 64", *s.NumSchedulers)
	}
	if len(s.RetryJoinWAN) > 0 && k.c.Ports.WAN == NoWAN {
		k.bad("server.retry_join_wan", "ports.wan is -1, with which the region stands alone: give it a port (4649), or remove the addresses")
	}
	if s.RaftProtocol != 3 {
		k.bad("server.raft_protocol", "%d: only 3 exists", s.RaftProtocol)
	}
	for _, t := range s.EnabledSchedulers {
		switch t {
		case "service", "batch", "system", "sysbatch", "_core":
		default:
			k.bad("server.enabled_schedulers", "%q is not one of service, batch, system, sysbatch", t)
		}
	}
	if n := len(s.EnabledSchedulers); n > 0 && n < 4 {
		k.bad("server.enabled_schedulers", "a choice of schedulers is not supported by this version: remove the attribute")
	}
	if a := s.DefaultScheduler.Algorithm; a != "binpack" && a != "spread" {
		k.bad("server.default_scheduler_config.scheduler_algorithm", "%q is not binpack or spread", a)
	}
	k.seats()
	if s.DiskReserveMB < 1 || s.DiskReserveMB > maxDiskReserveMB {
		k.bad("server.disk_reserve_mb", "%d is not between 1 and %d", s.DiskReserveMB, maxDiskReserveMB)
	}
	if s.JobMaxPriority != 100 || s.JobDefaultPriority != 50 {
		k.bad("server.job_max_priority", "other priorities than 100 (greatest) and 50 (default) are not supported by this version")
	}
	return warnings
}

// Ways to activate feature levels.
const (
	FeatureAutomatic = "automatic"
	FeatureManual    = "manual"
)

// maxZone bounds a zone's name and an upgrade version: they are told to all agents
// in every message about the server.
const maxZone = 64

// seats checks what decides whether the server votes.
func (k *checker) seats() {
	s := k.c.Server
	if s.NonVoting && s.BootstrapExpect == 1 {
		k.bad("server.non_voting_server", "a server that founds a cluster alone (bootstrap_expect = 1) votes: remove one of the two")
	}
	if z := s.RedundancyZone; z != "" && (len(z) > maxZone || !isName(z, "-_.")) {
		k.bad("server.redundancy_zone", "%q is not a name of a zone: up to %d letters, digits, '-', '_' and '.', the first a letter or digit", z, maxZone)
	}
	if v := s.UpgradeVersion; v != "" {
		if _, err := version.NewVersion(v); err != nil || len(v) > maxZone {
			k.bad("server.upgrade_version", "%q is not a version such as 1.2.3", v)
		}
	}
	if f := s.FeatureActivation; f != FeatureAutomatic && f != FeatureManual {
		k.bad("server.feature_activation", "%q is not %s or %s", f, FeatureAutomatic, FeatureManual)
	}
	if a := k.c.Autopilot; a.MaxTrailingLogs < 0 || a.MinQuorum < 0 {
		k.bad("autopilot", "max_trailing_logs and min_quorum must not be negative")
	}
}

func (k *checker) client() {
	cl := k.c.Client
	if cl.MinDynamicPort < 1 || cl.MaxDynamicPort > 65535 || cl.MinDynamicPort > cl.MaxDynamicPort {
		k.bad("client.min_dynamic_port", "%d to %d is not a range of ports", cl.MinDynamicPort, cl.MaxDynamicPort)
	}
	if cl.NodePool == "all" || !isName(cl.NodePool, "_-") {
		k.bad("client.node_pool", "%q is not a node pool's name (\"all\" is built in)", cl.NodePool)
	}
	for path, v := range map[string]int{
		"client.gc_disk_usage_threshold": cl.GCDiskUsage, "client.gc_inode_usage_threshold": cl.GCInodeUsage,
	} {
		if v < 1 || v > 100 {
			k.bad(path, "%d is not a percentage", v)
		}
	}
	for path, v := range map[string]int{
		"client.cpu_total_compute": cl.CPUTotalCompute, "client.memory_total_mb": cl.MemoryTotalMB,
		"client.reserved.cpu": cl.Reserved.CPU, "client.reserved.memory": cl.Reserved.Memory, "client.reserved.disk": cl.Reserved.Disk,
		"client.gc_max_allocs": cl.GCMaxAllocs, "client.node_max_allocs": cl.NodeMaxAllocs,
	} {
		if v < 0 {
			k.bad(path, "%d is negative", v)
		}
	}
	for _, n := range cl.HostNetworks {
		if (n.CIDR == "") == (n.Interface == "") {
			k.bad("client.host_network["+n.Name+"]", "give either cidr or interface")
		} else if n.CIDR != "" {
			if _, _, err := net.ParseCIDR(n.CIDR); err != nil {
				k.bad("client.host_network["+n.Name+"].cidr", "%q is not a CIDR", n.CIDR)
			}
		}
	}
	for _, v := range cl.HostVolumes {
		if !filepath.IsAbs(v.Path) {
			k.bad("client.host_volume["+v.Name+"].path", "%q is not an absolute path", v.Path)
		}
	}
}

// unsupported refuses what is read but not acted on by this version.
func (k *checker) unsupported() {
	if k.c.ACL.Enabled {
		k.bad("acl.enabled", "access control is not supported by this version; starting without it would be unsafe")
	}
	if k.c.Client.CgroupParent != "" {
		k.bad("client.cgroup_parent", "another cgroup parent is not supported by this version: it is nomad or nomad.slice, as plugins expect")
	}
}

// durations checks every time given as text.
func (k *checker) durations() {
	s, cl := k.c.Server, k.c.Client
	for path, v := range map[string]string{
		"server.retry_interval": s.RetryInterval, "server.server_join.retry_interval": s.ServerJoin.RetryInterval,
		"server.heartbeat_grace": s.HeartbeatGrace, "server.min_heartbeat_ttl": s.MinHeartbeatTTL,
		"server.failover_heartbeat_ttl": s.FailoverHeartbeatTTL, "server.node_gc_threshold": s.NodeGCThreshold,
		"server.job_gc_interval": s.JobGCInterval, "server.job_gc_threshold": s.JobGCThreshold,
		"server.eval_gc_threshold": s.EvalGCThreshold, "server.batch_eval_gc_threshold": s.BatchEvalGCThreshold,
		"server.deployment_gc_threshold": s.DeploymentGC,
		"client.max_kill_timeout":        cl.MaxKillTimeout, "client.gc_interval": cl.GCInterval, "client.gc_max_age": cl.GCMaxAge,
		"client.server_join.retry_interval":   cl.ServerJoin.RetryInterval,
		"telemetry.collection_interval":       k.c.Telemetry.CollectionInterval,
		"limits.https_handshake_timeout":      k.c.Limits.HTTPSHandshakeTimeout,
		"limits.rpc_handshake_timeout":        k.c.Limits.RPCHandshakeTimeout,
		"autopilot.last_contact_threshold":    k.c.Autopilot.LastContactThreshold,
		"autopilot.server_stabilization_time": k.c.Autopilot.ServerStabilizationTime,
	} {
		if v == "" {
			continue
		}
		if d, err := time.ParseDuration(v); err != nil {
			k.bad(path, "%q is not a duration such as 30s or 5m", v)
		} else if d < 0 {
			k.bad(path, "%q is negative", v)
		}
	}
}

// Duration reads a time that Validate has passed; "" is 0.
func Duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}
