package server

import (
	"context"
	"crypto/subtle"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/consensus/pilot"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// clock makes a loop.Clock of a function.
type clock func() time.Time

// Now implements loop.Clock.
func (c clock) Now() time.Time { return c() }

// deadAge is how old gossip's view may be when nodes are suspected: reading it
// for each of thousands would cost more than it tells.
const deadAge = 100 * time.Millisecond

// deadMembers is gossip's word on nodes, for liveness.
type deadMembers struct {
	members func() []gossip.Member
	now     func() time.Time

	mu   sync.Mutex
	read time.Time
	dead map[string]bool
}

// Dead implements liveness.Members.
func (d *deadMembers) Dead(nodeID string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.now(); d.dead == nil || now.Sub(d.read) > deadAge {
		d.read, d.dead = now, make(map[string]bool)
		for _, m := range d.members() {
			if m.Status != gossip.StatusAlive {
				d.dead[m.ID] = true
			}
		}
	}
	return d.dead[nodeID]
}

// autopilotConfig tells autopilot where to look.
func (s *Server) autopilotConfig() pilot.Config {
	forget := s.deps.Forget
	if forget == nil {
		forget = func(string) {}
	}
	return pilot.Config{
		ID:       s.cfg.ID,
		Settings: func() model.AutopilotConfiguration { return *s.deps.Store.Snapshot().AutopilotConfig() },
		Level:    func() feature.Level { return s.deps.Store.Snapshot().FeatureLevel() },
		Servers:  s.knownServers,
		Stats:    s.statsOf,
		Forget:   forget,
		Tend:     s.features.Tend,
		Logger:   s.deps.Logger,
	}
}

// knownServers are the servers that gossip knows, this one included.
func (s *Server) knownServers() []pilot.KnownServer {
	var out []pilot.KnownServer
	self := false
	for _, m := range s.deps.Members() {
		if !m.Meta.Server {
			continue
		}
		self = self || m.ID == s.cfg.ID
		out = append(out, pilot.KnownServer{
			ID: m.ID, Name: m.Meta.Name + "." + m.Meta.Region, Addr: m.Meta.RPCAddr, Build: m.Meta.Build,
			Status: string(m.Status), NonVoter: m.Meta.NonVoter, Zone: m.Meta.Zone, Upgrade: m.Meta.Upgrade,
			Understands: max(feature.Level(m.Meta.Level), feature.Base), Holds: m.Meta.Holds,
		})
	}
	if !self {
		out = append(out, pilot.KnownServer{ID: s.cfg.ID, Addr: s.cfg.Addr, Status: string(gossip.StatusAlive), Understands: s.cfg.Understands})
	}
	return out
}

// healthy is autopilot's word on all members.
func (s *Server) healthy() bool { return s.autopilot.Health().Healthy }

// featureServers are the members, and the servers that gossip knows.
func (s *Server) featureServers() []feature.Server {
	members, _ := s.deps.Host.Servers()
	at := make(map[string]int)
	var out []feature.Server
	for _, k := range s.knownServers() {
		at[k.ID] = len(out)
		if k.ID == s.cfg.ID {
			k.Understands = s.cfg.Understands
		}
		out = append(out, feature.Server{ID: k.ID, Name: k.Name, Understands: k.Understands, Status: k.Status, Holds: k.Holds})
	}
	for _, m := range members {
		if i, known := at[m.ID]; known {
			out[i].Member = true
		} else {
			out = append(out, feature.Server{ID: m.ID, Status: "unknown", Member: true})
		}
	}
	return out
}

// statsOf asks a server for its place in the log.
func (s *Server) statsOf(ctx context.Context, known pilot.KnownServer) (consensus.Stats, error) {
	if known.ID == s.cfg.ID {
		return s.deps.Host.Stats(), nil
	}
	if s.deps.Pool == nil {
		return consensus.Stats{}, model.Errorf(model.CodeUnavailable, "no way to other servers")
	}
	r, err := msg.RaftStats.Call(ctx, s.deps.Pool.At(known.Addr), &msg.Empty{})
	if err != nil {
		return consensus.Stats{}, err
	}
	return consensus.Stats{
		State: r.State, Term: r.Term, LastIndex: r.LastIndex, LastTerm: r.LastTerm, CommitIndex: r.CommitIndex,
		AppliedIndex: r.AppliedIndex, LastContact: r.LastContact, Snapshot: r.Snapshot, Disk: r.Disk,
	}, nil
}

// Nudge has dead servers looked for at once: call it when gossip reports that a
// server failed or left.
func (s *Server) Nudge() {
	if s.deps.Host.Leadership().Self {
		s.autopilot.Nudge()
	}
}

// reach is the way to an agent of the region: to a server's port, or through the
// tunnel of a client.
func (s *Server) reach(m gossip.Member) rpc.Caller {
	switch {
	case m.ID == s.cfg.ID:
		return s.deps.RPC.Caller()
	case m.Meta.Server && s.deps.Pool != nil:
		return s.deps.Pool.At(m.Meta.RPCAddr)
	}
	return s.deps.RPC.Node(m.ID)
}

// AuthorizeTunnel is the check of who opens a tunnel: a node that is in the
// state, with its secret. Use it in rpc.TunnelsConfig.
func AuthorizeTunnel(store *state.Store) func(context.Context, rpc.NodeHello) error {
	return func(_ context.Context, hello rpc.NodeHello) error {
		n := store.Snapshot().Node(hello.NodeID)
		if n == nil {
			return model.Errorf(model.CodeUnavailable, "node %s is not registered here yet", hello.NodeID)
		}
		if subtle.ConstantTimeCompare([]byte(n.SecretID), []byte(hello.Secret)) != 1 {
			return model.Errorf(model.CodeDenied, "node %s: the secret is not the one it registered with", hello.NodeID)
		}
		return nil
	}
}
