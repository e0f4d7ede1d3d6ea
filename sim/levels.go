package sim

import (
	"time"

	propose "github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model/feature"
)

// levels activates the newest feature level as soon as somebody leads: production's
// desk waits until all servers have said that they understand it, and here all do.
type levels struct{}

func (levels) Name() string           { return "levels" }
func (levels) Reads() []state.Table   { return []state.Table{state.TableConfig} }
func (levels) Reset(*state.Snapshot)  {}
func (levels) Observe([]state.Change) {}

func (levels) Step(_ time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	if snap.FeatureLevel() >= feature.Newest {
		return nil, time.Time{}
	}
	return []fsm.Command{propose.Of(&fsm.FeatureLevel{Level: feature.Newest})}, time.Time{}
}
