package fsm_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

func encoded(t testing.TB, bodies ...fsm.Body) []byte {
	t.Helper()
	var cmds []fsm.Command
	for _, b := range bodies {
		c, err := fsm.NewCommand(b)
		if err != nil {
			t.Fatal(err)
		}
		c.RequestID = "r"
		cmds = append(cmds, c)
	}
	data, err := fsm.EncodeEntry(1, cmds)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Nothing that can be read as a log entry makes the state machine panic, and
// two machines agree on what it does.
func FuzzDecodeEntry(f *testing.F) {
	plan := &model.Plan{EvalID: "e", JobID: "web", Namespace: "default", Groups: []*model.PlanGroup{{TaskGroup: "web", Placements: []*model.Placement{{ID: "a", NodeID: "n"}}}}}
	for _, b := range []fsm.Body{
		&fsm.RegisterNode{Node: testNode(1)}, &fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: "n", Status: "ready"}}},
		&fsm.RegisterJob{Job: testJob("web", 1), Eval: testEval("e", "web")}, &fsm.DeregisterJob{ID: "web"},
		&fsm.UpsertEvals{Evals: []*model.Evaluation{testEval("e", "web")}}, &fsm.ApplyPlan{Plan: plan},
		&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: "a", ClientStatus: "running"}}},
		&fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{}}, &fsm.Collect{Evals: []string{"e"}},
	} {
		f.Add(encoded(f, b))
	}
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := fsm.DecodeEntry(12, 1, data)
		if err != nil {
			return
		}
		again, err := fsm.EncodeEntry(e.Time, e.Commands)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fsm.DecodeEntry(12, 1, again); err != nil {
			t.Fatal(err)
		}
		a, b := fsm.New(state.New()), fsm.New(state.New())
		e2, _ := fsm.DecodeEntry(12, 1, again)
		outA, outB := a.Apply(e), b.Apply(e2)
		for i := range outA {
			if (outA[i].Err == nil) != (outB[i].Err == nil) {
				t.Fatalf("outcomes differ: %v, %v", outA[i].Err, outB[i].Err)
			}
			if fsm.Fatal(outA[i].Err) {
				continue
			}
			out, err := fsm.EncodeOutcome(e.Commands[i].Kind, outA[i])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fsm.DecodeOutcome(out); err != nil {
				t.Fatal(err)
			}
		}
		if a.Store().Snapshot().Hash() != b.Store().Snapshot().Hash() {
			t.Fatal("states differ")
		}
		var buf bytes.Buffer
		if _, err := a.Snapshot().WriteTo(&buf); err != nil {
			t.Fatal(err)
		}
		if err := b.Restore(&buf); err != nil || a.Store().Snapshot().Hash() != b.Store().Snapshot().Hash() {
			t.Fatalf("restore: %v", err)
		}
	})
}

// Entries keep their limits, and a newer version's are refused loudly.
func TestEntries(t *testing.T) {
	data := encoded(t, &fsm.Collect{}, &fsm.DeleteEvals{})
	e, err := fsm.DecodeEntry(7, 3, data)
	if err != nil || e.Index != 7 || e.Term != 3 || e.Time != 1 || len(e.Commands) != 2 || e.Commands[1].Kind != fsm.KindDeleteEvals || e.Commands[0].RequestID != "r" {
		t.Fatalf("%+v, %v", e, err)
	}
	for n := range data {
		if _, err := fsm.DecodeEntry(7, 3, data[:n]); err == nil || fsm.Fatal(err) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := fsm.DecodeEntry(7, 3, append(bytes.Clone(data), 0)); err == nil {
		t.Fatal("a byte too many")
	}
	newer := bytes.Clone(data)
	newer[0]++
	if _, err := fsm.DecodeEntry(7, 3, newer); !fsm.Fatal(err) {
		t.Fatalf("newer format: %v", err)
	}
	for name, cmds := range map[string][]fsm.Command{
		"none": nil, "many": make([]fsm.Command, fsm.MaxEntryCommands+1),
		"request id": {{RequestID: string(make([]byte, fsm.MaxRequestIDBytes+1))}},
		"size":       {{Body: make([]byte, fsm.MaxEntryBytes)}},
	} {
		if _, err := fsm.EncodeEntry(1, cmds); model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An entry with a command of a newer version is not applied, not even in part.
func TestUnknownCommand(t *testing.T) {
	m := newMachine(t)
	known, err := fsm.NewCommand(&fsm.RegisterJob{Job: testJob("web", 1)})
	if err != nil {
		t.Fatal(err)
	}
	before := m.snap()
	for _, o := range m.applyCommands(known, fsm.Command{Kind: 9999}) {
		if !fsm.Fatal(o.Err) {
			t.Fatalf("outcome %+v", o)
		}
	}
	if m.snap() != before {
		t.Fatal("the state changed")
	}
	if err := m.Restore(bytes.NewReader([]byte("STEPPE\x00\x09"))); !fsm.Fatal(err) || !errors.As(err, new(*fsm.FatalError)) {
		t.Fatalf("newer snapshot: %v", err)
	}
	out := m.applyCommands(fsm.Command{Kind: fsm.KindRegisterJob, Body: []byte("damaged")})
	if model.CodeOf(out[0].Err) != model.CodeInternal || fsm.Fatal(out[0].Err) {
		t.Fatalf("damaged body: %+v", out[0])
	}
}

// Remembered requests are bounded; the oldest go first.
func TestRequestsAreBounded(t *testing.T) {
	m := newMachine(t)
	c, err := fsm.NewCommand(&fsm.Collect{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		cmds := make([]fsm.Command, fsm.MaxRequests/2)
		for j := range cmds {
			cmds[j] = c
			cmds[j].RequestID = testNode(i*len(cmds) + j).ID
		}
		m.applyCommands(cmds...)
	}
	if n := m.snap().Count(state.TableRequests); n != fsm.MaxRequests {
		t.Fatalf("%d requests", n)
	}
	if m.snap().Request(testNode(0).ID) != nil || m.snap().Request(testNode(fsm.MaxRequests).ID) == nil {
		t.Fatal("not the oldest went")
	}
}
