package agent

import (
	"context"
	"slices"
	"time"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/agent/gossip"
)

// newWAN makes a server a member of the pool of the servers of all regions. It
// has the cluster's keys: federated regions share it.
func (a *Agent) newWAN() (err error) {
	if a.srv == nil || a.cfg.Ports.WAN == config.NoWAN {
		return nil
	}
	meta := a.meta()
	meta.Client, meta.HTTPAddr, meta.Expect = false, "", 0 // nobody elsewhere asks
	var join []string
	for _, addr := range a.cfg.Server.RetryJoinWAN {
		join = append(join, withDefaultPort(addr, config.DefaultWANPort))
	}
	slices.Sort(join)
	a.wan, err = gossip.New(gossip.Config{
		ID: a.id, WAN: true, Bind: a.ends.wan.bind, Advertise: a.ends.wan.advertise, Meta: meta, Keys: a.ring.Keys(),
		RetryJoin: slices.Compact(join), Logger: a.log.With("component", "gossip", "pool", "wan"),
	})
	return err
}

// wanParts run with the pool of all regions.
func (a *Agent) wanParts() []*part {
	if a.wan == nil {
		return nil
	}
	return []*part{{name: "wan gossip", run: a.wan.Run}, {name: "federation", run: a.federate}}
}

// matesEvery is how often the servers of the own region are looked after: one that
// could not be reached is tried again.
const matesEvery = 5 * time.Second

// federate joins the servers of the own region, which gossip in the region tells
// of, in the pool of all regions: what one of them knows of other regions all
// know then, and one join federates two regions.
func (a *Agent) federate(ctx context.Context) error {
	sub := a.gossip.Subscribe()
	defer sub.Close()
	for {
		a.joinMates(ctx)
		wait, cancel := context.WithTimeout(ctx, matesEvery)
		_, err := sub.Next(wait)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && wait.Err() == nil {
			return err
		}
	}
}

// joinMates joins those servers of the region that the pool does not know to live.
func (a *Agent) joinMates(ctx context.Context) {
	for _, m := range a.liveServers() {
		if m.ID == a.id || m.Meta.WANAddr == "" || a.leaving.Load() {
			continue
		}
		if there, ok := a.wan.Member(m.ID); ok && there.Status == gossip.StatusAlive {
			continue
		}
		if _, err := a.wan.Join(ctx, []string{m.Meta.WANAddr}); err != nil && ctx.Err() == nil {
			a.log.Debug("a server of the region does not answer at its WAN address yet", "server", m.Meta.Name, "error", err)
		}
	}
}

// federated are the servers of other regions.
func (a *Agent) federated() []gossip.Member {
	if a.wan == nil {
		return nil
	}
	return slices.DeleteFunc(a.wan.Members(), func(m gossip.Member) bool { return m.Meta.Region == a.cfg.Region })
}

// forgetWAN makes a failed server of the region count as left in other regions too.
func (a *Agent) forgetWAN(id string) {
	if a.wan == nil {
		return
	}
	if err := a.wan.ForceLeave(id); err != nil {
		a.log.Debug("the pool of all regions forgets nobody", "id", id, "error", err)
	}
}

// regions tells the transport where the servers of other regions are.
type regions struct{ a *Agent }

// Name implements rpc.Regions.
func (r regions) Name() string { return r.a.cfg.Region }

// Servers implements rpc.Regions.
func (r regions) Servers(region string) (addrs []string, known bool) {
	for _, m := range r.a.federated() {
		if m.Meta.Region != region || m.Status == gossip.StatusLeft {
			continue
		}
		known = true
		if m.Status == gossip.StatusAlive {
			addrs = append(addrs, m.Meta.RPCAddr)
		}
	}
	return addrs, known
}
