package pilot

import (
	"cmp"
	"maps"
	"slices"
	"time"

	autopilot "github.com/hashicorp/raft-autopilot"
)

// ServerHealth is one server's health, as autopilot sees it.
type ServerHealth struct {
	ID, Name, Addr, Build string
	Status                string // gossip's: alive, failed, left, unknown
	Zone, Upgrade         string
	Leader, Voter         bool
	NonVoter              bool // never to vote
	Healthy               bool
	StableSince           time.Time
	LastContact           time.Duration
	LastTerm, LastIndex   uint64
	Disk                  string // what ails it, in words
}

// Health is the health of the server set.
type Health struct {
	Healthy bool
	// FailureTolerance is how many voters may fail before the cluster cannot
	// decide any more; Optimistic how many servers may, when standbys have time to
	// take their places.
	FailureTolerance, Optimistic int
	Servers                      []ServerHealth
	Zones                        map[string]Zone // nil while zones are off
	Upgrade                      *Upgrade        // nil when there is one version only
}

// Zone is how a redundancy zone stands.
type Zone struct {
	Servers, Voters  []string
	FailureTolerance int // how many of its healthy servers may fail before it has none
}

// Versions are the ids of servers by their part in a migration.
type Versions struct {
	TargetVoters, TargetNonVoters, OtherVoters, OtherNonVoters []string
}

// Upgrade is how a migration stands.
type Upgrade struct {
	Status        string // see the constants
	TargetVersion string
	Versions
	TargetReplicas, OtherReplicas []string // that never vote
	Zones                         map[string]Versions
}

// What a migration is about to do.
const (
	UpgradeDisabled     = "disabled"
	UpgradeWaiting      = "await-new-voters"     // for as many newer servers as there are old voters
	UpgradePromoting    = "promoting"            // the newer ones
	UpgradeTransferring = "leader-transfer"      // to a newer one
	UpgradeDemoting     = "demoting"             // the old ones
	UpgradeDone         = "await-server-removal" // by the operator, of the old ones
	UpgradeInPlace      = "await-new-servers"    // old voters stay until their binaries are replaced
)

// Health returns what autopilot last saw; empty on a server that does not lead.
func (a *Autopilot) Health() Health {
	st := a.pilot.GetState()
	out := Health{Healthy: st.Healthy, FailureTolerance: st.FailureTolerance}
	known := make(map[string]KnownServer)
	for _, k := range a.cfg.Servers() {
		known[k.ID] = k
	}
	a.mu.Lock()
	disks := maps.Clone(a.disks)
	a.mu.Unlock()
	for _, s := range st.Servers {
		k := known[string(s.Server.ID)]
		out.Servers = append(out.Servers, ServerHealth{
			ID: string(s.Server.ID), Name: s.Server.Name, Addr: string(s.Server.Address), Build: s.Server.Version,
			Status: string(s.Server.NodeStatus), Zone: k.Zone, Upgrade: k.Upgrade, NonVoter: k.NonVoter,
			Leader: s.State == autopilot.RaftLeader, Voter: s.HasVotingRights(),
			Healthy: s.Health.Healthy, StableSince: s.Health.StableSince,
			LastContact: s.Stats.LastContact, LastTerm: s.Stats.LastTerm, LastIndex: s.Stats.LastIndex,
			Disk: disks[string(s.Server.ID)],
		})
	}
	slices.SortFunc(out.Servers, func(x, y ServerHealth) int { return cmp.Compare(x.ID, y.ID) })
	if len(out.Servers) == 0 {
		return out
	}
	c := delegate{a}.AutopilotConfig()
	settings := a.cfg.Settings()
	servers := a.survey(c, &settings, st)
	out.Optimistic = out.FailureTolerance
	if settings.EnableRedundancyZones {
		out.Zones = zonesOf(servers)
		for _, s := range servers {
			out.Optimistic += bit(s.Healthy && !s.Voter && !s.NonVoter)
		}
	}
	out.Upgrade = upgradeOf(settingsOf(&settings), servers)
	return out
}

func (a *Autopilot) noteDisk(id, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if text == "" {
		delete(a.disks, id)
	} else {
		a.disks[id] = text
	}
}

// zonesOf is how the zones stand.
func zonesOf(servers []Server) map[string]Zone {
	out := map[string]Zone{}
	for _, s := range newPlan(Settings{}, servers).servers {
		if s.Zone == "" || s.NonVoter {
			continue
		}
		z, seen := out[s.Zone]
		if !seen {
			z.FailureTolerance = -1
		}
		z.Servers = append(z.Servers, s.ID)
		if s.Voter {
			z.Voters = append(z.Voters, s.ID)
		}
		z.FailureTolerance += bit(s.Healthy)
		out[s.Zone] = z
	}
	for name, z := range out {
		z.FailureTolerance = max(z.FailureTolerance, 0)
		out[name] = z
	}
	return out
}

// upgradeOf is how a migration stands, nil when all servers are of one version.
func upgradeOf(set Settings, servers []Server) *Upgrade {
	p := newPlan(Settings{Zones: set.Zones, Migrate: true}, servers)
	u := &Upgrade{}
	if set.Zones {
		u.Zones = map[string]Versions{}
	}
	mixed := false
	for _, s := range p.servers {
		old := p.old(s)
		mixed = mixed || old
		if !old && u.TargetVersion == "" {
			u.TargetVersion = s.Version
		}
		switch {
		case s.NonVoter && old:
			u.OtherReplicas = append(u.OtherReplicas, s.ID)
		case s.NonVoter:
			u.TargetReplicas = append(u.TargetReplicas, s.ID)
		default:
			u.add(s, old)
			if set.Zones && s.Zone != "" {
				v := u.Zones[s.Zone]
				v.add(s, old)
				u.Zones[s.Zone] = v
			}
		}
	}
	if !mixed || p.target == nil {
		return nil
	}
	u.Status = p.status(set, len(u.OtherVoters))
	return u
}

func (v *Versions) add(s *Server, old bool) {
	list := &v.TargetNonVoters
	switch {
	case old && s.Voter:
		list = &v.OtherVoters
	case old:
		list = &v.OtherNonVoters
	case s.Voter:
		list = &v.TargetVoters
	}
	*list = append(*list, s.ID)
}

func (p *plan) status(set Settings, oldVoters int) string {
	step := p.step()
	switch {
	case !set.Migrate:
		return UpgradeDisabled
	case !p.ready:
		return UpgradeWaiting
	case len(step.Promote) > 0:
		return UpgradePromoting
	case step.Leader != "":
		return UpgradeTransferring
	case len(step.Demote) > 0:
		return UpgradeDemoting
	case oldVoters == 0:
		return UpgradeDone
	}
	return UpgradeInPlace
}
