package query

import (
	"context"
	"iter"
	"slices"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

func (q *Queries) evalGet(ctx context.Context, r *msg.IDQuery) (*msg.EvalResponse, error) {
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicKey(state.TableEvals, r.ID)},
		func(m *msg.EvalResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.EvalResponse], error) {
			e := snap.Eval(r.ID)
			if e == nil {
				return result[msg.EvalResponse]{&msg.EvalResponse{}, snap.TableIndex(state.TableEvals), ""}, nil
			}
			if r.Related {
				e = withRelated(snap, e)
			}
			return result[msg.EvalResponse]{&msg.EvalResponse{Eval: e}, e.ModifyIndex, ""}, nil
		})
}

// withRelated is a copy of e with the evaluations that it came from or led to,
// oldest first.
func withRelated(snap *state.Snapshot, e *model.Evaluation) *model.Evaluation {
	seen := map[string]bool{e.ID: true}
	var found []*model.Evaluation
	for todo := []*model.Evaluation{e}; len(todo) > 0; todo = todo[1:] {
		for _, id := range []string{todo[0].PreviousEval, todo[0].NextEval, todo[0].BlockedEval} {
			if id == "" || seen[id] {
				continue
			}
			seen[id] = true
			if other := snap.Eval(id); other != nil {
				found = append(found, other)
				todo = append(todo, other)
			}
		}
	}
	slices.SortFunc(found, func(a, b *model.Evaluation) int {
		return compareCreated(a.CreateIndex, a.ID, b.CreateIndex, b.ID)
	})
	c := *e
	c.RelatedEvals = make([]*model.EvaluationStub, 0, len(found))
	for _, f := range found {
		c.RelatedEvals = append(c.RelatedEvals, f.Stub())
	}
	return &c
}

func (q *Queries) evalList(ctx context.Context, r *msg.EvalListRequest) (*msg.EvalListResponse, error) {
	from, err := parseCreated(r.NextToken)
	if err != nil {
		return nil, err
	}
	return run(ctx, q, &r.QueryOptions, evalTopics(r),
		func(m *msg.EvalListResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.EvalListResponse], error) {
			rows, index := evalRows(snap, r, from)
			evals, next, err := page(rows, &r.QueryOptions, evalFilter(r),
				func(e *model.Evaluation) string { return createdToken(e.CreateIndex, e.ID) })
			return result[msg.EvalListResponse]{&msg.EvalListResponse{Evals: evals}, index, next}, err
		})
}

func (q *Queries) evalCount(ctx context.Context, r *msg.EvalListRequest) (*msg.CountResponse, error) {
	return run(ctx, q, &r.QueryOptions, evalTopics(r),
		func(m *msg.CountResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.CountResponse], error) {
			rows, index := evalRows(snap, r, state.Key{})
			all := r.QueryOptions
			all.PerPage = 0
			evals, _, err := page(rows, &all, evalFilter(r), func(*model.Evaluation) string { return "" })
			return result[msg.CountResponse]{&msg.CountResponse{Count: len(evals)}, index, ""}, err
		})
}

// ofOneJob tells whether the list is of one job in one namespace.
func ofOneJob(r *msg.EvalListRequest) bool {
	return r.JobID != "" && namespaceOf(&r.QueryOptions) != ""
}

func evalTopics(r *msg.EvalListRequest) []state.Topic {
	if ofOneJob(r) {
		return []state.Topic{state.TopicJobEvals(r.RequestNamespace(), r.JobID)}
	}
	return table(state.TableEvals)
}

func evalFilter(r *msg.EvalListRequest) func(*model.Evaluation) bool {
	return func(e *model.Evaluation) bool {
		return (r.Status == "" || e.Status == r.Status) && (r.JobID == "" || e.JobID == r.JobID) &&
			visible(&r.QueryOptions, e.Namespace)
	}
}

// evalRows are the evaluations that the request may be about, in order, and the
// index of their last change.
func evalRows(snap *state.Snapshot, r *msg.EvalListRequest, from state.Key) (iter.Seq[*model.Evaluation], uint64) {
	rows := snap.Evals(state.Range{
		Namespace: namespaceOf(&r.QueryOptions), Prefix: r.Prefix, From: from, Reverse: r.Reverse,
	})
	index := snap.TableIndex(state.TableEvals)
	if !ofOneJob(r) {
		return rows, index
	}
	list := slices.Collect(snap.EvalsByJob(r.RequestNamespace(), r.JobID))
	if len(list) > 0 {
		index = 0
	}
	for _, e := range list {
		index = max(index, e.ModifyIndex)
	}
	if r.Reverse {
		slices.Reverse(list)
	}
	return slices.Values(slices.DeleteFunc(list, func(e *model.Evaluation) bool {
		return before(e, from, r.Reverse) || !hasPrefix(e.ID, r.Prefix)
	})), index
}
