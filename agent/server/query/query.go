package query

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
)

// Consensus is what reads need of the raft host.
type Consensus interface {
	ReadIndex(ctx context.Context) (uint64, error)
	Leadership() consensus.Leadership
	// LastContact is how long ago this follower heard from the leader.
	LastContact() time.Duration
}

// Config is what Queries need. All fields are required.
type Config struct {
	Store     *state.Store
	Consensus Consensus
}

// Queries holds the read handlers.
type Queries struct{ cfg Config }

// New makes the handlers.
func New(cfg Config) *Queries { return &Queries{cfg: cfg} }

// Register adds the handlers to srv.
func (q *Queries) Register(srv *rpc.Server) {
	rpc.Handle(srv, msg.JobGet, q.jobGet)
	rpc.Handle(srv, msg.JobList, q.jobList)
	rpc.Handle(srv, msg.JobVersions, q.jobVersions)
	rpc.Handle(srv, msg.JobSummary, q.jobSummary)
	rpc.Handle(srv, msg.JobSubmission, q.jobSubmission)
	rpc.Handle(srv, msg.JobScaleInfo, q.jobScaleInfo)
	rpc.Handle(srv, msg.JobDeployments, q.jobDeployments)
	rpc.Handle(srv, msg.DeploymentList, q.deploymentList)
	rpc.Handle(srv, msg.DeploymentGet, q.deploymentGet)
	rpc.Handle(srv, msg.AllocList, q.allocList)
	rpc.Handle(srv, msg.AllocGet, q.allocGet)
	rpc.Handle(srv, msg.EvalList, q.evalList)
	rpc.Handle(srv, msg.EvalCount, q.evalCount)
	rpc.Handle(srv, msg.EvalGet, q.evalGet)
	rpc.Handle(srv, msg.NodeList, q.nodeList)
	rpc.Handle(srv, msg.NodeGet, q.nodeGet)
	rpc.Handle(srv, msg.NodeAllocs, q.nodeAllocs)
	rpc.Handle(srv, msg.NodePools, q.nodePools)
	rpc.Handle(srv, msg.Namespaces, q.namespaces)
	rpc.Handle(srv, msg.Quotas, q.quotas)
	rpc.Handle(srv, msg.QuotaUsages, q.quotaUsages)
	rpc.Handle(srv, msg.SchedulerGet, q.schedulerGet)
	rpc.Handle(srv, msg.BrakeGet, q.brakeGet)
	rpc.Handle(srv, msg.AutopilotGet, q.autopilotGet)
	rpc.Handle(srv, msg.SigningKeys, q.signingKeys)
	rpc.Handle(srv, msg.Search, q.search)
}

// Whole-table topics of lists.
func table(t state.Table) []state.Topic { return []state.Topic{state.TopicTable(t)} }

func (q *Queries) schedulerGet(ctx context.Context, r *msg.StatusRequest) (*msg.SchedulerConfigResponse, error) {
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicKey(state.TableConfig, state.KeyScheduler)},
		func(m *msg.SchedulerConfigResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.SchedulerConfigResponse], error) {
			c := snap.SchedulerConfig()
			return result[msg.SchedulerConfigResponse]{&msg.SchedulerConfigResponse{Config: c}, c.ModifyIndex, ""}, nil
		})
}

func (q *Queries) autopilotGet(ctx context.Context, r *msg.StatusRequest) (*msg.AutopilotConfigResponse, error) {
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicKey(state.TableConfig, state.KeyAutopilot)},
		func(m *msg.AutopilotConfigResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.AutopilotConfigResponse], error) {
			c := snap.AutopilotConfig()
			return result[msg.AutopilotConfigResponse]{&msg.AutopilotConfigResponse{Config: c}, c.ModifyIndex, ""}, nil
		})
}

// signingKeys answers the public halves of the signing keys.
func (q *Queries) signingKeys(ctx context.Context, r *msg.StatusRequest) (*msg.SigningKeysResponse, error) {
	return run(ctx, q, &r.QueryOptions, table(state.TableConfig),
		func(m *msg.SigningKeysResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.SigningKeysResponse], error) {
			resp := &msg.SigningKeysResponse{}
			for k := range snap.SigningKeys() {
				public := *k
				public.Private = nil
				resp.Keys = append(resp.Keys, &public)
			}
			return result[msg.SigningKeysResponse]{resp, snap.TableIndex(state.TableConfig), ""}, nil
		})
}
