package query

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

func (q *Queries) allocGet(ctx context.Context, r *msg.IDQuery) (*msg.AllocResponse, error) {
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicKey(state.TableAllocs, r.ID)},
		func(m *msg.AllocResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.AllocResponse], error) {
			a := snap.Alloc(r.ID)
			index := snap.TableIndex(state.TableAllocs)
			if a != nil {
				index = a.ModifyIndex
			}
			return result[msg.AllocResponse]{&msg.AllocResponse{Alloc: a}, index, ""}, nil
		})
}

func (q *Queries) allocList(ctx context.Context, r *msg.AllocListRequest) (*msg.AllocListResponse, error) {
	from, err := parseCreated(r.NextToken)
	if err != nil {
		return nil, err
	}
	return run(ctx, q, &r.QueryOptions, allocTopics(r),
		func(m *msg.AllocListResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.AllocListResponse], error) {
			rows, index := allocRows(snap, r, from)
			allocs, next, err := page(rows, &r.QueryOptions, nil,
				func(a *model.Allocation) string { return createdToken(a.CreateIndex, a.ID) })
			resp := &msg.AllocListResponse{Allocs: make([]*model.AllocListStub, 0, len(allocs))}
			for _, a := range allocs {
				resp.Allocs = append(resp.Allocs, a.Stub(r.Resources, r.TaskStates))
			}
			return result[msg.AllocListResponse]{resp, index, next}, err
		})
}

func allocTopics(r *msg.AllocListRequest) []state.Topic {
	switch {
	case r.JobID != "":
		return []state.Topic{state.TopicJobAllocs(r.RequestNamespace(), r.JobID)}
	case r.NodeID != "":
		return []state.Topic{state.TopicNodeAllocs(r.NodeID)}
	case r.EvalID != "":
		return []state.Topic{state.TopicEvalAllocs(r.EvalID)}
	case r.DeploymentID != "":
		return []state.Topic{state.TopicDeploymentAllocs(r.DeploymentID)}
	}
	return table(state.TableAllocs)
}

// allocRows are the allocations of the request by creation, and the index of
// their last change. Those of one job, node or evaluation are few enough to be
// sorted here.
func allocRows(snap *state.Snapshot, r *msg.AllocListRequest, from state.Key) (iter.Seq[*model.Allocation], uint64) {
	var rows iter.Seq[*model.Allocation]
	keep := func(*model.Allocation) bool { return true }
	switch {
	case r.JobID != "":
		ns := r.RequestNamespace()
		rows = snap.AllocsByJob(ns, r.JobID)
		if job := snap.Job(ns, r.JobID); job != nil && !r.AllVersion {
			keep = func(a *model.Allocation) bool { return a.Job == nil || a.Job.CreateIndex == job.CreateIndex }
		}
	case r.NodeID != "":
		rows = snap.AllocsByNode(r.NodeID)
	case r.EvalID != "":
		rows = snap.AllocsByEval(r.EvalID)
	case r.DeploymentID != "":
		rows = snap.AllocsByDeployment(r.DeploymentID)
	default:
		rows = snap.Allocs(state.Range{
			Namespace: namespaceOf(&r.QueryOptions), Prefix: r.Prefix, From: from, Reverse: r.Reverse,
		})
		return rows, snap.TableIndex(state.TableAllocs)
	}
	list := slices.Collect(rows)
	index := uint64(0)
	for _, a := range list {
		index = max(index, a.ModifyIndex)
	}
	if index == 0 {
		index = snap.TableIndex(state.TableAllocs)
	}
	list = slices.DeleteFunc(list, func(a *model.Allocation) bool {
		return !keep(a) || !strings.HasPrefix(a.ID, r.Prefix)
	})
	return ordered(list, from, r.Reverse), index
}

// ordered yields allocations by creation from a key on.
func ordered(list []*model.Allocation, from state.Key, reverse bool) iter.Seq[*model.Allocation] {
	sign := 1
	if reverse {
		sign = -1
	}
	slices.SortFunc(list, func(a, b *model.Allocation) int {
		return sign * cmp.Or(cmp.Compare(a.CreateIndex, b.CreateIndex), strings.Compare(a.ID, b.ID))
	})
	if from != (state.Key{}) {
		list = slices.DeleteFunc(list, func(a *model.Allocation) bool {
			return sign*cmp.Or(cmp.Compare(a.CreateIndex, from.Index), strings.Compare(a.ID, from.ID)) < 0
		})
	}
	return slices.Values(list)
}

// nodeAllocs answers the whole allocations of a node.
func (q *Queries) nodeAllocs(ctx context.Context, r *msg.IDQuery) (*msg.AllocsResponse, error) {
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicNodeAllocs(r.ID)},
		func(m *msg.AllocsResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.AllocsResponse], error) {
			list := slices.Collect(snap.AllocsByNode(r.ID))
			index := uint64(0)
			for _, a := range list {
				index = max(index, a.ModifyIndex)
			}
			if index == 0 {
				index = snap.TableIndex(state.TableAllocs)
			}
			resp := &msg.AllocsResponse{Allocs: slices.Collect(ordered(list, state.Key{}, false))}
			return result[msg.AllocsResponse]{resp, index, ""}, nil
		})
}
