package events

import (
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Event types, as clients of the API know them.
const (
	typeJobRegistered    = "JobRegistered"
	typeJobDeregistered  = "JobDeregistered"
	typeAllocCreated     = "AllocationCreated"
	typeAllocUpdated     = "AllocationUpdated"
	typeAllocDesired     = "AllocationUpdateDesiredStatus"
	typePlanResult       = "PlanResult"
	typeEvalUpdated      = "EvaluationUpdated"
	typeNodeRegistered   = "NodeRegistration"
	typeNodeDeregistered = "NodeDeregistration"
	typeNodeEligibility  = "NodeEligibility"
	typeNodeDrain        = "NodeDrain"
	typeNodeEvent        = "NodeEvent"
	typeDeployment       = "DeploymentStatusUpdate"
	typePoolUpserted     = "NodePoolUpserted"
	typePoolDeleted      = "NodePoolDeleted"
)

// of is a change as an event; false for one that has none.
func of(c *state.Change) (model.Event, bool) {
	switch c.Table {
	case state.TableJobs:
		return ofJob(c)
	case state.TableAllocs:
		return ofAlloc(c)
	case state.TableEvals:
		return ofEval(c)
	case state.TableNodes:
		return ofNode(c)
	case state.TableDeployments:
		if d, ok := c.After.(*model.Deployment); ok {
			return model.Event{
				Topic: model.TopicDeployment, Type: typeDeployment, Key: d.ID, Namespace: d.Namespace,
				FilterKeys: []string{d.JobID}, Index: c.Index, Payload: map[string]any{"Deployment": d},
			}, true
		}
	case state.TableNodePools:
		return ofPool(c)
	}
	return model.Event{}, false
}

func ofJob(c *state.Change) (model.Event, bool) {
	before, _ := c.Before.(*model.Job)
	job, _ := c.After.(*model.Job)
	kind := typeJobRegistered
	switch {
	case job == nil:
		kind, job = typeJobDeregistered, before
	case job.Stop && (before == nil || !before.Stop):
		kind = typeJobDeregistered
	case before != nil && before.JobModifyIndex == job.JobModifyIndex:
		kind = typeAllocUpdated // only its status follows its allocations
	}
	return model.Event{
		Topic: model.TopicJob, Type: kind, Key: job.ID, Namespace: job.Namespace, Index: c.Index,
		Payload: map[string]any{"Job": job},
	}, true
}

func ofAlloc(c *state.Change) (model.Event, bool) {
	before, _ := c.Before.(*model.Allocation)
	alloc, _ := c.After.(*model.Allocation)
	if alloc == nil {
		return model.Event{}, false // collected: over long ago
	}
	kind := typeAllocUpdated
	switch {
	case before == nil:
		kind = typeAllocCreated
	case before.AllocModifyIndex != alloc.AllocModifyIndex && before.DesiredTransition != alloc.DesiredTransition:
		kind = typeAllocDesired
	case before.AllocModifyIndex != alloc.AllocModifyIndex:
		kind = typePlanResult
	}
	shown := *alloc
	shown.Job = nil
	keys := []string{alloc.JobID}
	if alloc.DeploymentID != "" {
		keys = append(keys, alloc.DeploymentID)
	}
	return model.Event{
		Topic: model.TopicAllocation, Type: kind, Key: alloc.ID, Namespace: alloc.Namespace, FilterKeys: keys,
		Index: c.Index, Payload: map[string]any{"Allocation": &shown},
	}, true
}

func ofEval(c *state.Change) (model.Event, bool) {
	e, _ := c.After.(*model.Evaluation)
	if e == nil {
		return model.Event{}, false // collected
	}
	keys := []string{e.JobID}
	if e.DeploymentID != "" {
		keys = append(keys, e.DeploymentID)
	}
	return model.Event{
		Topic: model.TopicEvaluation, Type: typeEvalUpdated, Key: e.ID, Namespace: e.Namespace, FilterKeys: keys,
		Index: c.Index, Payload: map[string]any{"Evaluation": e},
	}, true
}

func ofNode(c *state.Change) (model.Event, bool) {
	before, _ := c.Before.(*model.Node)
	node, _ := c.After.(*model.Node)
	kind := typeNodeRegistered
	switch {
	case node == nil:
		kind, node = typeNodeDeregistered, before
	case before == nil:
	case before.Drain != node.Drain:
		kind = typeNodeDrain
	case before.SchedulingEligibility != node.SchedulingEligibility:
		kind = typeNodeEligibility
	case before.Status != node.Status || len(node.Events) > 0 && node.Events[len(node.Events)-1].CreateIndex == c.Index:
		kind = typeNodeEvent
	}
	return model.Event{
		Topic: model.TopicNode, Type: kind, Key: node.ID, Index: c.Index, Payload: map[string]any{"Node": node},
	}, true
}

func ofPool(c *state.Change) (model.Event, bool) {
	kind := typePoolUpserted
	pool, _ := c.After.(*model.NodePool)
	if pool == nil {
		kind = typePoolDeleted
		pool, _ = c.Before.(*model.NodePool)
	}
	return model.Event{
		Topic: model.TopicNodePool, Type: kind, Key: pool.Name, Index: c.Index, Payload: map[string]any{"NodePool": pool},
	}, true
}
