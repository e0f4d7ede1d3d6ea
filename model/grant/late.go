package grant

import "github.com/steppe-project/steppe/model"

// Late tells why a plan comes too late for its evaluation as it is now, nil when it is
// gone: with code conflict, and then somebody else sees to the evaluation. With
// supersedes that is so too when it was changed since it was handed out. (A plan without
// an index was made on no state.)
func Late(plan *model.Plan, now *model.Evaluation, supersedes bool) error {
	switch {
	case plan.SnapshotIndex == 0:
		return nil
	case now == nil || now.Terminal():
		// An operator's restore, or a purge, came in between: the decision is about a
		// state that is no more.
		return model.Errorf(model.CodeConflict, "evaluation %s of the plan is gone or final", plan.EvalID)
	case supersedes && plan.Eval != nil && plan.Eval.ModifyIndex != now.ModifyIndex:
		// It was handed out again, and may be decided without what this plan brings.
		return model.Errorf(model.CodeConflict, "evaluation %s was changed after it was handed out", plan.EvalID)
	}
	return nil
}
