// Package server assembles the servers' part of an agent: the handlers that
// every server answers with, the sessions of its nodes, and the components that
// run while it leads.
//
//	every server  query events route operator session    read, stream, carry on
//	the leader    admit ─► log ─► broker ─► worker ─► planner ─► log ─► session
//	              liveness nodeevals periodic gc keys autopilot
//
// Contract and invariants:
//
//   - Components do not know each other: they meet in the store and in the
//     bounded queues that are made here.
//   - Everything of a term of leadership ends with it, and is over before the
//     next one begins.
//   - Run returns when all it started has ended.
//
// Example:
//
//	srv, err := server.New(cfg, deps)  // registers the handlers
//	err = srv.Run(ctx)
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/consensus/pilot"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/admit"
	"github.com/steppe-project/steppe/agent/server/events"
	"github.com/steppe-project/steppe/agent/server/features"
	"github.com/steppe-project/steppe/agent/server/forecast"
	"github.com/steppe-project/steppe/agent/server/gc"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/initial"
	"github.com/steppe-project/steppe/agent/server/liveness"
	"github.com/steppe-project/steppe/agent/server/operator"
	"github.com/steppe-project/steppe/agent/server/query"
	"github.com/steppe-project/steppe/agent/server/route"
	"github.com/steppe-project/steppe/agent/server/session"
	"github.com/steppe-project/steppe/agent/server/whatif"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// maxSchedulers bounds the workers: more than cores only makes plans collide.
const maxSchedulers = 256

// Config is what an operator sets.
type Config struct {
	// ID is the server's id, Addr its rpc address as others reach it.
	ID   string
	Addr string
	// Region is the cluster's.
	Region string
	// Schedulers is how many evaluations are decided at once; 0 means one a core.
	Schedulers int
	// LeaseTTL is how long a node's lease lasts; 0 means liveness.DefaultTTL.
	LeaseTTL time.Duration
	// Understands is the newest feature level of this binary; 0 means feature.Newest.
	Understands feature.Level
	// Initial are the settings that a cluster starts with, when nobody has set any.
	Initial initial.Settings
	// GC holds the ages for garbage collection; zero fields mean the defaults.
	GC gc.Config
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	switch {
	case c.ID == "" || c.Addr == "" || c.Region == "":
		return model.Errorf(model.CodeInvalid, "server: id, address and region are required")
	case c.Schedulers < 0 || c.Schedulers > maxSchedulers:
		return model.Errorf(model.CodeInvalid, "server: num_schedulers is %d; it must be 0 to %d", c.Schedulers, maxSchedulers)
	case c.LeaseTTL < 0:
		return model.Errorf(model.CodeInvalid, "server: the lease of nodes must not be negative")
	}
	for name, age := range map[string]time.Duration{
		"gc interval": c.GC.Interval, "eval_gc_threshold": c.GC.Eval, "batch_eval_gc_threshold": c.GC.BatchEval,
		"job_gc_threshold": c.GC.Job, "node_gc_threshold": c.GC.Node, "deployment_gc_threshold": c.GC.Deployment,
	} {
		if age < 0 {
			return model.Errorf(model.CodeInvalid, "server: %s must not be negative", name)
		}
	}
	return nil
}

// Deps are what the server works with. The caller runs and ends them: before
// Run, and after it has returned.
type Deps struct {
	Store *state.Store
	Host  *consensus.Host
	// RPC is where the handlers go; its Router knows the leader.
	RPC *rpc.Server
	// Tunnels are the nodes connected here.
	Tunnels *rpc.Tunnels
	// Pool reaches other servers; nil for a server that never has others.
	Pool *rpc.Pool
	// Members is gossip's view, this agent included.
	Members func() []gossip.Member
	// Federated are the servers of other regions; nil when there never are any.
	Federated func() []gossip.Member
	// Forget has gossip forget a failed server that left the cluster; may be nil.
	Forget func(id string)
	Logger *slog.Logger
	// Metrics is where metrics are registered; nil for none.
	Metrics prometheus.Registerer
	// Now is the cluster's time, for what is compared with the state; nil means
	// Host.Now. Leases of nodes go by the machine's clock, which is monotonic.
	Now func() time.Time
}

// Server is the servers' part of one agent.
type Server struct {
	cfg       Config
	deps      Deps
	hub       *session.Hub
	lease     *liveness.Desk
	autopilot *pilot.Autopilot
	features  *features.Desk
	worlds    *forecast.Source
	metrics   *metrics
}

