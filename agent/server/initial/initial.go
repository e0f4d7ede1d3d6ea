// Package initial gives a cluster the settings that its configuration files start
// it with: a pure component.
//
// Contract: only settings that nobody has set are replaced, once; what needs a
// feature level waits for it.
//
// Example:
//
//	c := initial.New(initial.Settings{Autopilot: &autopilot})
package initial

import (
	"time"

	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Settings are what the configuration says; nil leaves the defaults.
type Settings struct {
	Autopilot *model.AutopilotConfiguration
	Scheduler *model.SchedulerConfiguration
}

// Initial is the component.
type Initial struct{ settings Settings }

// New makes the component.
func New(s Settings) *Initial { return &Initial{s} }

// Name implements loop.Component.
func (*Initial) Name() string { return "initial" }

// Reads implements loop.Component.
func (*Initial) Reads() []state.Table { return []state.Table{state.TableConfig} }

// Reset implements loop.Component.
func (*Initial) Reset(*state.Snapshot) {}

// Observe implements loop.Component.
func (*Initial) Observe([]state.Change) {}

// Step implements loop.Component.
func (i *Initial) Step(_ time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	var cmds []fsm.Command
	propose := func(body fsm.Body) {
		if fsm.Needs(body) <= snap.FeatureLevel() {
			cmds = append(cmds, proposal.Of(body))
		}
	}
	if now := snap.AutopilotConfig(); i.settings.Autopilot != nil && now.ModifyIndex == state.SeedIndex {
		next := *i.settings.Autopilot
		if next.CreateIndex, next.ModifyIndex = now.CreateIndex, now.ModifyIndex; next != *now {
			propose(&fsm.AutopilotConfig{Config: &next, CAS: true, Index: now.ModifyIndex})
		}
	}
	if now := snap.SchedulerConfig(); i.settings.Scheduler != nil && now.ModifyIndex == state.SeedIndex {
		next := *i.settings.Scheduler
		next.MassLoss = now.MassLoss // files do not say it
		if next.CreateIndex, next.ModifyIndex = now.CreateIndex, now.ModifyIndex; next != *now {
			propose(&fsm.SchedulerConfig{Config: &next, CAS: true, Index: now.ModifyIndex})
		}
	}
	return cmds, time.Time{}
}
