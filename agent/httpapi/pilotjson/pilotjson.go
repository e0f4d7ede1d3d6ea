// Package pilotjson is autopilot's settings and health in the form of the public API.
//
// Contract: what the API has under a name keeps it; what is Steppe's own is left out
// when it says nothing.
package pilotjson

import (
	"fmt"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// Config are the settings: durations as text.
type Config struct {
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

// Of are the settings in the form of the API.
func Of(c *model.AutopilotConfiguration) Config {
	return Config{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: c.LastContactThreshold.String(),
		MaxTrailingLogs: c.MaxTrailingLogs, MinQuorum: c.MinQuorum, ServerStabilizationTime: c.ServerStabilizationTime.String(),
		EnableRedundancyZones: c.EnableRedundancyZones, DisableUpgradeMigration: c.DisableUpgradeMigration,
		EnableCustomUpgrades: c.EnableCustomUpgrades, CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
	}
}

// Settings are what b says, without indexes.
func (b Config) Settings() (*model.AutopilotConfiguration, error) {
	conf := &model.AutopilotConfiguration{
		CleanupDeadServers: b.CleanupDeadServers, MaxTrailingLogs: b.MaxTrailingLogs, MinQuorum: b.MinQuorum,
		EnableRedundancyZones: b.EnableRedundancyZones, DisableUpgradeMigration: b.DisableUpgradeMigration,
		EnableCustomUpgrades: b.EnableCustomUpgrades,
	}
	for name, into := range map[string]*time.Duration{"LastContactThreshold": &conf.LastContactThreshold, "ServerStabilizationTime": &conf.ServerStabilizationTime} {
		text := b.LastContactThreshold
		if name == "ServerStabilizationTime" {
			text = b.ServerStabilizationTime
		}
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("%s: %q is not a duration such as 200ms", name, text)
		}
		*into = d
	}
	return conf, nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
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

// Reply is the health of the servers.
type Reply struct {
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

// Health is what autopilot sees in the form of the API.
func Health(out *msg.ServersHealthResponse) Reply {
	r := Reply{
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
