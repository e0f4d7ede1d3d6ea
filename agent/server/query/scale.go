package query

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/scaling"
)

// jobScaleInfo answers the counts of a job's groups and the last scaling actions.
func (q *Queries) jobScaleInfo(ctx context.Context, r *msg.JobQuery) (*msg.JobScaleStatusResponse, error) {
	ns := r.RequestNamespace()
	topics := []state.Topic{state.TopicJob(ns, r.JobID), state.TopicJobAllocs(ns, r.JobID),
		state.TopicKey(state.TableScaling, state.JobKey(ns, r.JobID))}
	return run(ctx, q, &r.QueryOptions, topics,
		func(m *msg.JobScaleStatusResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.JobScaleStatusResponse], error) {
			job := snap.Job(ns, r.JobID)
			resp := &msg.JobScaleStatusResponse{}
			index := jobIndex(snap, job)
			if job == nil {
				return result[msg.JobScaleStatusResponse]{resp, index, ""}, nil
			}
			resp.Status = scaleStatus(snap, job)
			for a := range snap.AllocsByJob(ns, r.JobID) {
				index = max(index, a.ModifyIndex)
			}
			if events := snap.ScalingEvents(ns, r.JobID); events != nil {
				index = max(index, events.ModifyIndex)
			}
			return result[msg.JobScaleStatusResponse]{resp, index, ""}, nil
		})
}

func scaleStatus(snap *state.Snapshot, job *model.Job) *msg.JobScaleStatus {
	s := &msg.JobScaleStatus{
		JobID: job.ID, Namespace: job.Namespace, JobCreateIndex: job.CreateIndex, JobModifyIndex: job.ModifyIndex,
		JobStopped: job.Stop, TaskGroups: make(map[string]msg.TaskGroupScaleStatus, len(job.TaskGroups)),
	}
	var events map[string][]*scaling.Event
	if row := snap.ScalingEvents(job.Namespace, job.ID); row != nil {
		events = row.Groups
	}
	for _, g := range job.TaskGroups {
		s.TaskGroups[g.Name] = msg.TaskGroupScaleStatus{Desired: g.Count, Events: events[g.Name]}
	}
	for a := range snap.AllocsByJob(job.Namespace, job.ID) {
		g, ok := s.TaskGroups[a.TaskGroup]
		if !ok || a.Terminal() {
			continue
		}
		g.Placed++
		if a.ClientStatus == model.ClientRunning {
			g.Running++
		}
		if d := a.DeploymentStatus; d != nil && d.Healthy != nil {
			if *d.Healthy {
				g.Healthy++
			} else {
				g.Unhealthy++
			}
		}
		s.TaskGroups[a.TaskGroup] = g
	}
	return s
}
