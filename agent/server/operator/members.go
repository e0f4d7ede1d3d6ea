package operator

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"

	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model/feature"
)

// Member is an agent in the shape that clients of serf read.
func Member(m gossip.Member) *msg.Member {
	host, port, err := net.SplitHostPort(m.Addr)
	if err != nil {
		host = m.Addr
	}
	n, _ := strconv.Atoi(port)
	role := "node" // serf's word for an agent that is no server
	tags := map[string]string{
		"id": m.ID, "region": m.Meta.Region, "dc": m.Meta.Datacenter, "build": m.Meta.Build, "http_addr": m.Meta.HTTPAddr,
		"vsn": strconv.Itoa(m.Meta.Protocol),
	}
	if m.Meta.Server {
		role = "nomad"
		rpcHost, rpcPort, err := net.SplitHostPort(m.Meta.RPCAddr)
		if err == nil {
			tags["rpc_addr"], tags["port"] = rpcHost, rpcPort
		}
		tags["raft_vsn"] = "3"
		if m.Meta.Expect > 0 {
			tags["expect"] = strconv.Itoa(m.Meta.Expect)
		}
		for name, v := range map[string]string{
			"wan_addr": m.Meta.WANAddr, "redundancy_zone": m.Meta.Zone, "upgrade_version": m.Meta.Upgrade,
		} {
			if v != "" {
				tags[name] = v
			}
		}
		if m.Meta.NonVoter {
			tags["nonvoter"] = "1"
		}
		tags["feature_level"] = strconv.Itoa(max(m.Meta.Level, int(feature.Base)))
	}
	tags["role"] = role
	return &msg.Member{Name: m.Meta.Name + "." + m.Meta.Region, Addr: host, Port: n, Tags: tags, Status: string(m.Status)}
}

// regions lists this server's region and all that it has heard of, sorted.
func (d *Desk) regions(context.Context, *msg.StatusRequest) (*msg.StringsResponse, error) {
	out := append(d.otherRegions(), d.cfg.Region)
	slices.Sort(out)
	return &msg.StringsResponse{QueryMeta: d.meta(), Values: out}, nil
}

// members lists the agents of this server's region, then the servers of others
// by region.
func (d *Desk) members(context.Context, *msg.StatusRequest) (*msg.MembersResponse, error) {
	federated := slices.Clone(d.cfg.Federated())
	slices.SortFunc(federated, func(a, b gossip.Member) int {
		return cmp.Or(cmp.Compare(a.Meta.Region, b.Meta.Region), cmp.Compare(a.Meta.Name, b.Meta.Name))
	})
	resp := &msg.MembersResponse{QueryMeta: d.meta()}
	for _, m := range append(d.cfg.Members(), federated...) {
		resp.Members = append(resp.Members, Member(m))
	}
	return resp, nil
}
