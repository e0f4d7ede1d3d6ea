package query

import (
	"cmp"
	"context"
	"strings"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

func compareCreated(indexA uint64, idA string, indexB uint64, idB string) int {
	return cmp.Or(cmp.Compare(indexA, indexB), strings.Compare(idA, idB))
}

// before tells whether e comes before a page that starts at from.
func before(e *model.Evaluation, from state.Key, reverse bool) bool {
	if from == (state.Key{}) {
		return false
	}
	c := compareCreated(e.CreateIndex, e.ID, from.Index, from.ID)
	if reverse {
		return c > 0
	}
	return c < 0
}

func hasPrefix(id, prefix string) bool { return strings.HasPrefix(id, prefix) }

// nodeGet answers a node without the secret that proves its reports.
func (q *Queries) nodeGet(ctx context.Context, r *msg.IDQuery) (*msg.NodeResponse, error) {
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicKey(state.TableNodes, r.ID)},
		func(m *msg.NodeResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.NodeResponse], error) {
			n := snap.Node(r.ID)
			if n == nil {
				return result[msg.NodeResponse]{&msg.NodeResponse{}, snap.TableIndex(state.TableNodes), ""}, nil
			}
			public := *n
			public.SecretID = ""
			return result[msg.NodeResponse]{&msg.NodeResponse{Node: &public}, n.ModifyIndex, ""}, nil
		})
}

func (q *Queries) nodeList(ctx context.Context, r *msg.NodeListRequest) (*msg.NodeListResponse, error) {
	return run(ctx, q, &r.QueryOptions, table(state.TableNodes),
		func(m *msg.NodeListResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.NodeListResponse], error) {
			rows := snap.Nodes(state.Range{Prefix: r.Prefix, From: state.Key{ID: r.NextToken}, Reverse: r.Reverse})
			keep := func(n *model.Node) bool {
				return r.Pool == "" || r.Pool == model.AllNodePool || n.NodePool == r.Pool
			}
			nodes, next, err := page(rows, &r.QueryOptions, keep, func(n *model.Node) string { return n.ID })
			resp := &msg.NodeListResponse{Nodes: make([]*model.NodeListStub, 0, len(nodes))}
			for _, n := range nodes {
				resp.Nodes = append(resp.Nodes, n.Stub(r.Resources, r.Attributes))
			}
			return result[msg.NodeListResponse]{resp, snap.TableIndex(state.TableNodes), next}, err
		})
}
