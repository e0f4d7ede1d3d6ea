package consensus

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/steppe-project/steppe/model"
)

// KnownServer is a server as gossip shows it, for autopilot.
type KnownServer struct {
	ID    string
	Name  string
	Addr  string
	Build string
	// Status is "alive", "failed" or "left".
	Status string
	// NonVoter servers are never promoted.
	NonVoter bool
}

// AutopilotConfig is what Autopilot needs. Its functions must not block, except
// Stats.
type AutopilotConfig struct {
	// Settings returns the present settings from the state.
	Settings func() model.AutopilotConfiguration
	// Servers returns all servers gossip knows, this one included.
	Servers func() []KnownServer
	// Stats asks another server for its Stats.
	Stats func(ctx context.Context, s KnownServer) (Stats, error)
	// Forget tells gossip that a failed server was removed from the cluster.
	Forget func(id string)
}

// ServerHealth is one server's health, as autopilot sees it.
type ServerHealth struct {
	ID, Name, Addr, Build string
	Status                string // gossip's: alive, failed, left, unknown
	Leader, Voter         bool
	Healthy               bool
	StableSince           time.Time
	LastContact           time.Duration
	LastTerm, LastIndex   uint64
}

// Health is the health of the server set.
type Health struct {
	Healthy bool
	// FailureTolerance is how many voters may fail before the cluster cannot
	// decide any more.
	FailureTolerance int
	Servers          []ServerHealth
}

// Autopilot cares for the server set while this server leads: it adds servers
// that joined, promotes them when they were stable for long enough, and removes
// dead ones where that leaves a majority.
type Autopilot struct {
	host  *Host
	cfg   AutopilotConfig
	pilot *autopilot.Autopilot
	began atomic.Int64 // when Run was called, unix ns
}

// autopilotInterval is how often health is looked at and servers are added,
// promoted and removed.
const autopilotInterval = 2 * time.Second

// statsTimeout bounds asking another server; slower is unhealthy.
const statsTimeout = time.Second

