package query

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/fsm/usage"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

func (q *Queries) nodePools(ctx context.Context, r *msg.StatusRequest) (*msg.NodePoolsResponse, error) {
	return run(ctx, q, &r.QueryOptions, table(state.TableNodePools),
		func(m *msg.NodePoolsResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.NodePoolsResponse], error) {
			rows := snap.NodePools(state.Range{Prefix: r.Prefix, From: state.Key{ID: r.NextToken}, Reverse: r.Reverse})
			pools, next, err := page(rows, &r.QueryOptions, nil, func(p *model.NodePool) string { return p.Name })
			return result[msg.NodePoolsResponse]{
				&msg.NodePoolsResponse{Pools: pools}, snap.TableIndex(state.TableNodePools), next}, err
		})
}

func (q *Queries) namespaces(ctx context.Context, r *msg.StatusRequest) (*msg.NamespacesResponse, error) {
	return run(ctx, q, &r.QueryOptions, table(state.TableNamespaces),
		func(m *msg.NamespacesResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.NamespacesResponse], error) {
			rows := snap.Namespaces(state.Range{Prefix: r.Prefix, From: state.Key{ID: r.NextToken}, Reverse: r.Reverse})
			list, next, err := page(rows, &r.QueryOptions, nil, func(n *tenancy.Namespace) string { return n.Name })
			return result[msg.NamespacesResponse]{
				&msg.NamespacesResponse{Namespaces: list}, snap.TableIndex(state.TableNamespaces), next}, err
		})
}

func (q *Queries) quotas(ctx context.Context, r *msg.StatusRequest) (*msg.QuotasResponse, error) {
	return run(ctx, q, &r.QueryOptions, table(state.TableQuotas),
		func(m *msg.QuotasResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.QuotasResponse], error) {
			list, next, err := quotaPage(snap, &r.QueryOptions)
			return result[msg.QuotasResponse]{&msg.QuotasResponse{Quotas: list}, snap.TableIndex(state.TableQuotas), next}, err
		})
}

func quotaPage(snap *state.Snapshot, o *msg.QueryOptions) ([]*tenancy.Quota, string, error) {
	rows := snap.Quotas(state.Range{Prefix: o.Prefix, From: state.Key{ID: o.NextToken}, Reverse: o.Reverse})
	return page(rows, o, nil, func(n *tenancy.Quota) string { return n.Name })
}

// usedBy are the tables that what is used of a quota follows from.
var usedBy = []state.Table{state.TableQuotas, state.TableNamespaces, state.TableJobs, state.TableNodes, state.TableAllocs}

// quotaUsages tells how much of quotas is in use.
func (q *Queries) quotaUsages(ctx context.Context, r *msg.StatusRequest) (*msg.UsagesResponse, error) {
	var topics []state.Topic
	for _, t := range usedBy {
		topics = append(topics, state.TopicTable(t))
	}
	return run(ctx, q, &r.QueryOptions, topics,
		func(m *msg.UsagesResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.UsagesResponse], error) {
			list, next, err := quotaPage(snap, &r.QueryOptions)
			resp := &msg.UsagesResponse{}
			for _, quota := range list {
				resp.Usages = append(resp.Usages, usage.Report(snap, quota))
			}
			var index uint64
			for _, t := range usedBy {
				index = max(index, snap.TableIndex(t))
			}
			return result[msg.UsagesResponse]{resp, index, next}, err
		})
}
