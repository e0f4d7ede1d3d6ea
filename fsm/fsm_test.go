package fsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// machine is a state machine with its log.
type machine struct {
	t testing.TB
	*fsm.FSM
	index uint64
}

func newMachine(t testing.TB) *machine {
	return &machine{t: t, FSM: fsm.New(state.New()), index: 9}
}

// entryTime is the time of an entry: one second apart.
func entryTime(index uint64) int64 { return 1_700_000_000_000_000_000 + int64(index)*1_000_000_000 }

// apply sends commands through the log format and applies them.
func (m *machine) apply(bodies ...fsm.Body) []fsm.Outcome {
	m.t.Helper()
	cmds := make([]fsm.Command, len(bodies))
	for i, b := range bodies {
		var err error
		if cmds[i], err = fsm.NewCommand(b); err != nil {
			m.t.Fatal(err)
		}
	}
	return m.applyCommands(cmds...)
}

func (m *machine) applyCommands(cmds ...fsm.Command) []fsm.Outcome {
	m.t.Helper()
	m.index++
	data, err := fsm.EncodeEntry(entryTime(m.index), cmds)
	if err != nil {
		m.t.Fatal(err)
	}
	e, err := fsm.DecodeEntry(m.index, 1, data)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.Apply(e)
}

// must is apply of commands that may not fail; it returns the last value.
func (m *machine) must(bodies ...fsm.Body) any {
	m.t.Helper()
	var last any
	for i, o := range m.apply(bodies...) {
		if o.Err != nil {
			m.t.Fatalf("command %d: %v", i, o.Err)
		}
		last = o.Value
	}
	return last
}

func (m *machine) snap() *state.Snapshot { return m.Store().Snapshot() }

// restored is a second machine with the state of this one.
func (m *machine) restored() *machine {
	m.t.Helper()
	var buf bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&buf); err != nil {
		m.t.Fatal(err)
	}
	r := newMachine(m.t)
	r.index = m.index
	if err := r.Restore(&buf); err != nil {
		m.t.Fatal(err)
	}
	return r
}

func testNode(i int) *model.Node {
	return &model.Node{
		ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), SecretID: "s", Name: fmt.Sprintf("node-%d", i),
		Datacenter: "dc1", NodePool: "default", Status: model.NodeStatusReady,
		Attributes: map[string]string{"kernel.name": "linux", "cpu.arch": "amd64"},
	}
}

func testJob(id string, count int) *model.Job {
	return &model.Job{
		ID: id, Name: id, Namespace: "default", Type: model.JobTypeService, Priority: 50, NodePool: "default",
		TaskGroups: []*model.TaskGroup{{Name: "web", Count: count, Tasks: []*model.Task{{Name: "app", Driver: "mock", Config: map[string]any{"a": "b"}}}}},
	}
}

func testEval(id, job string) *model.Evaluation {
	return &model.Evaluation{ID: id, Namespace: "default", JobID: job, Type: "service", Status: model.EvalPending, TriggeredBy: model.TriggerJobRegister}
}

func TestSmoke(t *testing.T) {
	m := newMachine(t)
	m.must(&fsm.RegisterNode{Node: testNode(1)})
	res := m.must(&fsm.RegisterJob{Job: testJob("web", 2), Eval: testEval("e1", "web")}).(*fsm.JobResult)
	if res.Version != 0 || res.EvalID != "e1" || res.JobModifyIndex != m.index {
		t.Fatalf("%+v", res)
	}
	done := testEval("e1", "web")
	done.Status = model.EvalComplete
	m.must(&fsm.ApplyPlan{Plan: &model.Plan{EvalID: "e1", Namespace: "default", JobID: "web", Eval: done, Groups: []*model.PlanGroup{{
		TaskGroup: "web", Resources: &model.AllocatedResources{}, Placements: []*model.Placement{
			{ID: "a1", NodeID: testNode(1).ID}, {ID: "a2", Index: 1, NodeID: testNode(1).ID},
		},
	}}}})
	if j := m.snap().Job("default", "web"); j.Status != model.JobStatusRunning {
		t.Fatalf("status %s", j.Status)
	}
	if s := m.snap().JobSummary("default", "web").Summary["web"]; s.Starting != 2 {
		t.Fatalf("%+v", s)
	}
	r := m.restored()
	if r.snap().Hash() != m.snap().Hash() {
		t.Fatal("hash differs after restore")
	}
	if a := r.snap().Alloc("a2"); a.Name != "web.web[1]" || a.Job == nil || a.Job != r.snap().JobVersion("default", "web", 0) {
		t.Fatalf("%+v", a)
	}
}
