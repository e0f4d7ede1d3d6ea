package fsm

import (
	"slices"

	"github.com/steppe-project/steppe/model"
)

// UpsertEvals creates evaluations and updates existing ones. An evaluation
// that is complete, failed or canceled stays as it is. One that completes with
// nothing left to place cancels the job's blocked ones, which would only repeat
// it. Value: *Skipped, the evaluations that were final already.
type UpsertEvals struct{ Evals []*model.Evaluation }

// Kind is KindUpsertEvals.
func (*UpsertEvals) Kind() Kind { return KindUpsertEvals }

func (c *UpsertEvals) apply(x *tx) (result, error) {
	out := &Skipped{}
	return out, x.putEvals(c.Evals, out)
}

// DeleteEvals removes evaluations whatever their status. Value: *Skipped, the
// unknown ones.
type DeleteEvals struct{ IDs []string }

// Kind is KindDeleteEvals.
func (*DeleteEvals) Kind() Kind { return KindDeleteEvals }

func (c *DeleteEvals) apply(x *tx) (result, error) {
	out := &Skipped{}
	for _, id := range c.IDs {
		eval := x.Eval(id)
		if eval == nil {
			out.add(id)
			continue
		}
		x.Delete(eval)
	}
	return out, nil
}

// checkEvals refuses evaluations that could not be told apart or understood.
func checkEvals(evals []*model.Evaluation) error {
	for _, e := range evals {
		if e == nil || e.ID == "" {
			return model.Errorf(model.CodeInvalid, "an evaluation needs an id")
		}
		switch e.Status {
		case model.EvalBlocked, model.EvalPending, model.EvalComplete, model.EvalFailed, model.EvalCancelled:
		default:
			return model.Errorf(model.CodeInvalid, "evaluation %s: invalid status %q", e.ID, e.Status)
		}
	}
	return nil
}

// putEvals writes the evaluations that came with a command, or none of them when
// one is malformed; out, when not nil, gets the ids of those that were final.
func (x *tx) putEvals(evals []*model.Evaluation, out *Skipped) error {
	if err := checkEvals(evals); err != nil {
		return err
	}
	for _, e := range evals {
		if !x.putEval(e) && out != nil {
			out.add(e.ID)
		}
	}
	return nil
}

// putEval writes one evaluation, which then belongs to the store. It tells
// whether it did: a final one is not changed any more.
func (x *tx) putEval(e *model.Evaluation) bool {
	if now := x.Eval(e.ID); now != nil {
		if now.Terminal() {
			return false
		}
		e.CreateIndex, e.CreateTime = now.CreateIndex, now.CreateTime
	} else {
		e.CreateIndex = x.index
		if e.CreateTime == 0 {
			e.CreateTime = x.time
		}
	}
	e.ModifyIndex, e.ModifyTime = x.index, x.time
	x.Put(e)
	if len(e.QueuedAllocations) > 0 {
		x.SetQueued(e.Namespace, e.JobID, e.QueuedAllocations)
	}
	if e.Status == model.EvalComplete && len(e.FailedTGAllocs) == 0 && e.JobID != "" {
		x.cancelBlocked(e)
	}
	return true
}

// cancelBlocked cancels the evaluations that were blocked when done was decided.
func (x *tx) cancelBlocked(done *model.Evaluation) {
	for _, e := range slices.Collect(x.BlockedEvals(done.Namespace, done.JobID)) {
		later := done.SnapshotIndex != 0 && e.CreateIndex > done.SnapshotIndex
		if later || e.ID == done.ID || e.ID == done.BlockedEval {
			continue
		}
		next := *e
		next.Status = model.EvalCancelled
		next.StatusDescription = "evaluation " + done.ID + " successful"
		next.ModifyIndex, next.ModifyTime = x.index, x.time
		x.Put(&next)
	}
}
