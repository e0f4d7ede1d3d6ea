package agent

import (
	"context"
	"io"
	"time"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/agent/server/gc"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
)

// serverRole is what an agent has more when it is a server.
type serverRole struct {
	store    *state.Store
	host     *consensus.Host
	listener *port.Listener
	tunnels  *rpc.Tunnels
	rpc      *rpc.Server
	server   *server.Server
}

// router tells the transport who leads.
type router struct{ a *Agent }

// Leader implements rpc.Router.
func (r router) Leader() (addr string, self bool, changed <-chan struct{}) {
	l := r.a.srv.host.Leadership()
	return l.Addr, l.Self, l.Changed
}

// Servers implements rpc.Router.
func (r router) Servers() []string {
	var out []string
	for _, m := range r.a.liveServers() {
		if m.ID != r.a.id {
			out = append(out, m.Meta.RPCAddr)
		}
	}
	return out
}

// connsOf is a limit of connections as the listener has it: 0 in the configuration is
// no limit, nothing the listener's own.
func connsOf(limit *int) int {
	switch {
	case limit == nil:
		return 0
	case *limit <= 0:
		return -1
	}
	return *limit
}

// newServer builds the server role; nothing runs yet but the Raft host.
func (a *Agent) newServer() error {
	s := &serverRole{store: state.New()}
	a.srv = s
	conns := connsOf(a.cfg.Limits.RPCMaxConns)
	l, err := listen("rpc", a.ends.rpc.bind)
	if err != nil {
		return err
	}
	a.ends.rpc.advertise = withPort(a.ends.rpc.advertise, l)
	s.listener = port.NewListener(port.ListenerConfig{Listener: l, Security: a.security, MaxConnsPerIP: conns, Logger: a.log.With("component", "rpc")})
	dir, err := a.dir.Sub("server", "raft")
	if err != nil {
		return err
	}
	s.host, err = consensus.Open(consensus.Config{
		ID: a.id, Addr: a.ends.rpc.advertise, Dir: dir, Streams: s.listener.Raft(), AddrOf: a.rpcAddrOf,
		Reserve: int64(a.cfg.Server.DiskReserveMB) << 20, Machine: fsm.NewAt(s.store, understood()), CheckState: checkState, Now: wallClock(), Logger: a.log,
	})
	if err != nil {
		return err
	}
	s.tunnels = rpc.NewTunnels(rpc.TunnelsConfig{Authorize: server.AuthorizeTunnel(s.store), Logger: a.log.With("component", "tunnel")})
	s.rpc = rpc.NewServer(rpc.Config{Router: router{a}, Pool: a.pool, Regions: regions{a}, Tunnels: s.tunnels, Logger: a.log.With("component", "rpc")})
	s.server, err = server.New(a.serverConfig(), server.Deps{
		Store: s.store, Host: s.host, RPC: s.rpc, Tunnels: s.tunnels, Pool: a.pool, Members: a.members, Federated: a.federated, Forget: a.forget,
		Logger: a.log, Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	rpc.Handle(s.rpc, msg.AgentKeyring, a.keyring)
	for _, c := range rpcFigures(s.rpc) {
		if err := a.registry.Register(c); err != nil {
			return err
		}
	}
	for _, c := range diskFigures(s.host) {
		if err := a.registry.Register(c); err != nil {
			return err
		}
	}
	return a.registry.Register(newJobCollector(s.store, func() bool { return s.host.Leadership().Self }))
}

// checkState loads a state into nowhere: a snapshot that cannot be loaded is
// refused before anything is replaced.
func checkState(r io.Reader) error { return fsm.NewAt(state.New(), understood()).Restore(r) }

func (a *Agent) serverConfig() server.Config {
	s := a.cfg.Server
	schedulers := 0
	if s.NumSchedulers != nil {
		schedulers = *s.NumSchedulers
	}
	return server.Config{
		ID: a.id, Addr: a.ends.rpc.advertise, Region: a.cfg.Region, Schedulers: schedulers,
		LeaseTTL:    config.Duration(s.MinHeartbeatTTL) + config.Duration(s.HeartbeatGrace),
		Understands: understood(), Initial: initialSettings(a.cfg),
		GC: gc.Config{
			Interval: config.Duration(s.JobGCInterval), Eval: config.Duration(s.EvalGCThreshold),
			BatchEval: config.Duration(s.BatchEvalGCThreshold), Job: config.Duration(s.JobGCThreshold),
			Node: config.Duration(s.NodeGCThreshold), Deployment: config.Duration(s.DeploymentGC),
		},
	}
}

func (a *Agent) serverParts() []*part {
	s := a.srv
	return []*part{
		{name: "rpc listener", run: s.listener.Run},
		{name: "raft", run: s.host.Run},
		{name: "rpc", run: func(ctx context.Context) error { return s.rpc.Run(ctx, s.listener.RPC()) }},
		{name: "server", run: s.server.Run},
		{name: "membership", run: a.watchMembers},
	}
}

// bootstrapRetry is how often founding is tried again while nothing changes: a
// server that could not reach the others may do so later.
const bootstrapRetry = 2 * time.Second

// watchMembers founds the cluster when its servers have met, and has dead ones
// cared for at once.
func (a *Agent) watchMembers(ctx context.Context) error {
	sub := a.gossip.Subscribe()
	defer sub.Close()
	a.meet()
	for {
		wait, cancel := context.WithTimeout(ctx, bootstrapRetry)
		events, err := sub.Next(wait)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && wait.Err() == nil {
			return err
		}
		for _, e := range events {
			if e.Member.Meta.Server && e.Type != gossip.EventUpdate {
				a.srv.server.Nudge()
			}
		}
		a.meet()
	}
}

// meet does what there is to do when the members may have changed.
func (a *Agent) meet() {
	a.found()
	a.announce()
	a.checkOutdated()
}

// found founds the cluster when it is time.
func (a *Agent) found() {
	if a.srv.host.Bootstrapped() {
		return
	}
	if a.cfg.Server.BootstrapExpect == 0 {
		return
	}
	var peers []consensus.Peer
	for _, m := range a.members() {
		if m.Meta.Server && m.Status == gossip.StatusAlive {
			peers = append(peers, consensus.Peer{
				ID: m.ID, Addr: m.Meta.RPCAddr, Expect: m.Meta.Expect, Bootstrapped: m.Meta.Bootstrapped, NonVoter: m.Meta.NonVoter,
			})
		}
	}
	if _, err := a.srv.host.Bootstrap(peers); err != nil {
		if text := err.Error(); text != a.foundFault {
			a.foundFault = text
			a.log.Error("the cluster cannot be founded", "error", err)
		}
	}
}