// New makes a server and registers its handlers on deps.RPC.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Schedulers == 0 {
		cfg.Schedulers = min(runtime.GOMAXPROCS(0), maxSchedulers)
	}
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = liveness.DefaultTTL
	}
	if cfg.Understands == 0 {
		cfg.Understands = feature.Newest
	}
	cfg.GC = withDefaults(cfg.GC)
	if deps.Federated == nil {
		deps.Federated = func() []gossip.Member { return nil }
	}
	if deps.Now == nil {
		deps.Now = deps.Host.Now
	}
	s := &Server{cfg: cfg, deps: deps, worlds: forecast.NewSource(deps.Store), metrics: newMetrics()}
	s.features = features.New(features.Config{
		Understands: cfg.Understands, Store: deps.Store, Host: deps.Host, Servers: s.featureServers, Healthy: s.healthy, Logger: deps.Logger,
	})
	s.autopilot = pilot.New(deps.Host, s.autopilotConfig())
	s.hub = session.New(session.Config{
		ServerID: cfg.ID, Store: deps.Store, Caller: deps.RPC.Caller(), Servers: s.serverAddrs,
		LeaseTTL: cfg.LeaseTTL, Logger: deps.Logger,
	})
	s.lease = liveness.NewDesk(liveness.New(cfg.LeaseTTL, &deadMembers{members: deps.Members, now: time.Now}), deps.Store, deps.Host, time.Now)
	s.register()
	if deps.Metrics != nil {
		if err := s.metrics.register(deps.Metrics, s); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return s, nil
}

// withDefaults fills in the ages that are not set.
func withDefaults(c gc.Config) gc.Config {
	d := gc.Defaults()
	for _, f := range []struct{ to, from *time.Duration }{
		{&c.Interval, &d.Interval}, {&c.Eval, &d.Eval}, {&c.BatchEval, &d.BatchEval}, {&c.Job, &d.Job},
		{&c.Node, &d.Node}, {&c.Deployment, &d.Deployment},
	} {
		if *f.to == 0 {
			*f.to = *f.from
		}
	}
	return c
}

// register adds all handlers.
func (s *Server) register() {
	srv, d := s.deps.RPC, s.deps
	admit.New(admit.Config{Store: d.Store, Proposer: d.Host, Region: s.cfg.Region, Now: d.Now, Seen: s.lease.Seen}).Register(srv)
	forecast.New(forecast.Config{Source: s.worlds, Proposer: d.Host, Now: d.Now, Register: s.registerIn, Contact: s.contact}).Register(srv)
	whatif.New(whatif.Config{
		Source: s.worlds, Proposer: d.Host, Now: d.Now, Admit: s.admitIn, Region: s.cfg.Region, LeaseTTL: s.cfg.LeaseTTL, Contact: s.contact,
	}).Register(srv)
	query.New(query.Config{Store: d.Store, Consensus: reader{d.Host}}).Register(srv)
	events.New(events.Config{Store: d.Store}).Register(srv)
	route.New(route.Config{Store: d.Store, Server: srv, Tunnels: d.Tunnels}).Register(srv)
	operator.New(operator.Config{
		ID: s.cfg.ID, Store: d.Store, Host: d.Host, Members: d.Members, Federated: d.Federated, Health: s.autopilot.Health, Region: s.cfg.Region,
		Reach: s.reach, Caller: srv.Caller(),
	}).Register(srv)
	s.features.Register(srv)
	gc.NewDesk(d.Store, d.Host, d.Now).Register(srv)
	s.hub.Register(srv)
	s.lease.Register(srv)
}

// registerIn is production's admission in a forecast's world.
func (s *Server) registerIn(ctx context.Context, w *forecast.World, r *msg.JobRegisterRequest) (*msg.JobRegisterResponse, error) {
	return s.deskIn(w).JobRegister(ctx, r)
}

// admitIn are all of its handlers.
func (s *Server) admitIn(w *forecast.World) rpc.Caller {
	srv := rpc.NewServer(rpc.Config{Logger: s.deps.Logger})
	s.deskIn(w).Register(srv)
	return srv.Caller()
}

// deskIn makes ids without dice: a question has one answer on one state.
func (s *Server) deskIn(w *forecast.World) *admit.Desk {
	ids := 0
	return admit.New(admit.Config{Store: w.Store, Proposer: w, Region: s.cfg.Region, Now: w.Now, NewID: func() string {
		ids++
		return ident.From("forecast", strconv.FormatUint(w.Store.Snapshot().Index(), 10), strconv.Itoa(ids))
	}})
}

// contact tells whether a leader is known, and when this server heard from it.
func (s *Server) contact() (known bool, ago time.Duration) {
	lead := s.deps.Host.Leadership()
	if lead.Self {
		return true, 0
	}
	return lead.Addr != "", max(s.deps.Host.Stats().LastContact, 0)
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	defer s.worlds.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.hub.Run(ctx) })
	g.Go(func() error { return s.terms(ctx) })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// terms leads whenever this server is elected.
func (s *Server) terms(ctx context.Context) error {
	for ctx.Err() == nil {
		now := s.deps.Host.Leadership()
		if now.Self {
			if err := s.term(ctx, now); err != nil {
				return err
			}
			continue
		}
		select {
		case <-now.Changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// reader is the raft host as reads need it.
type reader struct{ *consensus.Host }

// LastContact is how long ago this follower heard from the leader.
func (r reader) LastContact() time.Duration { return max(r.Stats().LastContact, 0) }

// serverAddrs are the rpc addresses of all live servers, this one first.
func (s *Server) serverAddrs() []string {
	addrs := []string{s.cfg.Addr}
	for _, m := range s.deps.Members() {
		if m.Meta.Server && m.Status == gossip.StatusAlive && m.ID != s.cfg.ID && m.Meta.RPCAddr != "" {
			addrs = append(addrs, m.Meta.RPCAddr)
		}
	}
	return addrs
}
