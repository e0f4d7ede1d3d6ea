package httpapi

import (
	"net/http"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// autopilotBody is the API's form: durations as text.
type autopilotBody struct {
	CleanupDeadServers      bool
	LastContactThreshold    string
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime string
	EnableRedundancyZones   bool
	DisableUpgradeMigration bool
	EnableCustomUpgrades    bool
	CreateIndex             uint64
	ModifyIndex             uint64
}

func (s *Server) autopilotConfig(q *request) (any, error) {
	out, err := msg.AutopilotGet.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	c := out.Config
	return autopilotBody{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: c.LastContactThreshold.String(),
		MaxTrailingLogs: c.MaxTrailingLogs, MinQuorum: c.MinQuorum, ServerStabilizationTime: c.ServerStabilizationTime.String(),
		EnableRedundancyZones: c.EnableRedundancyZones, DisableUpgradeMigration: c.DisableUpgradeMigration,
		EnableCustomUpgrades: c.EnableCustomUpgrades, CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
	}, nil
}

func (s *Server) setAutopilotConfig(q *request) (any, error) {
	var b autopilotBody
	if err := q.body(&b, false); err != nil {
		return nil, err
	}
	cas, index, err := q.cas()
	if err != nil {
		return nil, err
	}
	conf := model.AutopilotConfiguration{
		CleanupDeadServers: b.CleanupDeadServers, MaxTrailingLogs: b.MaxTrailingLogs, MinQuorum: b.MinQuorum,
		EnableRedundancyZones: b.EnableRedundancyZones, DisableUpgradeMigration: b.DisableUpgradeMigration,
		EnableCustomUpgrades: b.EnableCustomUpgrades, ModifyIndex: index,
	}
	for text, into := range map[string]*time.Duration{b.LastContactThreshold: &conf.LastContactThreshold, b.ServerStabilizationTime: &conf.ServerStabilizationTime} {
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return nil, bad("%q is not a duration such as 200ms", text)
		}
		*into = d
	}
	out, err := msg.AutopilotSet.Call(q.r.Context(), q.servers(), &msg.AutopilotConfigRequest{WriteOptions: q.writeOptions(), Config: conf, CAS: cas})
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return out.Updated || !cas, nil
}

// serverHealth is a server in the API's form. The last four are Steppe's own.
type serverHealth struct {
	ID, Name, Address, SerfStatus, Version string
	Leader                                 bool
	LastContact                            string
	LastTerm, LastIndex                    uint64
	Healthy, Voter                         bool
	StableSince                            time.Time
	RedundancyZone, UpgradeVersion, Disk   string `json:",omitempty"`
	NonVoter                               bool   `json:",omitempty"`
}

// zoneHealth is a redundancy zone in the API's form.
type zoneHealth struct {
	Servers, Voters  []string
	FailureTolerance int
}

// zoneVersions are a zone's servers by version in the API's form.
type zoneVersions struct {
	TargetVersionVoters, TargetVersionNonVoters, OtherVersionVoters, OtherVersionNonVoters []string
}

// upgradeHealth is a migration in the API's form.
type upgradeHealth struct {
	Status, TargetVersion string
	zoneVersions
	TargetVersionReadReplicas, OtherVersionReadReplicas []string
	RedundancyZones                                     map[string]zoneVersions
}

func versionsOf(v *msg.UpgradeVersions) zoneVersions {
	return zoneVersions{orEmpty(v.TargetVoters), orEmpty(v.TargetNonVoters), orEmpty(v.OtherVoters), orEmpty(v.OtherNonVoters)}
}

// autopilotReply is the health of the servers in the API's form.
type autopilotReply struct {
	Healthy                    bool
	FailureTolerance           int
	Servers                    []serverHealth
	Leader                     string
	Voters                     []string
	ReadReplicas               []string              `json:",omitempty"`
	RedundancyZones            map[string]zoneHealth `json:",omitempty"`
	Upgrade                    *upgradeHealth        `json:",omitempty"`
	OptimisticFailureTolerance int                   `json:",omitempty"`
}

func (s *Server) autopilotHealth(q *request) (any, error) {
	out, err := msg.AutopilotHealth.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if !out.Healthy {
		q.w.Header().Set("Content-Type", "application/json")
		q.w.WriteHeader(http.StatusTooManyRequests)
	}
	return pilotReply(out), nil
}

func pilotReply(out *msg.ServersHealthResponse) autopilotReply {
	r := autopilotReply{
		Healthy: out.Healthy, FailureTolerance: out.FailureTolerance, Servers: []serverHealth{}, Voters: []string{},
		OptimisticFailureTolerance: out.Optimistic,
	}
	for _, h := range out.Servers {
		r.Servers = append(r.Servers, serverHealth{
			h.ID, h.Name, h.Address, h.SerfStatus, h.Version, h.Leader, time.Duration(h.LastContact).String(),
			h.LastTerm, h.LastIndex, h.Healthy, h.Voter, time.Unix(0, h.StableSince).UTC(), h.Zone, h.Upgrade, h.Disk, h.NonVoter,
		})
		if h.Leader {
			r.Leader = h.ID
		}
		if h.Voter {
			r.Voters = append(r.Voters, h.ID)
		}
		if h.NonVoter {
			r.ReadReplicas = append(r.ReadReplicas, h.ID)
		}
	}
	for name, z := range out.Zones {
		if r.RedundancyZones == nil {
			r.RedundancyZones = make(map[string]zoneHealth, len(out.Zones))
		}
		r.RedundancyZones[name] = zoneHealth{orEmpty(z.Servers), orEmpty(z.Voters), z.FailureTolerance}
	}
	if u := out.Upgrade; u != nil {
		r.Upgrade = &upgradeHealth{
			Status: u.Status, TargetVersion: u.TargetVersion, zoneVersions: versionsOf(&u.All),
			TargetVersionReadReplicas: orEmpty(u.TargetReplicas), OtherVersionReadReplicas: orEmpty(u.OtherReplicas),
			RedundancyZones: make(map[string]zoneVersions, len(u.Zones)),
		}
		for name, v := range u.Zones {
			r.Upgrade.RedundancyZones[name] = versionsOf(v)
		}
	}
	return r
}
