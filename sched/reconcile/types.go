package reconcile

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

// Why an allocation is stopped, as users read it.
const (
	DescNotNeeded   = "alloc not needed due to job update"
	DescStopped     = "alloc not needed as job is stopped"
	DescLost        = "alloc is lost since its node is down"
	DescNodeGone    = "alloc is lost since its node no longer exists"
	DescMigrating   = "alloc is being migrated"
	DescRescheduled = "alloc was rescheduled because it failed"
	DescUpdating    = "alloc is being updated due to job update"
	DescMending     = "alloc is being updated due to job update, which may mend it: it is not healthy"
	DescUnfit       = "alloc not needed as the node no longer suits the job"
	DescDuplicate   = "alloc not needed: another one has its name"
	DescNotPromoted = "alloc not needed as its deployment ended before the canary was promoted"
	DescGangPartial = "alloc is stopped: its gang had fewer instances than its count for longer than max_partial"
	DescGangBroken  = "alloc is not needed: another instance of its gang has failed for good"
)

// Updates tells whether what is stopped for a reason makes room for the job's present
// version.
func Updates(description string) bool {
	return description == DescUpdating || description == DescMending
}

// Input is what a job's reconciliation reads.
type Input struct {
	Job    *model.Job // nil: purged
	Allocs []*model.Allocation
	Node   func(id string) *model.Node // nil for one that does not exist
	Now    time.Time
	Steady lease.Steady // how even the clock went that Now is of
	Eval   *model.Evaluation
	// InPlace tells whether a running allocation's node still suits the group
	// as it is now.
	InPlace func(a *model.Allocation, g *model.TaskGroup) bool
	// Targets are the nodes that should run a group of a system job.
	Targets func(g *model.TaskGroup) []string
	// Deploys: updates of services are deployments. Deployment is the job's newest, nil
	// for none; NewID makes the id of one that begins.
	Deploys    bool
	Deployment *model.Deployment
	NewID      func() string
	// Waits are the groups that wait for what they depend on.
	Waits map[string]Wait
}

// Wait is what a group waits with; zero for nothing.
type Wait uint8

// Kinds of Wait.
const (
	ToStart  Wait = iota + 1 // nothing of it is begun; what fails or is lost is replaced
	ToUpdate                 // what runs is left as it is
)

// Output is what to do.
type Output struct {
	Stops  []Stop // without a replacement, or whatever becomes of it
	Groups []*Group
	Later  []Later // failed allocations that are replaced later
	// Deployment is the one of the job's version, if it is active; Begins tells that it
	// is new.
	Deployment *model.Deployment
	Begins     bool
	// Again is when to look at the job again because of its stateful groups; zero for never.
	Again time.Time
}

// Group is what to do with one group of the job. The groups come in the job's
// order.
type Group struct {
	Group   *model.TaskGroup
	InPlace []*model.Allocation
	Places  []Place // most urgent first
	Ignored int
	// Held are the instances that are not placed, or not replaced, because the group waits.
	Held int
	// Roll is when to look again because the next instances of an older version
	// may then be replaced; zero for never. RollOn is the same if at least one
	// place that has a Stop could be filled now.
	Roll   time.Time
	RollOn time.Time
	Counts model.DesiredUpdates
	Waits  []string // what ordinals of a stateful group wait for
	Gang   *Gang    // nil for a group that is none
}

// Gang is what there is of one. What is to place of it is placed together, or not at all.
type Gang struct {
	Live []*model.Allocation // its instances that run, or are to, now
	// Want is how many there should be once what is to place is: of an older version, if all
	// that is to place is of it. Stays is how many of them run, or are done, and are not
	// replaced by what is to place; Missing is how many would still have nothing.
	Want, Stays, Missing int
	// Size is how many there should be of the newest version that the live ones run, There
	// how many of these run or have completed.
	Size, There int
	// Broken: an instance has failed for good.
	Broken bool
}

// Whole tells whether the gang is complete once all that is to place is.
func (g *Group) Whole() bool { return g.Gang.Missing == 0 }

// Partial tells whether some of a gang run, and others are missing.
func (g *Gang) Partial() bool { return len(g.Live) > 0 && g.There < g.Size }

// Place is one instance to place.
type Place struct {
	Index    int
	NodeID   string            // of system jobs: where; else ""
	Previous *model.Allocation // that it replaces, or nil
	Tracker  *model.RescheduleTracker
	Avoid    []string // nodes where earlier attempts failed
	// Past: it runs the version of Previous, because the update does not go on. Canary: it
	// runs beside the instance of its name until it is promoted.
	Past   bool
	Canary bool
	// Stop ends Previous if and only if the instance can be placed; nil when it
	// has ended or is stopped anyway. Frees tells that its resources then serve
	// the replacement.
	Stop  *Stop
	Frees bool
	// First: only Stop is carried out, if the instance could be placed; it is when Previous
	// has ended. Prefer is the node that it takes if that is possible, or "".
	First  bool
	Prefer string
}

// Stop ends one allocation.
type Stop struct {
	Alloc        *model.Allocation
	Description  string
	ClientStatus string // lost, when its node is gone
}

// Why a replacement is due later.
const (
	DescDelayed = "created for delayed rescheduling"
	DescHeld    = "waits until the lost node has stopped its tasks, as stop_on_client_after asks"
	DescNeeded  = "runs on until what depends on it has stopped"
)

// Later is an allocation whose replacement is due at a time: a failed one, or
// one that its lost node is to stop by itself.
type Later struct {
	Alloc       *model.Allocation
	At          time.Time
	Description string
}
