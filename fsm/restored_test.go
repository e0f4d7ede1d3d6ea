package fsm_test

import (
	"testing"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
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

// TestPlanOfAChangedEvaluationIsRefused: what was decided on an evaluation that has been
// handed out again since brings nothing, else both decisions would.
func TestPlanOfAChangedEvaluationIsRefused(t *testing.T) {
	for level, refused := range map[feature.Level]bool{feature.Gangs: false, feature.Again: true} {
		f := fsm.New(state.New())
		index := uint64(0)
		run := func(body fsm.Body) fsm.Outcome {
			t.Helper()
			cmd, err := fsm.NewCommand(body)
			if err != nil {
				t.Fatal(err)
			}
			index++
			return f.Apply(fsm.Entry{Index: index, Term: 1, Time: int64(index), Commands: []fsm.Command{cmd}})[0]
		}
		eval := func() *model.Evaluation {
			return &model.Evaluation{ID: "e", Namespace: model.DefaultNamespace, JobID: "j", Type: model.JobTypeService, Status: model.EvalPending}
		}
		run(&fsm.FeatureLevel{Level: level})
		run(&fsm.UpsertEvals{Evals: []*model.Evaluation{eval()}})
		decided := eval()
		decided.ModifyIndex, decided.Status = index, model.EvalComplete
		run(&fsm.UpsertEvals{Evals: []*model.Evaluation{eval()}}) // woken again
		plan := &model.Plan{EvalID: "e", Namespace: model.DefaultNamespace, JobID: "j", SnapshotIndex: index - 1, Eval: decided}
		if out := run(&fsm.ApplyPlan{Plan: plan}); (model.CodeOf(out.Err) == model.CodeConflict) != refused {
			t.Errorf("at level %d a plan of an evaluation that was handed out again: %v", level, out.Err)
		}
	}
}
