// Package usage reads from the state what counts against a quota. It is part of the
// state machine: a function of a snapshot.
//
// Contract and invariants:
//
//   - Nothing is counted beside the rows: jobs, nodes, allocations. What a quota has in
//     use is what the jobs of the namespaces that name it ask for (tenancy.Demand).
//   - Check decides as if everything were counted exactly; it reads jobs and allocations
//     only when the sums that the writer has at hand do not settle it.
//
// Example:
//
//	err := usage.Check(txn, quota, next, now)
package usage

import (
	"path"
	"reflect"
	"slices"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/tenancy"
)

// facts are tenancy.Facts of a snapshot.
type facts struct {
	s *state.Snapshot
	// exact looks at the allocations of batch jobs; else nothing of them counts as done.
	exact bool
}

// Nodes implements tenancy.Facts.
func (f *facts) Nodes(job *model.Job) int {
	n := 0
	for node := range f.s.NodesByPool(job.NodePool) {
		if in(job.Datacenters, node.Datacenter) {
			n++
		}
	}
	return n
}

// in tells whether a job may run in a datacenter.
func in(globs []string, dc string) bool {
	for _, glob := range globs {
		if ok, err := path.Match(glob, dc); glob == "*" || ok && err == nil {
			return true
		}
	}
	return len(globs) == 0
}

// Done implements tenancy.Facts. What completed with an earlier version counts when
// the group's tasks are the same: it is not run again.
func (f *facts) Done(job *model.Job, group *model.TaskGroup) []int {
	if !f.exact {
		return nil
	}
	perNode := job.Type == model.JobTypeSysbatch
	var done []int
	nodes := make(map[string]bool)
	for a := range f.s.AllocsByJob(job.Namespace, job.ID) {
		if a.TaskGroup != group.Name || a.ClientStatus != model.ClientComplete || a.ServerTerminal() || !sameWork(a.Job, job, group) {
			continue
		}
		switch i := a.Index(); {
		case perNode && !nodes[a.NodeID]:
			nodes[a.NodeID] = true
			done = append(done, len(done))
		case !perNode && i >= 0 && i < group.Count:
			done = append(done, i)
		}
	}
	slices.Sort(done)
	return slices.Compact(done)
}

// sameWork tells whether what ran was what the group asks for now.
func sameWork(ran, job *model.Job, group *model.TaskGroup) bool {
	if ran == nil || ran.Type != job.Type || string(ran.Payload) != string(job.Payload) || !reflect.DeepEqual(ran.Meta, job.Meta) {
		return false
	}
	for _, g := range ran.TaskGroups {
		if g.Name == group.Name {
			return reflect.DeepEqual(g.Tasks, group.Tasks) && reflect.DeepEqual(g.Meta, group.Meta)
		}
	}
	return false
}

// Of is what the jobs of all namespaces with a quota ask for in a region, without one
// job (the zero id: with all).
func Of(s *state.Snapshot, quota, region string, without model.NamespacedID) tenancy.Use {
	var use tenancy.Use
	f := &facts{s, true}
	for ns := range s.Namespaces(state.Range{}) {
		if ns.Quota != quota {
			continue
		}
		for job := range s.Jobs(state.Range{Namespace: ns.Name}) {
			if job.Region == region && (job.ID != without.ID || job.Namespace != without.Namespace) {
				use.Add(job, f)
			}
		}
	}
	return use
}

// atMost is what a quota would come to be used with next in the place of now, as if
// nothing of any batch job had completed; false when that is not at hand.
func atMost(x *state.Txn, quota *tenancy.Quota, next, now *model.Job) (tenancy.Amount, bool) {
	f := &facts{&x.Snapshot, false}
	var use tenancy.Use
	for ns := range x.Namespaces(state.Range{}) {
		if ns.Quota != quota.Name {
			continue
		}
		asked, system, ok := x.Asked(ns.Name, next.Region)
		if !ok {
			return use.Amount, false
		}
		use.Amount = use.Amount.Plus(asked.Amount)
		for _, job := range system {
			use.Add(job, f)
		}
	}
	if now != nil {
		use.Count(now, f, -1)
	}
	use.Add(next, f)
	return use.Amount, true
}

// Report is how much of a quota is in use, for people.
func Report(s *state.Snapshot, quota *tenancy.Quota) *tenancy.Usage {
	out := &tenancy.Usage{
		Name: quota.Name, Used: make(map[string]*tenancy.Limit), Jobs: make(map[string]int),
		CreateIndex: quota.CreateIndex, ModifyIndex: quota.ModifyIndex,
	}
	for _, l := range quota.Limits {
		use := Of(s, quota.Name, l.Region, model.NamespacedID{})
		out.Used[l.Region] = &tenancy.Limit{Region: l.Region, RegionLimit: use.Amount.Resources()}
		out.Jobs[l.Region] = use.Jobs
	}
	return out
}

// Check tells why a quota does not let next take the place of now (nil: there is no
// such job), nil if it does. Of a job that launches others one child must fit into the
// quota as it is; whether there is room is asked at its launch.
func Check(x *state.Txn, quota *tenancy.Quota, next, now *model.Job) error {
	s := &x.Snapshot
	if quota.Limit(next.Region) == nil || next.Stop {
		return nil
	}
	if launch.IsTemplate(next) {
		return quota.Check(tenancy.Ask{Job: tenancy.Child(next), Facts: &facts{s, false}})
	}
	alive := *next
	alive.Status = model.JobStatusPending
	id := model.NamespacedID{Namespace: next.Namespace, ID: next.ID}
	if most, ok := atMost(x, quota, &alive, now); ok && quota.Fits(next.Region, most) {
		return nil
	}
	ask := tenancy.Ask{Job: &alive, Facts: &facts{s, true}, Others: Of(s, quota.Name, next.Region, id)}
	if now != nil {
		ask.Before = tenancy.Demand(now, ask.Facts)
	}
	return quota.Check(ask)
}
