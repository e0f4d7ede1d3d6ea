package pilot

import (
	"slices"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/steppe-project/steppe/model"
)

// staleGrace is how long a new leader waits before a member that gossip does not
// know counts as gone: after a restart of everything gossip has to find the
// others first.
const staleGrace = 10 * time.Minute

// nodeNonVoter is the type of servers that never vote.
const nodeNonVoter autopilot.NodeType = "non-voter"

// nodeType tells clean-up whose loss is that of a vote.
func (s KnownServer) nodeType() autopilot.NodeType {
	if s.NonVoter {
		return nodeNonVoter
	}
	return autopilot.NodeVoter
}

// version is what counts for migrations.
func (s KnownServer) version(custom bool) string {
	if custom && s.Upgrade != "" {
		return s.Upgrade
	}
	return s.Build
}

// promoter decides who gets a vote and which dead servers are given up.
type promoter struct {
	autopilot.StablePromoter
	pilot  *Autopilot
	voters func() int // how many servers vote at this moment
}

// settingsOf are what Decide goes by.
func settingsOf(s *model.AutopilotConfiguration) Settings {
	return Settings{Zones: s.EnableRedundancyZones, Migrate: !s.DisableUpgradeMigration}
}

// CalculatePromotionsAndDemotions implements autopilot.Promoter.
func (p *promoter) CalculatePromotionsAndDemotions(c *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	settings := c.Ext.(*model.AutopilotConfiguration)
	step := Decide(settingsOf(settings), p.pilot.survey(c, settings, s))
	out := autopilot.RaftChanges{Leader: raft.ServerID(step.Leader)}
	for _, id := range step.Promote {
		out.Promotions = append(out.Promotions, raft.ServerID(id))
	}
	for _, id := range step.Demote {
		out.Demotions = append(out.Demotions, raft.ServerID(id))
	}
	return out
}

// survey is what Decide has to know of the members.
func (a *Autopilot) survey(c *autopilot.Config, settings *model.AutopilotConfiguration, s *autopilot.State) []Server {
	known := make(map[string]KnownServer)
	for _, k := range a.cfg.Servers() {
		known[k.ID] = k
	}
	now, ran := time.Now(), time.Since(time.Unix(0, a.began.Load()))
	var out []Server
	for id, m := range s.Servers {
		k, seen := known[string(id)]
		srv := Server{
			ID: string(id), Zone: k.Zone, Version: k.version(settings.EnableCustomUpgrades), NonVoter: k.NonVoter,
			Voter: m.HasVotingRights(), Leader: m.State == autopilot.RaftLeader,
			Healthy: m.Health.Healthy, Stable: m.Health.IsStable(now, s.ServerStabilizationTime(c)),
		}
		switch {
		case m.Health.Healthy:
		case !seen:
			srv.Failed = ran > staleGrace
		case m.Server.NodeStatus != autopilot.NodeAlive:
			srv.Failed = true
		default:
			srv.Failed = min(now.Sub(m.Health.StableSince), ran) > c.ServerStabilizationTime
		}
		out = append(out, srv)
	}
	return out
}

// FilterFailedServerRemovals implements autopilot.Promoter. Dead voters are
// given up only where the cluster then survives more failures than with them:
// one dead server of three is kept, because two voters survive no more than two
// of three, and its return restores the third. Of a zone that is lost one server
// is kept, so that its seat is not forgotten.
func (p *promoter) FilterFailedServerRemovals(c *autopilot.Config, s *autopilot.State, failed *autopilot.FailedServers) *autopilot.FailedServers {
	if time.Since(time.Unix(0, p.pilot.began.Load())) < staleGrace {
		failed.StaleVoters, failed.StaleNonVoters = nil, nil
	}
	// Not len(s.Voters): that is up to two seconds old, or of an earlier term.
	voters, dead := p.voters(), len(failed.FailedVoters)+len(failed.StaleVoters)
	if !worthRemoving(voters, dead) {
		failed.StaleVoters = nil
		failed.FailedVoters = slices.DeleteFunc(failed.FailedVoters, func(f *autopilot.Server) bool {
			return f.NodeStatus != autopilot.NodeLeft
		})
	}
	if c.Ext.(*model.AutopilotConfiguration).EnableRedundancyZones {
		kept := lastOfZones(p.pilot.cfg.Servers(), func(id string) bool { return s.Servers[raft.ServerID(id)] != nil })
		keep := func(f *autopilot.Server) bool { return slices.Contains(kept, string(f.ID)) }
		failed.FailedVoters = slices.DeleteFunc(failed.FailedVoters, keep)
		failed.FailedNonVoters = slices.DeleteFunc(failed.FailedNonVoters, keep)
	}
	return failed
}

// voters is how many servers vote at this moment.
func (a *Autopilot) voters() int {
	n := 0
	members, _ := a.host.Servers()
	for _, m := range members {
		n += bit(m.Voter)
	}
	return n
}

// lastOfZones are the members that stand for zones without a living one.
func lastOfZones(servers []KnownServer, member func(id string) bool) []string {
	last, alive := map[string]string{}, map[string]bool{}
	for _, s := range servers {
		switch {
		case s.Zone == "" || s.NonVoter || !member(s.ID):
		case s.Status == string(autopilot.NodeAlive):
			alive[s.Zone] = true
		case s.Status == string(autopilot.NodeFailed) && (last[s.Zone] == "" || s.ID < last[s.Zone]):
			last[s.Zone] = s.ID
		}
	}
	var out []string
	for zone, id := range last {
		if !alive[zone] {
			out = append(out, id)
		}
	}
	return out
}

// worthRemoving reports whether removing the dead of so many voters lets more
// of the living fail. Where a majority is said to be dead, nobody could lead: it is
// gossip that has not found the others yet.
func worthRemoving(voters, dead int) bool {
	alive := voters - dead
	return dead > 0 && alive >= quorum(voters) && alive-quorum(alive) > alive-quorum(voters)
}
