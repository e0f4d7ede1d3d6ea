package agent

import (
	"context"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/client"
	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// clientRole is what an agent has more when it runs tasks.
type clientRole struct {
	client   *client.Client
	handlers *rpc.Server
	allocDir string
	id       string
}

// NodeID implements httpapi.Local.
func (c *clientRole) NodeID() string { return c.id }

// HasAlloc implements httpapi.Local.
func (c *clientRole) HasAlloc(id string) bool {
	if uuid.Validate(id) != nil {
		return false
	}
	_, err := os.Stat(filepath.Join(c.allocDir, id))
	return err == nil
}

// Caller implements httpapi.Local.
func (c *clientRole) Caller() rpc.Caller { return c.handlers.Caller() }

func (c *clientRole) run(ctx context.Context) error { return c.client.Run(ctx) }

// stopTasks has the client stop and remove everything when it ends.
func (c *clientRole) stopTasks() { c.client.Retire() }

// reach is how a client finds servers: its own process, or those gossip knows.
type reach struct{ a *Agent }

// Addrs implements session.Servers.
func (r reach) Addrs() []string {
	if r.a.srv != nil {
		return []string{r.a.ends.rpc.advertise}
	}
	var out []string
	for _, m := range r.a.liveServers() {
		out = append(out, m.Meta.RPCAddr)
	}
	return out
}

// At implements session.Servers.
func (r reach) At(addr string) rpc.Caller {
	if r.a.srv != nil && addr == r.a.ends.rpc.advertise {
		return r.a.srv.rpc.Caller()
	}
	return r.a.pool.At(addr)
}

func (a *Agent) newClient() error {
	conf, err := a.clientConfig()
	if err != nil {
		return err
	}
	rpc.Handle(conf.Handlers, msg.AgentKeyring, a.keyring)
	role := &clientRole{handlers: conf.Handlers, allocDir: conf.AllocDir, id: a.id}
	if role.client, err = client.New(context.Background(), conf); err != nil {
		return err
	}
	a.cl = role
	return a.registry.Register(role.client.Collector())
}

func (a *Agent) clientConfig() (client.Config, error) {
	cl := a.cfg.Client
	conf := client.DefaultConfig()
	conf.Region, conf.Datacenter, conf.Name, conf.NodeID = a.cfg.Region, a.cfg.Datacenter, a.name, a.id
	conf.NodePool, conf.NodeClass, conf.Meta, conf.Options = cl.NodePool, cl.NodeClass, cl.MetaMap, cl.OptionsMap
	conf.StateDir = orDefault(cl.StateDir, filepath.Join(a.cfg.DataDir, "client"))
	conf.AllocDir = orDefault(cl.AllocDir, filepath.Join(a.cfg.DataDir, "alloc"))
	conf.PluginDir = orDefault(a.cfg.PluginDir, filepath.Join(a.cfg.DataDir, "plugins"))
	conf.Dev, conf.HTTPAddr, conf.TLS = a.cfg.Dev, a.ends.http.advertise, a.cfg.TLS.HTTP
	conf.Servers, conf.Handlers = reach{a}, rpc.NewServer(rpc.Config{Logger: a.log.With("component", "rpc")})
	conf.Plugins = map[string]driverset.Block{}
	for _, p := range a.cfg.Plugins {
		m, err := p.Config.Map()
		if err != nil {
			return conf, model.Errorf(model.CodeInvalid, "plugin %q: %w", p.Name, err)
		}
		conf.Plugins[p.Name] = driverset.Block{Args: p.Args, Config: m}
	}
	conf.ChrootEnv = cl.ChrootEnv
	r := cl.Reserved
	conf.Reserved = client.Reserved{MHz: r.CPU, Cores: r.Cores, MemoryMB: r.Memory, DiskMB: r.Disk, Ports: r.ReservedPorts}
	for _, n := range cl.HostNetworks {
		conf.HostNetworks = append(conf.HostNetworks, &model.HostNetworkInfo{Name: n.Name, CIDR: n.CIDR, Interface: n.Interface, ReservedPorts: n.ReservedPorts})
	}
	conf.HostVolumes = map[string]*model.HostVolumeInfo{}
	for _, v := range cl.HostVolumes {
		conf.HostVolumes[v.Name] = &model.HostVolumeInfo{Path: v.Path, ReadOnly: v.ReadOnly}
	}
	conf.NetworkInterface, conf.TotalMHz, conf.MemoryMB = cl.NetworkInterface, cl.CPUTotalCompute, cl.MemoryTotalMB
	conf.DiskMB, conf.DiskFreeMB, conf.ReservableCores = cl.DiskTotalMB, cl.DiskFreeMB, cl.ReservableCores
	conf.MinDynamicPort, conf.MaxDynamicPort, conf.NodeMaxAllocs = cl.MinDynamicPort, cl.MaxDynamicPort, cl.NodeMaxAllocs
	conf.MaxKillTimeout = config.Duration(cl.MaxKillTimeout)
	conf.GC.MaxAge = config.Duration(cl.GCMaxAge)
	conf.GC.Interval, conf.GC.MaxAllocs = config.Duration(cl.GCInterval), cl.GCMaxAllocs
	conf.GC.DiskPercent, conf.GC.InodePercent = float64(cl.GCDiskUsage), float64(cl.GCInodeUsage)
	conf.PublishNode = a.cfg.Telemetry.PublishNode
	conf.PublishAllocs = a.cfg.Telemetry.PublishAlloc || cl.PublishMetrics
	conf.Logger = a.log.With("component", "client")
	return conf, nil
}

func orDefault(value, def string) string {
	if value == "" {
		return def
	}
	return value
}
