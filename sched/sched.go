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

// State is an immutable view that a decision reads. A getter returns nil for
// what does not exist.
type State interface {
	// Index of the newest entry the view contains.
	Index() uint64
	Job(namespace, id string) *model.Job
	// AllocsByJob returns all allocations of a job, also ended ones, each with
	// its Job (the version it runs) set.
	AllocsByJob(namespace, id string) []*model.Allocation
	// EvalsByJob returns all evaluations of a job. A decision asks for them only
	// when it wants to wait for something: to find what waits already.
	EvalsByJob(namespace, id string) []*model.Evaluation
	Alloc(id string) *model.Allocation
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
	// Pool is what the job's node pool overrides of Config; nil for nothing.
	Pool *model.NodePoolSchedulerConfiguration
	// Deploys: updates of services are deployments. Deployment is the job's newest, nil
	// for none.
	Deploys    bool
	Deployment *model.Deployment
}

// Result is a decision. Plan.Eval is the evaluation as it stands afterwards;
// an empty plan still carries it.
type Result struct {
	Plan *model.Plan
}
