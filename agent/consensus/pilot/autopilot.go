package pilot

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// KnownServer is a server as gossip shows it.
type KnownServer struct {
	ID    string
	Name  string
	Addr  string
	Build string
	// Status is "alive", "failed" or "left".
	Status string
	// NonVoter servers are never promoted.
	NonVoter bool
	// Zone is its redundancy zone, Upgrade the version its operator gave it for
	// migrations; "" for none.
	Zone, Upgrade string
	// Understands is the newest feature level that it told of, Holds that its
	// operator wants levels to be activated by hand.
	Understands feature.Level
	Holds       bool
}

// Config is what Autopilot needs. Its functions must not block, except Stats.
type Config struct {
	// ID is this server's.
	ID string
	// Settings returns the present settings from the state, Level the cluster's
	// feature level.
	Settings func() model.AutopilotConfiguration
	Level    func() feature.Level
	// Servers returns all servers gossip knows, this one included.
	Servers func() []KnownServer
	// Stats asks another server for its Stats.
	Stats func(ctx context.Context, s KnownServer) (consensus.Stats, error)
	// Forget tells gossip that a failed server was removed from the cluster.
	Forget func(id string)
	// Tend, when set, is called between looks at the servers: what it proposes
	// cannot cross with the adding of one.
	Tend   func(ctx context.Context)
	Logger *slog.Logger
}

// Autopilot cares for the server set while this server leads.
type Autopilot struct {
	host  *consensus.Host
	cfg   Config
	pilot *autopilot.Autopilot
	began atomic.Int64 // when Run was called, unix ns

	mu      sync.Mutex
	disks   map[string]string // what ails the servers' disks, in words
	refused map[string]string // why a server is not added, as the log has it
}

// autopilotInterval is how often health is looked at and servers are added,
// promoted and removed.
const autopilotInterval = 2 * time.Second

// statsTimeout bounds asking another server; slower is unhealthy.
const statsTimeout = time.Second

// New makes the autopilot of h.
func New(h *consensus.Host, cfg Config) *Autopilot {
	a := &Autopilot{host: h, cfg: cfg, disks: map[string]string{}, refused: map[string]string{}}
	steer := h.Steering()
	a.pilot = autopilot.New(steer, delegate{a},
		autopilot.WithLogger(steer.Log),
		autopilot.WithPromoter(&promoter{pilot: a, voters: a.voters}),
		autopilot.WithUpdateInterval(autopilotInterval),
		autopilot.WithReconcileInterval(autopilotInterval))
	return a
}

