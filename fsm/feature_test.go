package fsm_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// A state of the base level is written as by servers that know no levels: they have
// to read it.
func TestBaseLevelLeavesNoTrace(t *testing.T) {
	m := newMachine(t)
	m.must(&fsm.AutopilotConfig{Config: &model.AutopilotConfiguration{DisableUpgradeMigration: true}})
	for _, out := range m.apply(&fsm.AutopilotConfig{Config: &model.AutopilotConfiguration{EnableRedundancyZones: true}}, &fsm.FeatureLevel{Level: feature.Base}) {
		if model.CodeOf(out.Err) != model.CodeConflict || fsm.Fatal(out.Err) {
			t.Errorf("taken at the base level: %v", out.Err)
		}
	}
	var b bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"Level", "config_feature"} {
		if bytes.Contains(b.Bytes(), []byte(word)) {
			t.Errorf("the snapshot says %q", word)
		}
	}
	// The digest of the empty state is what servers that know no levels compute. What
	// changes it comes with a level.
	if got, want := state.New().Snapshot().Hash(), "ef89595c0d7736fc5e94f4b23a52a2ac49263cb043145b2c27d2e93d30147df0"; fmt.Sprintf("%x", got) != want {
		t.Errorf("the empty state's digest is %x, it was %s", got, want)
	}
	if got := m.snap().FeatureLevel(); got != feature.Base {
		t.Errorf("level %d", got)
	}
}

// What a node's reports say of their order leaves no trace before its level, and does
// after a snapshot, too, from then on.
func TestOrderOfReports(t *testing.T) {
	reported := func(level feature.Level, order uint64) *machine {
		m := newMachine(t)
		if level > feature.Base {
			m.must(&fsm.FeatureLevel{Level: level})
		}
		node := testNode(1)
		node.ReportsFrom = order / 2
		m.must(&fsm.RegisterNode{Node: node}, &fsm.RegisterJob{Job: testJob("web", 1), Eval: testEval("e", "web")})
		m.must(&fsm.ApplyPlan{Plan: &model.Plan{EvalID: "e", Namespace: "default", JobID: "web", Groups: []*model.PlanGroup{{
			TaskGroup: "web", Resources: &model.AllocatedResources{}, Placements: []*model.Placement{{ID: "a", NodeID: testNode(1).ID}},
		}}}})
		m.must(&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: "a", Order: order, ClientStatus: model.ClientRunning}}})
		return m
	}
	for level := feature.Base; level < feature.Order; level++ {
		if reported(level, 7).snap().Hash() != reported(level, 0).snap().Hash() {
			t.Errorf("level %d: the order is in the state", level)
		}
	}
	var with, without bytes.Buffer
	for order, b := range map[uint64]*bytes.Buffer{7: &with, 0: &without} {
		if _, err := reported(feature.Seats, order).Snapshot().WriteTo(b); err != nil {
			t.Fatal(err)
		}
	}
	if with.Len() != without.Len() { // maps are written in any order
		t.Error("the order is in the snapshot of a level that has none")
	}
	m := reported(feature.Order, 7)
	if got := m.snap().Alloc("a").ReportOrder; got != 7 {
		t.Fatalf("order %d", got)
	}
	if r := m.restored(); r.snap().Alloc("a").ReportOrder != 7 || r.snap().Node(testNode(1).ID).ReportsFrom != 3 || r.snap().Hash() != m.snap().Hash() {
		t.Error("the order is not in the snapshot")
	}
}

// A binary that understands less stops at the entry that activates a level, with
// nothing of it applied, and does not load a state of that level.
func TestHigherLevelsAreRefused(t *testing.T) {
	newer := newMachine(t)
	const beyond = feature.Newest + 1
	for _, tt := range []struct {
		name               string
		understands, level feature.Level
	}{{"this binary", feature.Newest, beyond}, {"an older one", feature.Base, feature.Seats}} {
		m := &machine{t: t, FSM: fsm.NewAt(state.New(), tt.understands), index: 9}
		before := m.snap().Hash()
		for i, out := range m.apply(&fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{}}, &fsm.FeatureLevel{Level: tt.level}) {
			if !fsm.Fatal(out.Err) || !strings.Contains(out.Err.Error(), "activates feature level") || !strings.HasSuffix(out.Err.Error(), "upgrade this server") {
				t.Errorf("%s, command %d: %v", tt.name, i, out.Err)
			}
		}
		if m.snap().Hash() != before {
			t.Errorf("%s: a part of the entry was applied", tt.name)
		}
	}
	newer.FSM = fsm.NewAt(newer.Store(), beyond)
	newer.must(&fsm.FeatureLevel{Level: beyond})
	var b bytes.Buffer
	if _, err := newer.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	m.must(&fsm.RegisterNode{Node: testNode(1)})
	before := m.snap().Hash()
	err := m.Restore(&b)
	if want := fmt.Sprintf("snapshot was written by a newer version of steppe: it is of feature level %d, and this binary understands up to %d: upgrade this server", beyond, feature.Newest); !fsm.Fatal(err) || err.Error() != want {
		t.Errorf("restored: %v, want %s", err, want)
	}
	if m.snap().Hash() != before {
		t.Error("the state is another one")
	}
}

// Every command that came with a level is in the table, and who proposes can ask.
func TestNeeds(t *testing.T) {
	for want, bodies := range map[feature.Level][]fsm.Body{
		feature.Base: {&fsm.RegisterNode{}, &fsm.AutopilotConfig{}, &fsm.AutopilotConfig{Config: &model.AutopilotConfiguration{DisableUpgradeMigration: true}}},
		feature.Seats: {
			&fsm.FeatureLevel{}, &fsm.AutopilotConfig{Config: &model.AutopilotConfiguration{EnableRedundancyZones: true}},
			&fsm.AutopilotConfig{Config: &model.AutopilotConfiguration{EnableCustomUpgrades: true}},
		},
		feature.Deployments: {
			&fsm.RevertJob{}, &fsm.TagVersion{}, &fsm.DeploymentStatus{}, &fsm.PromoteDeployment{}, &fsm.AllocHealth{},
			&fsm.ApplyPlan{Plan: &model.Plan{Deployment: &model.Deployment{}}}, &fsm.ApplyPlan{Plan: &model.Plan{Groups: []*model.PlanGroup{{OfPrevious: true}}}},
			&fsm.RegisterJob{Job: &model.Job{Type: model.JobTypeService, TaskGroups: []*model.TaskGroup{{Update: &model.UpdateStrategy{MaxParallel: 1, Canary: 1}}}}},
		},
	} {
		for _, b := range bodies {
			if got := fsm.Needs(b); got != want {
				t.Errorf("%T needs %d, want %d", b, got, want)
			}
		}
	}
}
