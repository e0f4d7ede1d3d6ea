package query

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// jobIndex is the index of the last change of a job, or of any job if it does
// not exist.
func jobIndex(snap *state.Snapshot, job *model.Job) uint64 {
	if job == nil {
		return snap.TableIndex(state.TableJobs)
	}
	return job.ModifyIndex
}

func (q *Queries) jobGet(ctx context.Context, r *msg.JobQuery) (*msg.JobResponse, error) {
	ns := r.RequestNamespace()
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicJob(ns, r.JobID)},
		func(m *msg.JobResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.JobResponse], error) {
			job := snap.Job(ns, r.JobID)
			return result[msg.JobResponse]{&msg.JobResponse{Job: job}, jobIndex(snap, job), ""}, nil
		})
}

func (q *Queries) jobList(ctx context.Context, r *msg.JobListRequest) (*msg.JobListResponse, error) {
	from, err := parseJob(r.NextToken)
	if err != nil {
		return nil, err
	}
	topics := []state.Topic{state.TopicTable(state.TableJobs), state.TopicTable(state.TableJobSummary)}
	return run(ctx, q, &r.QueryOptions, topics,
		func(m *msg.JobListResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.JobListResponse], error) {
			rows := snap.Jobs(state.Range{Namespace: namespaceOf(&r.QueryOptions), Prefix: r.Prefix, From: from, Reverse: r.Reverse})
			jobs, next, err := page(rows, &r.QueryOptions, nil, func(j *model.Job) string { return j.Namespace + "." + j.ID })
			resp := &msg.JobListResponse{Jobs: make([]*model.JobListStub, 0, len(jobs))}
			for _, j := range jobs {
				resp.Jobs = append(resp.Jobs, j.Stub(snap.JobSummary(j.Namespace, j.ID), r.WithMeta))
			}
			index := max(snap.TableIndex(state.TableJobs), snap.TableIndex(state.TableJobSummary))
			return result[msg.JobListResponse]{resp, index, next}, err
		})
}

func (q *Queries) jobVersions(ctx context.Context, r *msg.JobQuery) (*msg.JobVersionsResponse, error) {
	ns := r.RequestNamespace()
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicJobVersions(ns, r.JobID)},
		func(m *msg.JobVersionsResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.JobVersionsResponse], error) {
			resp := &msg.JobVersionsResponse{}
			var index uint64
			for j := range snap.JobVersions(ns, r.JobID) {
				resp.Versions = append(resp.Versions, j)
				index = max(index, j.ModifyIndex)
			}
			if index == 0 {
				index = snap.TableIndex(state.TableJobVersions)
			}
			return result[msg.JobVersionsResponse]{resp, index, ""}, nil
		})
}

func (q *Queries) jobSummary(ctx context.Context, r *msg.JobQuery) (*msg.JobSummaryResponse, error) {
	ns := r.RequestNamespace()
	topics := []state.Topic{state.TopicKey(state.TableJobSummary, state.JobKey(ns, r.JobID))}
	return run(ctx, q, &r.QueryOptions, topics,
		func(m *msg.JobSummaryResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.JobSummaryResponse], error) {
			s := snap.JobSummary(ns, r.JobID)
			index := snap.TableIndex(state.TableJobSummary)
			if s != nil {
				index = s.ModifyIndex
			}
			return result[msg.JobSummaryResponse]{&msg.JobSummaryResponse{Summary: s}, index, ""}, nil
		})
}

func (q *Queries) jobSubmission(ctx context.Context, r *msg.JobQuery) (*msg.JobSubmissionResponse, error) {
	ns := r.RequestNamespace()
	return run(ctx, q, &r.QueryOptions, table(state.TableSubmissions),
		func(m *msg.JobSubmissionResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.JobSubmissionResponse], error) {
			resp := &msg.JobSubmissionResponse{}
			index := snap.TableIndex(state.TableSubmissions)
			if s := snap.Submission(ns, r.JobID, r.Version); s != nil {
				resp.Submission, index = s.Text, s.Index
			}
			return result[msg.JobSubmissionResponse]{resp, index, ""}, nil
		})
}

func (q *Queries) jobDeployments(ctx context.Context, r *msg.JobQuery) (*msg.DeploymentsResponse, error) {
	ns := r.RequestNamespace()
	return run(ctx, q, &r.QueryOptions, []state.Topic{state.TopicJobDeployments(ns, r.JobID)},
		func(m *msg.DeploymentsResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.DeploymentsResponse], error) {
			resp := &msg.DeploymentsResponse{}
			index := uint64(0)
			job := snap.Job(ns, r.JobID)
			for d := range snap.DeploymentsByJob(ns, r.JobID) {
				if r.All || job == nil || d.JobCreateIndex == job.CreateIndex {
					resp.Deployments = append(resp.Deployments, d)
					index = max(index, d.ModifyIndex)
				}
			}
			if index == 0 {
				index = snap.TableIndex(state.TableDeployments)
			}
			return result[msg.DeploymentsResponse]{resp, index, ""}, nil
		})
}