// NewAutopilot makes the autopilot of h.
func NewAutopilot(h *Host, cfg AutopilotConfig) *Autopilot {
	a := &Autopilot{host: h, cfg: cfg}
	a.pilot = autopilot.New(pilotRaft{h.raft, h}, pilotDelegate{a},
		autopilot.WithLogger(h.logger),
		autopilot.WithPromoter(&promoter{pilot: a}),
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
	byID := make(map[string]Server, len(members))
	for _, m := range members {
		byID[m.ID] = m
	}
	for _, s := range a.cfg.Servers() {
		m, member := byID[s.ID]
		var err error
		what := ""
		switch {
		case s.Status == string(autopilot.NodeAlive) && (!member || m.Addr != s.Addr):
			what = "added a server to the cluster"
			err = a.host.AddServer(ctx, s.ID, s.Addr, member && m.Voter)
		case s.Status == string(autopilot.NodeLeft) && member && s.ID != a.host.cfg.ID:
			what = "removed a server that left from the cluster"
			err = a.host.RemoveServer(ctx, s.ID)
		default:
			continue
		}
		switch {
		case err == nil:
			a.host.cfg.Logger.Info(what, "id", s.ID, "addr", s.Addr)
		case model.CodeOf(err) != model.CodeNotLeader && ctx.Err() == nil:
			a.host.cfg.Logger.Warn("cannot change the cluster's servers", "id", s.ID, "addr", s.Addr, "error", err)
		}
	}
}

// Health returns what autopilot last saw; empty on a server that does not lead.
func (a *Autopilot) Health() Health {
	st := a.pilot.GetState()
	out := Health{Healthy: st.Healthy, FailureTolerance: st.FailureTolerance}
	for _, s := range st.Servers {
		out.Servers = append(out.Servers, ServerHealth{
			ID: string(s.Server.ID), Name: s.Server.Name, Addr: string(s.Server.Address), Build: s.Server.Version,
			Status: string(s.Server.NodeStatus), Leader: s.State == autopilot.RaftLeader, Voter: s.HasVotingRights(),
			Healthy: s.Health.Healthy, StableSince: s.Health.StableSince,
			LastContact: s.Stats.LastContact, LastTerm: s.Stats.LastTerm, LastIndex: s.Stats.LastIndex,
		})
	}
	slices.SortFunc(out.Servers, func(x, y ServerHealth) int { return cmp.Compare(x.ID, y.ID) })
	return out
}

// pilotRaft lets autopilot's transfers void the lease.
type pilotRaft struct {
	*raft.Raft
	host *Host
}

// LeadershipTransferToServer implements autopilot.Raft.
func (p pilotRaft) LeadershipTransferToServer(id raft.ServerID, addr raft.ServerAddress) raft.Future {
	p.host.lease.forbid(p.CurrentTerm())
	return p.Raft.LeadershipTransferToServer(id, addr)
}

// pilotDelegate answers autopilot's questions.
type pilotDelegate struct{ *Autopilot }

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (d pilotDelegate) AutopilotConfig() *autopilot.Config {
	s := d.cfg.Settings()
	return &autopilot.Config{
		CleanupDeadServers: s.CleanupDeadServers, LastContactThreshold: s.LastContactThreshold,
		MaxTrailingLogs: s.MaxTrailingLogs, MinQuorum: s.MinQuorum, ServerStabilizationTime: s.ServerStabilizationTime,
	}
}

// NotifyState implements autopilot.ApplicationIntegration.
func (d pilotDelegate) NotifyState(*autopilot.State) {}

// KnownServers implements autopilot.ApplicationIntegration.
func (d pilotDelegate) KnownServers() map[raft.ServerID]*autopilot.Server {
	now := d.host.Leadership()
	out := make(map[raft.ServerID]*autopilot.Server)
	for _, s := range d.cfg.Servers() {
		out[raft.ServerID(s.ID)] = &autopilot.Server{
			ID: raft.ServerID(s.ID), Name: s.Name, Address: raft.ServerAddress(s.Addr), Version: s.Build,
			NodeStatus: autopilot.NodeStatus(s.Status), RaftVersion: raft.ProtocolVersionMax,
			IsLeader: now.Self && s.ID == d.host.cfg.ID,
		}
	}
	return out
}

// FetchServerStats implements autopilot.ApplicationIntegration.
func (d pilotDelegate) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := make(map[raft.ServerID]*autopilot.ServerStats)
	for id, s := range servers {
		wg.Go(func() {
			st, err := d.host.Stats(), error(nil)
			if string(id) != d.host.cfg.ID {
				st, err = d.cfg.Stats(ctx, KnownServer{ID: string(id), Name: s.Name, Addr: string(s.Address)})
			}
			if err != nil {
				return // without stats it counts as unhealthy
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = &autopilot.ServerStats{LastContact: st.LastContact, LastTerm: st.LastTerm, LastIndex: st.LastIndex}
		})
	}
	wg.Wait()
	return out
}

// RemoveFailedServer implements autopilot.ApplicationIntegration.
func (d pilotDelegate) RemoveFailedServer(s *autopilot.Server) {
	if s.NodeStatus == autopilot.NodeLeft {
		return // adopt removes it
	}
	d.host.cfg.Logger.Info("a dead server is given up", "id", string(s.ID), "addr", string(s.Address))
	d.cfg.Forget(string(s.ID))
}

// staleGrace is how long a new leader waits before a member that gossip does not
// know counts as gone: after a restart of everything gossip has to find the
// others first.
const staleGrace = 10 * time.Minute

// promoter decides who gets a vote and which dead servers are given up.
type promoter struct {
	autopilot.StablePromoter
	pilot *Autopilot
}

// CalculatePromotionsAndDemotions implements autopilot.Promoter: it promotes
// what is stable, except servers that shall not vote.
func (p *promoter) CalculatePromotionsAndDemotions(c *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	changes := p.StablePromoter.CalculatePromotionsAndDemotions(c, s)
	for _, known := range p.pilot.cfg.Servers() {
		if known.NonVoter {
			changes.Promotions = slices.DeleteFunc(changes.Promotions, func(id raft.ServerID) bool { return string(id) == known.ID })
		}
	}
	return changes
}

// FilterFailedServerRemovals implements autopilot.Promoter. Dead voters are
// given up only where the cluster then survives more failures than with them:
// one dead server of three is kept, because two voters survive no more than two
// of three, and its return restores the third.
func (p *promoter) FilterFailedServerRemovals(_ *autopilot.Config, s *autopilot.State, failed *autopilot.FailedServers) *autopilot.FailedServers {
	if time.Since(time.Unix(0, p.pilot.began.Load())) < staleGrace {
		failed.StaleVoters, failed.StaleNonVoters = nil, nil
	}
	voters, dead := len(s.Voters), len(failed.FailedVoters)+len(failed.StaleVoters)
	if !worthRemoving(voters, dead) {
		failed.StaleVoters = nil
		failed.FailedVoters = slices.DeleteFunc(failed.FailedVoters, func(f *autopilot.Server) bool {
			return f.NodeStatus != autopilot.NodeLeft
		})
	}
	return failed
}

// worthRemoving reports whether removing the dead of so many voters lets more
// of the living fail.
func worthRemoving(voters, dead int) bool {
	alive := voters - dead
	quorum := func(n int) int { return n/2 + 1 }
	return dead > 0 && alive-quorum(alive) > alive-quorum(voters)
}
