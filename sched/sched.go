// Package sched decides: a snapshot, an evaluation, a time and a seed go in, a
// plan comes out. It is a pure function: no clock, no dice of its own, no
// input or output, no goroutine. The same input gives the same plan, bit for bit.
//
//	reconcile  what should exist against what does    → stops, updates, places, waits
//	place      where each instance goes               → Fleet, filters, scores
//	verify     does the plan fit the newest state     → the part that does, and why not
//	explain    reasons of a failed placement in words → remedies
package sched

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/sched/place"
)

// Allocations are what there is of jobs and on nodes.
type Allocations interface {
	// AllocsByJob returns all allocations of a job, also ended ones, each with
	// its Job (the version it runs) set.
	AllocsByJob(namespace, id string) []*model.Allocation
	// AllocsByNode returns those of a node. A decision asks for them only when others
	// may have to give way.
	AllocsByNode(nodeID string) []*model.Allocation
	Alloc(id string) *model.Allocation
}

// State is an immutable view that a decision reads. A getter returns nil for
// what does not exist.
type State interface {
	Allocations
	// Index of the newest entry the view contains.
	Index() uint64
	Job(namespace, id string) *model.Job
	// EvalsByJob returns all evaluations of a job. A decision asks for them only
	// when it wants to wait for something: to find what waits already.
	EvalsByJob(namespace, id string) []*model.Evaluation
	Node(id string) *model.Node
	// Fleet is the columnar form of all nodes and what runs on them, of exactly
	// the same index. Decisions fork it before they place on it.
	Fleet() *place.Fleet
}

// Env is what a decision needs besides state.
type Env struct {
	Now    time.Time
	Steady lease.Steady // how even the clock went that Now is of
	Seed   uint64
	Config *model.SchedulerConfiguration // nil = defaults
	// Overrides are what the job's namespace and node pool override of Config; nil for
	// nothing.
	Overrides *model.NodePoolSchedulerConfiguration
	// Preempt lets allocations of lower priority be told to give way, where Config
	// says so: all servers know how.
	Preempt bool
	// Terse leaves out what would help where something could not be placed: for
	// decisions that only try something.
	Terse bool
	// Deploys: updates of services are deployments. Deployment is the job's newest, nil
	// for none.
	Deploys    bool
	Deployment *model.Deployment
}

// Result is a decision. Plan.Eval is the evaluation as it stands afterwards;
// an empty plan still carries it.
type Result struct {
	Plan *model.Plan
	// Waits is what ordinals of stateful groups wait for, in words.
	Waits []string
}
