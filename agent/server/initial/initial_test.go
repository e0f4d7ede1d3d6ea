package initial

import (
	"testing"
	"time"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

func TestInitialSettings(t *testing.T) {
	m, index := fsm.New(state.New()), uint64(10)
	apply := func(cmds ...fsm.Command) {
		t.Helper()
		index++
		for _, out := range m.Apply(fsm.Entry{Index: index, Term: 1, Time: int64(index), Commands: cmds}) {
			if out.Err != nil {
				t.Fatal(out.Err)
			}
		}
	}
	step := func(c *Initial) []fsm.Command {
		cmds, _ := c.Step(time.Time{}, m.Store().Snapshot())
		return cmds
	}
	same := *m.Store().Snapshot().AutopilotConfig()
	if cmds := step(New(Settings{Autopilot: &same})); len(cmds) > 0 {
		t.Errorf("the defaults are proposed: %v", cmds)
	}
	zones := same
	zones.EnableRedundancyZones = true
	c := New(Settings{Autopilot: &zones, Scheduler: &model.SchedulerConfiguration{
		SchedulerAlgorithm: model.AlgorithmSpread, PreemptionConfig: model.PreemptionConfig{ServiceSchedulerEnabled: true},
	}})
	cmds := step(c)
	if len(cmds) != 1 || cmds[0].Kind != fsm.KindSchedulerConfig {
		t.Fatalf("zones need a level first: %v", cmds)
	}
	apply(cmds...)
	if s := m.Store().Snapshot().SchedulerConfig(); s.SchedulerAlgorithm != model.AlgorithmSpread || !s.PreemptionConfig.ServiceSchedulerEnabled || s.PreemptionConfig.SystemSchedulerEnabled {
		t.Errorf("%+v", s)
	}
	level, err := fsm.NewCommand(&fsm.FeatureLevel{Level: feature.Seats})
	if err != nil {
		t.Fatal(err)
	}
	apply(level)
	apply(step(c)...)
	if !m.Store().Snapshot().AutopilotConfig().EnableRedundancyZones {
		t.Error("zones are off")
	}
	// Somebody turns them off: the file is not what counts any more.
	off, err := fsm.NewCommand(&fsm.AutopilotConfig{Config: &same})
	if err != nil {
		t.Fatal(err)
	}
	apply(off)
	if cmds := step(c); len(cmds) > 0 {
		t.Errorf("settings of an operator are replaced: %v", cmds)
	}
}
