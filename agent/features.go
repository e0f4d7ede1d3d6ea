package agent

import (
	"fmt"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/server/initial"
	"github.com/steppe-project/steppe/model"
)

// checkOutdated finds out whether the cluster is beyond this binary. Such a server is
// not added to the cluster by the leader; its operator is told here, in the log and in
// its health.
func (a *Agent) checkOutdated() {
	why := ""
	for _, m := range a.members() {
		if m.ID != a.id && m.Meta.Server && m.Status == gossip.StatusAlive && m.Meta.Active > int(understood()) {
			why = fmt.Sprintf("the cluster is at feature level %d (%s says), and this binary understands up to %d: upgrade this server",
				m.Meta.Active, m.Meta.Name, understood())
		}
	}
	before := a.outdated.Swap(&why)
	if why != "" && (before == nil || *before != why) {
		a.log.Error("this server cannot be one of the cluster", "reason", why)
	}
}

// outdatedText is why this server cannot be one of the cluster, "" when it can.
func (a *Agent) outdatedText() string {
	if why := a.outdated.Load(); why != nil {
		return *why
	}
	return ""
}

// preemption is what the configuration says of it, over what is usual.
func preemption(p *config.Preemption) model.PreemptionConfig {
	out := model.PreemptionConfig{SystemSchedulerEnabled: true}
	for into, given := range map[*bool]*bool{
		&out.SystemSchedulerEnabled: p.System, &out.SysBatchSchedulerEnabled: p.Sysbatch,
		&out.BatchSchedulerEnabled: p.Batch, &out.ServiceSchedulerEnabled: p.Service,
	} {
		if given != nil {
			*into = *given
		}
	}
	return out
}

// initialSettings are the settings that the configuration starts a cluster with.
func initialSettings(c *config.Config) initial.Settings {
	p, s := c.Autopilot, c.Server.DefaultScheduler
	return initial.Settings{
		Autopilot: &model.AutopilotConfiguration{
			CleanupDeadServers: *p.CleanupDeadServers, LastContactThreshold: config.Duration(p.LastContactThreshold),
			MaxTrailingLogs: uint64(p.MaxTrailingLogs), MinQuorum: uint(p.MinQuorum),
			ServerStabilizationTime: config.Duration(p.ServerStabilizationTime), EnableRedundancyZones: p.EnableRedundancyZones,
			DisableUpgradeMigration: p.DisableUpgradeMigration, EnableCustomUpgrades: p.EnableCustomUpgrades,
		},
		Scheduler: &model.SchedulerConfiguration{
			SchedulerAlgorithm: s.Algorithm, MemoryOversubscriptionEnabled: s.MemoryOversubscription,
			RejectJobRegistration: s.RejectJobRegistration, PauseEvalBroker: s.PauseEvalBroker,
			PreemptionConfig: preemption(s.Preemption),
		},
	}
}
