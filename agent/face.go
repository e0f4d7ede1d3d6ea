package agent

import (
	"context"
	"runtime"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/agent/consensus/space"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/httpapi"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/operator"
	"github.com/steppe-project/steppe/internal/version"
	"github.com/steppe-project/steppe/model"
)

// face is what the agent shows over HTTP.
type face Agent

// Self implements httpapi.Agent.
func (f *face) Self() map[string]any {
	a := (*Agent)(f)
	conf := map[string]any{
		"Region": a.cfg.Region, "Datacenter": a.cfg.Datacenter, "Name": a.name, "DataDir": a.cfg.DataDir,
		"BindAddr": a.cfg.BindAddr, "LogLevel": strings.ToUpper(a.cfg.LogLevel), "DevMode": a.cfg.Dev, "Files": a.cfg.Files,
		"Ports":   map[string]int{"HTTP": a.cfg.Ports.HTTP, "RPC": a.cfg.Ports.RPC, "Serf": a.cfg.Ports.Serf, "WAN": a.cfg.Ports.WAN},
		"Version": map[string]string{"Version": version.Number, "Revision": version.Commit, "VersionPrerelease": ""},
		"ACL":     map[string]bool{"Enabled": false}, "UI": map[string]bool{"Enabled": a.cfg.UI.Enabled},
		"Server": map[string]any{"Enabled": a.cfg.Server.Enabled, "BootstrapExpect": a.cfg.Server.BootstrapExpect,
			"NonVotingServer": a.cfg.Server.NonVoting, "RedundancyZone": a.cfg.Server.RedundancyZone, "UpgradeVersion": a.cfg.Server.UpgradeVersion},
		"Client": map[string]any{"Enabled": a.cfg.Client.Enabled, "NodePool": a.cfg.Client.NodePool, "Meta": a.cfg.Client.MetaMap},
	}
	stats := map[string]map[string]string{"nomad": {"server": strconv.FormatBool(a.srv != nil), "version": version.Short()}}
	if a.srv != nil {
		raft := a.srv.host.RaftStats()
		stats["raft"], stats["disk"] = raft, diskStats(a.srv.host.Space())
		stats["feature"] = map[string]string{
			"active": strconv.Itoa(int(a.srv.store.Snapshot().FeatureLevel())), "understood": strconv.Itoa(int(understood())),
		}
		stats["nomad"]["leader"] = strconv.FormatBool(a.srv.host.Leadership().Self)
		stats["nomad"]["leader_addr"] = a.srv.host.Leadership().Addr
	}
	if a.cl != nil {
		stats["client"] = map[string]string{"node_id": a.cl.NodeID()}
	}
	var self httpapi.Member
	for _, m := range a.members() {
		if m.ID == a.id {
			self = httpapi.MemberOf(operator.Member(m))
		}
	}
	return map[string]any{"config": conf, "member": self, "stats": stats}
}

// Members implements httpapi.Agent.
func (f *face) Members() []*msg.Member {
	var out []*msg.Member
	for _, m := range (*Agent)(f).members() {
		out = append(out, operator.Member(m))
	}
	return out
}

// Health implements httpapi.Agent.
func (f *face) Health() map[string]httpapi.Health {
	a := (*Agent)(f)
	out := map[string]httpapi.Health{}
	if a.srv != nil {
		h := httpapi.Health{OK: true, Message: "ok"}
		if a.srv.host.Leadership().Addr == "" {
			h = httpapi.Health{Message: "no leader is known"}
		}
		if why := a.outdatedText(); why != "" {
			h = httpapi.Health{Message: why}
		}
		if st := a.srv.host.Space(); st.Level != space.Ample {
			h = httpapi.Health{Message: "the disk of the data directory is full: " + st.Text()}
		}
		out["server"] = h
	}
	if a.cl != nil {
		h := httpapi.Health{OK: true, Message: "ok"}
		if len(a.liveServers()) == 0 {
			h = httpapi.Health{Message: "no server is known"}
		}
		out["client"] = h
	}
	return out
}

// Monitor implements httpapi.Agent.
func (f *face) Monitor(ctx context.Context, level string, asJSON bool) (<-chan []byte, error) {
	return f.logs.Monitor(ctx, level, asJSON)
}

// Join implements httpapi.Membership.
func (f *face) Join(ctx context.Context, addrs []string, wan bool) (int, error) {
	pool, port := f.gossip, config.DefaultSerfPort
	if wan {
		if pool, port = f.wan, config.DefaultWANPort; pool == nil {
			return 0, model.Errorf(model.CodeInvalid, "this agent takes no part in the federation of regions: it is no server, or its ports.wan is -1; ask another")
		}
	}
	full := make([]string, len(addrs))
	for i, addr := range addrs {
		full[i] = withDefaultPort(addr, port)
	}
	return pool.Join(ctx, full)
}

// ForceLeave implements httpapi.Membership.
func (f *face) ForceLeave(name string) error {
	a := (*Agent)(f)
	for _, m := range append(a.members(), a.federated()...) {
		if m.ID != name && m.Meta.Name+"."+m.Meta.Region != name && m.Meta.Name != name {
			continue
		}
		if m.Status == gossip.StatusAlive {
			return model.Errorf(model.CodeConflict, "member %q is alive: it can leave by itself (steppe server leave)", name)
		}
		if m.Meta.Region != a.cfg.Region {
			return a.wan.ForceLeave(m.ID)
		}
		a.forgetWAN(m.ID)
		return a.gossip.ForceLeave(m.ID)
	}
	return model.Errorf(model.CodeNotFound, "no member %q", name)
}

// Leave implements httpapi.Membership.
func (f *face) Leave(ctx context.Context) error { return (*Agent)(f).Leave(ctx) }

// Schedulers implements httpapi.Agent.
func (f *face) Schedulers() (id string, count int) {
	switch n := f.cfg.Server.NumSchedulers; {
	case f.srv == nil:
		return "", 0
	case n != nil:
		return f.id, *n
	}
	return f.id, runtime.NumCPU()
}

// Reload implements httpapi.Agent.
func (f *face) Reload() error { return (*Agent)(f).Reload() }

// Servers implements httpapi.Membership.
func (f *face) Servers() []string {
	var out []string
	for _, m := range (*Agent)(f).liveServers() {
		out = append(out, m.Meta.RPCAddr)
	}
	return out
}
