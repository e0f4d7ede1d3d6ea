package sched

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place"
)

// PreemptionDistance is by how much the priority of a job must be higher for
// another's instances to give way to its own: jobs of about the same priority
// never displace one another in turn.
const PreemptionDistance = 10

// Preempts tells whether jobs of a type may have others give way; nil is the default
// configuration.
func Preempts(c *model.SchedulerConfiguration, jobType string) bool {
	if c == nil {
		return jobType == model.JobTypeSystem
	}
	switch jobType {
	case model.JobTypeSystem:
		return c.PreemptionConfig.SystemSchedulerEnabled
	case model.JobTypeSysbatch:
		return c.PreemptionConfig.SysBatchSchedulerEnabled
	case model.JobTypeBatch:
		return c.PreemptionConfig.BatchSchedulerEnabled
	}
	return c.PreemptionConfig.ServiceSchedulerEnabled
}

// yield looks for the victims of a group's instances; nil when none may be had. The
// instances may be of an older version: what it asked for is what they matter.
func (p *process) yield(a *ask, k *place.Checker) *place.Yield {
	if !p.env.Preempt || !Preempts(p.env.Config, p.job.Type) {
		return nil
	}
	priority := min(p.job.Priority, a.Job.Priority)
	return place.NewYield(k, func(nodeID string) []place.Victim { return p.victims(nodeID, priority) })
}

// victims are the allocations of a node that may have to give way to an instance of
// the job with that priority.
func (p *process) victims(nodeID string, of int) []place.Victim {
	var out []place.Victim
	for _, a := range p.state.AllocsByNode(nodeID) {
		if a.Terminal() || p.evicted[a.ID] || a.Namespace == p.job.Namespace && a.JobID == p.job.ID {
			continue
		}
		if priority := PriorityOf(p.state, a); priority+PreemptionDistance <= of {
			out = append(out, place.Victim{Alloc: a, Priority: priority, Limit: mayLeave(a)})
		}
	}
	return out
}

// PriorityOf is the priority of an allocation: of the version it runs, or of the
// newest one of its job, if that is higher. What it asked for room with was the lower of
// the two (see yield): so whatever gives way is followed by what matters more by the
// distance at least, and can never in turn displace that.
func PriorityOf(state State, a *model.Allocation) int {
	priority := 0
	if a.Job != nil {
		priority = a.Job.Priority
	}
	if j := state.Job(a.Namespace, a.JobID); j != nil {
		priority = max(priority, j.Priority)
	}
	return priority
}

// mayLeave is how many of an allocation's group a drain would move at once.
func mayLeave(a *model.Allocation) int {
	if a.Job != nil {
		for _, g := range a.Job.TaskGroups {
			if g.Name == a.TaskGroup && g.Migrate != nil {
				return max(1, g.Migrate.MaxParallel)
			}
		}
	}
	return 1
}

// preempted has victims give way to a placement.
func (p *process) preempted(placement *model.Placement, victims []place.Victim) {
	for i := range victims {
		a := victims[i].Alloc
		placement.Preempts = append(placement.Preempts, a.ID)
		p.plan.Stops = append(p.plan.Stops, &model.PlanStop{
			ID: a.ID, PreemptedBy: placement.ID,
			Description: fmt.Sprintf("preempted by allocation %s of job %q, which has a higher priority", placement.ID, p.job.ID),
		})
		p.evicted[a.ID] = true
		p.displaced[[2]string{a.Namespace, a.JobID}] = true
	}
}

// followDisplaced has the jobs looked at of which something has to give way.
func (p *process) followDisplaced() {
	keys := slices.SortedFunc(maps.Keys(p.displaced), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, key := range keys {
		job := p.state.Job(key[0], key[1])
		if job == nil {
			continue // purged: nothing of it is to be replaced
		}
		e := p.newEval(model.TriggerPreemption, time.Time{})
		e.Namespace, e.JobID, e.JobModifyIndex, e.Priority, e.Type = key[0], key[1], job.JobModifyIndex, job.Priority, job.Type
	}
}
