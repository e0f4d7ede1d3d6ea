package workload

import (
	"time"

	propose "github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// Levels activates the newest feature level as soon as somebody leads: production's
// desk waits until all servers have said that they understand it, and here all do.
// With Preempt it has the scheduler let jobs of all types preempt others.
type Levels struct{ Preempt bool }

// Name implements loop.Component.
func (Levels) Name() string { return "levels" }

// Reads implements loop.Component.
func (Levels) Reads() []state.Table { return []state.Table{state.TableConfig} }

// Reset implements loop.Component.
func (Levels) Reset(*state.Snapshot) {}

// Observe implements loop.Component.
func (Levels) Observe([]state.Change) {}

// Step implements loop.Component.
func (l Levels) Step(_ time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	if snap.FeatureLevel() < feature.Newest {
		return []fsm.Command{propose.Of(&fsm.FeatureLevel{Level: feature.Newest})}, time.Time{}
	}
	if config := *snap.SchedulerConfig(); l.Preempt && !config.PreemptionConfig.ServiceSchedulerEnabled {
		config.PreemptionConfig = model.PreemptionConfig{
			SystemSchedulerEnabled: true, SysBatchSchedulerEnabled: true, BatchSchedulerEnabled: true, ServiceSchedulerEnabled: true,
		}
		return []fsm.Command{propose.Of(&fsm.SchedulerConfig{Config: &config})}, time.Time{}
	}
	return nil, time.Time{}
}
