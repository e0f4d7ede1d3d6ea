package model

// Plan is one decision of the scheduler on one job: applied as one log entry
// with the status of its evaluation. It is compact: what the instances of a
// group share is written once.
type Plan struct {
	EvalID        string
	Namespace     string
	JobID         string
	JobVersion    uint64
	Priority      int
	SnapshotIndex uint64
	Groups        []*PlanGroup
	Stops         []*PlanStop
	// Eval is the evaluation as it stands after this plan (status, failed
	// groups, queued counts).
	Eval        *Evaluation
	NewEvals    []*Evaluation // created with the plan: blocked, delayed follow-ups
	Deployment  *Deployment   // created or updated with the plan; nil for none
	Annotations *PlanAnnotations
}

// PlanGroup places and updates instances of one group.
type PlanGroup struct {
	TaskGroup string
	// Resources is the grant that all placements share; a Placement with ports
	// or reserved cores has its own.
	Resources  *AllocatedResources
	Metrics    *AllocationMetric
	Placements []*Placement
	// InPlace lists allocations that take the plan's job version as they run.
	InPlace []*InPlaceUpdate
	// OfPrevious: each placement runs the job version of what it replaces.
	OfPrevious bool
	Together   bool `msg:",omitempty"` // all placements of groups of this name are made, or none: a gang
}

// Placement is one new allocation.
type Placement struct {
	ID                 string
	Index              int // of the allocation's name
	NodeID             string
	PreviousAllocation string
	RescheduleTracker  *RescheduleTracker
	Resources          *AllocatedResources // nil = the group's
	Canary             bool
	Preempts           []string // allocations that have to give way to it
}

// InPlaceUpdate moves a running allocation to the plan's job version.
type InPlaceUpdate struct {
	ID        string
	Resources *AllocatedResources // nil = the group's, else its own (ports are kept)
}

// PlanStop ends one allocation. ClientStatus is set (to lost or unknown) only
// when its node is gone.
type PlanStop struct {
	ID             string
	Description    string
	ClientStatus   string
	FollowupEvalID string
	NextAllocation string
	PreemptedBy    string // the placement that it has to give way to, or ""
	// KeepDesired leaves DesiredStatus alone: only FollowupEvalID is recorded.
	KeepDesired bool
}

// Empty tells whether applying the plan would change no allocation.
func (p *Plan) Empty() bool {
	if len(p.Stops) > 0 || p.Deployment != nil {
		return false
	}
	for _, g := range p.Groups {
		if len(g.Placements) > 0 || len(g.InPlace) > 0 {
			return false
		}
	}
	return true
}

// PlanResult is what of a plan was committed.
type PlanResult struct {
	Index uint64
	// RefusedNodes names nodes whose placements did not fit any more, with why.
	RefusedNodes map[string]string
}