// Run runs until ctx ends. Call it when this server begins to lead, with a ctx
// that ends with that.
func (a *Autopilot) Run(ctx context.Context) {
	a.began.Store(time.Now().UnixNano())
	a.pilot.Start(ctx)
	tick := time.NewTicker(autopilotInterval)
	defer tick.Stop()
	for {
		a.adopt(ctx)
		if a.cfg.Tend != nil {
			a.cfg.Tend(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			<-a.pilot.Stop()
			return
		}
	}
}

// Nudge makes dead servers be looked for at once: call it when gossip reports
// one failed or left.
func (a *Autopilot) Nudge() { a.pilot.RemoveDeadServers() }

// adopt brings the server set in line with gossip: living servers become
// members, first without a vote; members that left are removed.
func (a *Autopilot) adopt(ctx context.Context) {
	members, _ := a.host.Servers()
	byID := make(map[string]consensus.Server, len(members))
	for _, m := range members {
		byID[m.ID] = m
	}
	for _, s := range a.cfg.Servers() {
		m, member := byID[s.ID]
		if s.Status == string(autopilot.NodeAlive) && !a.fit(s) {
			continue
		}
		var err error
		what := ""
		switch {
		case s.Status == string(autopilot.NodeAlive) && (!member || m.Addr != s.Addr):
			what = "added a server to the cluster"
			err = a.host.AddServer(ctx, s.ID, s.Addr, member && m.Voter)
		case s.Status == string(autopilot.NodeLeft) && member && s.ID != a.cfg.ID:
			what = "removed a server that left from the cluster"
			err = a.host.RemoveServer(ctx, s.ID)
		default:
			continue
		}
		switch {
		case err == nil:
			a.cfg.Logger.Info(what, "id", s.ID, "addr", s.Addr)
		case model.CodeOf(err) != model.CodeNotLeader && ctx.Err() == nil:
			a.cfg.Logger.Warn("cannot change the cluster's servers", "id", s.ID, "addr", s.Addr, "error", err)
		}
	}
}

// fit tells whether a living server may be one of the cluster: it must understand
// what is in the log. It is said once, and on the server itself by its own agent.
func (a *Autopilot) fit(s KnownServer) bool {
	why := ""
	if level := a.cfg.Level(); max(s.Understands, feature.Base) < level {
		why = fmt.Sprintf("it understands feature level %d, and the cluster is at %d", max(s.Understands, feature.Base), level)
	}
	a.mu.Lock()
	before := a.refused[s.ID]
	a.refused[s.ID] = why
	a.mu.Unlock()
	if why != "" && why != before {
		a.cfg.Logger.Error("a server is refused: upgrade its binary", "id", s.ID, "name", s.Name, "addr", s.Addr, "build", s.Build, "reason", why)
	}
	return why == ""
}

// delegate answers autopilot's questions.
type delegate struct{ *Autopilot }

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (d delegate) AutopilotConfig() *autopilot.Config {
	s := d.cfg.Settings()
	return &autopilot.Config{
		CleanupDeadServers: s.CleanupDeadServers, LastContactThreshold: s.LastContactThreshold,
		MaxTrailingLogs: s.MaxTrailingLogs, MinQuorum: s.MinQuorum, ServerStabilizationTime: s.ServerStabilizationTime,
		Ext: &s,
	}
}

// NotifyState implements autopilot.ApplicationIntegration.
func (d delegate) NotifyState(*autopilot.State) {}

// KnownServers implements autopilot.ApplicationIntegration.
func (d delegate) KnownServers() map[raft.ServerID]*autopilot.Server {
	now := d.host.Leadership()
	out := make(map[raft.ServerID]*autopilot.Server)
	for _, s := range d.cfg.Servers() {
		out[raft.ServerID(s.ID)] = &autopilot.Server{
			ID: raft.ServerID(s.ID), Name: s.Name, Address: raft.ServerAddress(s.Addr), Version: s.Build,
			NodeStatus: autopilot.NodeStatus(s.Status), NodeType: s.nodeType(), RaftVersion: raft.ProtocolVersionMax,
			IsLeader: now.Self && s.ID == d.cfg.ID,
		}
	}
	return out
}

// FetchServerStats implements autopilot.ApplicationIntegration.
func (d delegate) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := make(map[raft.ServerID]*autopilot.ServerStats)
	for id, s := range servers {
		wg.Go(func() {
			st, err := d.host.Stats(), error(nil)
			if string(id) != d.cfg.ID {
				st, err = d.cfg.Stats(ctx, KnownServer{ID: string(id), Name: s.Name, Addr: string(s.Address)})
			}
			if err != nil {
				return // those of before count until gossip knows more; a server without any is unhealthy
			}
			d.noteDisk(string(id), st.Disk)
			mu.Lock()
			defer mu.Unlock()
			out[id] = &autopilot.ServerStats{LastContact: st.LastContact, LastTerm: st.LastTerm, LastIndex: st.LastIndex}
		})
	}
	wg.Wait()
	return out
}

// RemoveFailedServer implements autopilot.ApplicationIntegration.
func (d delegate) RemoveFailedServer(s *autopilot.Server) {
	if s.NodeStatus == autopilot.NodeLeft {
		return // adopt removes it
	}
	d.cfg.Logger.Info("a dead server is given up", "id", string(s.ID), "addr", string(s.Address))
	d.cfg.Forget(string(s.ID))
}
