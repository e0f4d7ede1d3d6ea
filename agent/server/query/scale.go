package query

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// jobScaleInfo answers the counts of a job's groups. Its events are the changes
// of count among the kept versions.
func (q *Queries) jobScaleInfo(ctx context.Context, r *msg.JobQuery) (*msg.JobScaleStatusResponse, error) {
	ns := r.RequestNamespace()
	topics := []state.Topic{state.TopicJob(ns, r.JobID), state.TopicJobAllocs(ns, r.JobID)}
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
			return result[msg.JobScaleStatusResponse]{resp, index, ""}, nil
		})
}

func scaleStatus(snap *state.Snapshot, job *model.Job) *msg.JobScaleStatus {
	s := &msg.JobScaleStatus{
		JobID: job.ID, Namespace: job.Namespace, JobCreateIndex: job.CreateIndex, JobModifyIndex: job.ModifyIndex,
		JobStopped: job.Stop, TaskGroups: make(map[string]msg.TaskGroupScaleStatus, len(job.TaskGroups)),
	}
	for _, g := range job.TaskGroups {
		s.TaskGroups[g.Name] = msg.TaskGroupScaleStatus{Desired: g.Count, Events: scaleEvents(snap, job, g.Name)}
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

// scaleEvents are the changes of a group's count that the kept versions show,
// newest first.
func scaleEvents(snap *state.Snapshot, job *model.Job, group string) []*msg.ScalingEvent {
	var events []*msg.ScalingEvent
	var later *model.Job
	for v := range snap.JobVersions(job.Namespace, job.ID) {
		if later != nil {
			now, was := countOf(later, group), countOf(v, group)
			if now != nil && was != nil && *now != *was {
				events = append(events, &msg.ScalingEvent{
					Count: now, PreviousCount: *was, Message: "count changed",
					Time: uint64(later.SubmitTime), CreateIndex: later.JobModifyIndex,
				})
			}
		}
		later = v
	}
	return events
}

func countOf(job *model.Job, group string) *int64 {
	for _, g := range job.TaskGroups {
		if g.Name == group {
			n := int64(g.Count)
			return &n
		}
	}
	return nil
}
