package agent

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/internal/version"
)

// rpcProtocol is the version of the RPC protocol that this binary speaks.
const rpcProtocol = 1

func (a *Agent) meta() gossip.Meta {
	m := gossip.Meta{
		Name: a.name, Region: a.cfg.Region, Datacenter: a.cfg.Datacenter, Client: a.cfg.Client.Enabled,
		HTTPAddr: a.ends.http.advertise, Build: version.Number, Protocol: rpcProtocol,
	}
	if a.srv != nil {
		m.Server, m.RPCAddr, m.Expect = true, a.ends.rpc.advertise, a.cfg.Server.BootstrapExpect
		m.Bootstrapped = a.srv.host.Bootstrapped()
		m.NonVoter, m.Zone, m.Upgrade = a.cfg.Server.NonVoting, a.cfg.Server.RedundancyZone, a.cfg.Server.UpgradeVersion
		m.Holds, m.Level = a.cfg.Server.FeatureActivation == config.FeatureManual, int(understood())
		if m.Bootstrapped {
			m.Active = int(a.srv.store.Snapshot().FeatureLevel())
		}
		if a.wan != nil {
			m.WANAddr = a.wan.Addr()
		}
	}
	return m
}

func (a *Agent) newGossip() (err error) {
	a.gossip, err = gossip.New(gossip.Config{
		ID: a.id, Bind: a.ends.serf.bind, Advertise: a.ends.serf.advertise, Meta: a.meta(), Keys: a.ring.Keys(),
		RetryJoin: a.joinAddrs(), Logger: a.log.With("component", "gossip"),
	})
	return err
}

func (a *Agent) members() []gossip.Member { return a.gossip.Members() }

// forget makes a failed member count as left.
func (a *Agent) forget(id string) {
	a.forgetWAN(id)
	if err := a.gossip.ForceLeave(id); err != nil {
		a.log.Debug("gossip forgets nobody", "id", id, "error", err)
	}
}

func (a *Agent) liveServers() []gossip.Member {
	return slices.DeleteFunc(a.members(), func(m gossip.Member) bool {
		return !m.Meta.Server || m.Status != gossip.StatusAlive || m.Meta.RPCAddr == ""
	})
}

func (a *Agent) rpcAddrOf(id string) string {
	if a.gossip == nil {
		return ""
	}
	for _, m := range a.members() {
		if m.ID == id {
			return m.Meta.RPCAddr
		}
	}
	return ""
}

// announce tells the others when this server belongs to a cluster now, or the
// cluster's feature level is another one.
func (a *Agent) announce() {
	m := a.meta()
	if m == a.announced {
		return
	}
	if err := a.gossip.SetMeta(m); err != nil {
		a.log.Warn("gossip did not take the server's new state", "error", err)
		return
	}
	a.announced = m
}

// joinAddrs are the configured addresses of other agents, with gossip's port, and
// with them those remembered from the last run. An agent that was told of nobody
// is found by the others.
func (a *Agent) joinAddrs() []string {
	c, s := a.cfg.Client, a.cfg.Server
	var out []string
	for _, list := range [][]string{s.RetryJoin, s.StartJoin, s.ServerJoin.RetryJoin, s.ServerJoin.StartJoin, c.Servers, c.ServerJoin.RetryJoin, c.ServerJoin.StartJoin} {
		for _, addr := range list {
			out = append(out, withDefaultPort(addr, config.DefaultSerfPort))
		}
	}
	if len(out) > 0 {
		out = append(out, a.rememberedPeers()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func withDefaultPort(addr string, port int) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), strconv.Itoa(port))
}
