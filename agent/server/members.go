package server

import (
	"context"
	"crypto/subtle"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
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
func (s *Server) autopilotConfig() consensus.AutopilotConfig {
	forget := s.deps.Forget
	if forget == nil {
		forget = func(string) {}
	}
	return consensus.AutopilotConfig{
		Settings: func() model.AutopilotConfiguration { return *s.deps.Store.Snapshot().AutopilotConfig() },
		Servers:  s.knownServers,
		Stats:    s.statsOf,
		Forget:   forget,
	}
}

// knownServers are the servers that gossip knows, this one included.
func (s *Server) knownServers() []consensus.KnownServer {
	var out []consensus.KnownServer
	self := false
	for _, m := range s.deps.Members() {
		if !m.Meta.Server {
			continue
		}
		self = self || m.ID == s.cfg.ID
		out = append(out, consensus.KnownServer{
			ID: m.ID, Name: m.Meta.Name + "." + m.Meta.Region, Addr: m.Meta.RPCAddr, Build: m.Meta.Build,
			Status: string(m.Status), NonVoter: m.Meta.NonVoter,
		})
	}
	if !self {
		out = append(out, consensus.KnownServer{ID: s.cfg.ID, Addr: s.cfg.Addr, Status: string(gossip.StatusAlive)})
	}
	return out
}

// statsOf asks a server for its place in the log.
func (s *Server) statsOf(ctx context.Context, known consensus.KnownServer) (consensus.Stats, error) {
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
		AppliedIndex: r.AppliedIndex, LastContact: r.LastContact, Snapshot: r.Snapshot,
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
