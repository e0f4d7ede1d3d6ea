package fsm_test

import (
	"testing"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// A plan that was under way while an operator restored an older state must not
// be applied to that state.
func TestPlanOfAVanishedEvaluationIsRefused(t *testing.T) {
	f := fsm.New(state.New())
	run := func(index uint64, body fsm.Body) fsm.Outcome {
		t.Helper()
		cmd, err := fsm.NewCommand(body)
		if err != nil {
			t.Fatal(err)
		}
		return f.Apply(fsm.Entry{Index: index, Term: 1, Time: int64(index), Commands: []fsm.Command{cmd}})[0]
	}
	plan := func(snapshot uint64) *fsm.ApplyPlan {
		return &fsm.ApplyPlan{Plan: &model.Plan{EvalID: "e", Namespace: model.DefaultNamespace, JobID: "j", SnapshotIndex: snapshot}}
	}
	if out := run(1, plan(7)); model.CodeOf(out.Err) != model.CodeConflict {
		t.Fatalf("a plan without its evaluation: %v", out.Err)
	}
	eval := &model.Evaluation{ID: "e", Namespace: model.DefaultNamespace, JobID: "j", Type: model.JobTypeService, Status: model.EvalPending}
	if out := run(2, &fsm.UpsertEvals{Evals: []*model.Evaluation{eval}}); out.Err != nil {
		t.Fatal(out.Err)
	}
	if out := run(3, plan(2)); out.Err != nil {
		t.Fatalf("a plan of a pending evaluation: %v", out.Err)
	}
	done := *eval
	done.Status = model.EvalComplete
	if out := run(4, &fsm.UpsertEvals{Evals: []*model.Evaluation{&done}}); out.Err != nil {
		t.Fatal(out.Err)
	}
	if out := run(5, plan(4)); model.CodeOf(out.Err) != model.CodeConflict {
		t.Fatalf("a plan of a final evaluation: %v", out.Err)
	}
}
