package query

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

func (q *Queries) deploymentGet(ctx context.Context, r *msg.IDQuery) (*msg.DeploymentResponse, error) {
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicKey(state.TableDeployments, r.ID)},
		func(m *msg.DeploymentResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.DeploymentResponse], error) {
			d := snap.Deployment(r.ID)
			index := snap.TableIndex(state.TableDeployments)
			if d != nil {
				index = d.ModifyIndex
			}
			return result[msg.DeploymentResponse]{&msg.DeploymentResponse{Deployment: d}, index, ""}, nil
		})
}

func (q *Queries) deploymentList(ctx context.Context, r *msg.DeploymentListRequest) (*msg.DeploymentsResponse, error) {
	from, err := parseCreated(r.NextToken)
	if err != nil {
		return nil, err
	}
	return run(ctx, q, &r.QueryOptions, table(state.TableDeployments),
		func(m *msg.DeploymentsResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.DeploymentsResponse], error) {
			rows := snap.Deployments(state.Range{Namespace: namespaceOf(&r.QueryOptions), Prefix: r.Prefix, From: from, Reverse: r.Reverse})
			list, next, err := page(rows, &r.QueryOptions, nil, func(d *model.Deployment) string { return createdToken(d.CreateIndex, d.ID) })
			return result[msg.DeploymentsResponse]{&msg.DeploymentsResponse{Deployments: list}, snap.TableIndex(state.TableDeployments), next}, err
		})
}
