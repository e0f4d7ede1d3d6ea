package operator

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/consensus/pilot"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

func (d *Desk) autopilotSet(ctx context.Context, r *msg.AutopilotConfigRequest) (*msg.CASResponse, error) {
	config := r.Config
	for name, v := range map[string]time.Duration{
		"LastContactThreshold": config.LastContactThreshold, "ServerStabilizationTime": config.ServerStabilizationTime,
	} {
		if v < 0 {
			return nil, model.Errorf(model.CodeInvalid, "%s must not be negative", name)
		}
	}
	body := &fsm.AutopilotConfig{Config: &config, CAS: r.CAS, Index: r.Config.ModifyIndex}
	// Older servers would take it: it must not come into the log.
	if err := fsm.Gate(fsm.Needs(body), d.cfg.Store.Snapshot().FeatureLevel()); err != nil {
		return nil, model.Errorf(model.CodeConflict, "EnableRedundancyZones and EnableCustomUpgrades: %w", err)
	}
	return d.set(ctx, r.RequestID, body)
}

func (d *Desk) autopilotHealth(context.Context, *msg.StatusRequest) (*msg.ServersHealthResponse, error) {
	h := d.cfg.Health()
	resp := &msg.ServersHealthResponse{
		QueryMeta: d.meta(), Healthy: h.Healthy, FailureTolerance: h.FailureTolerance, Optimistic: h.Optimistic,
	}
	for _, s := range h.Servers {
		resp.Servers = append(resp.Servers, &msg.ServerHealth{
			ID: s.ID, Name: s.Name, Address: s.Addr, SerfStatus: s.Status, Version: s.Build, Leader: s.Leader,
			LastContact: int64(s.LastContact), LastTerm: s.LastTerm, LastIndex: s.LastIndex, Healthy: s.Healthy,
			Voter: s.Voter, StableSince: s.StableSince.UnixNano(), Zone: s.Zone, Upgrade: s.Upgrade, NonVoter: s.NonVoter, Disk: s.Disk,
		})
	}
	if h.Zones != nil {
		resp.Zones = make(map[string]*msg.ZoneHealth, len(h.Zones))
		for name, z := range h.Zones {
			resp.Zones[name] = &msg.ZoneHealth{Servers: z.Servers, Voters: z.Voters, FailureTolerance: z.FailureTolerance}
		}
	}
	if u := h.Upgrade; u != nil {
		resp.Upgrade = &msg.UpgradeHealth{
			Status: u.Status, TargetVersion: u.TargetVersion, All: versions(u.Versions),
			TargetReplicas: u.TargetReplicas, OtherReplicas: u.OtherReplicas,
		}
		for name, v := range u.Zones {
			if resp.Upgrade.Zones == nil {
				resp.Upgrade.Zones = make(map[string]*msg.UpgradeVersions, len(u.Zones))
			}
			of := versions(v)
			resp.Upgrade.Zones[name] = &of
		}
	}
	return resp, nil
}

func versions(v pilot.Versions) msg.UpgradeVersions {
	return msg.UpgradeVersions{
		TargetVoters: v.TargetVoters, TargetNonVoters: v.TargetNonVoters, OtherVoters: v.OtherVoters, OtherNonVoters: v.OtherNonVoters,
	}
}
