package insight

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

// Question is what may happen; everything in it happens at once, in this order: nodes
// are added, jobs are written and scaled, drains begin, nodes are lost.
type Question struct {
	Add   []*Addition
	Jobs  []*model.Job // run, or updated
	Scale []*Scaling
	Stop  []*model.NamespacedID
	Drain []*Draining
	Lose  []*Selection
	// Horizon is how far is looked ahead; 0 is a day.
	Horizon time.Duration
}

// Selection names nodes: those that meet everything that is set. One that names none
// is an error.
type Selection struct {
	Node       string `json:",omitempty"` // id, a beginning of one, or name
	Datacenter string `json:",omitempty"`
	Pool       string `json:",omitempty"`
	Class      string `json:",omitempty"`
	// Rules are constraints as jobs have them: "${meta.rack} = r1".
	Rules []*model.Constraint `json:",omitempty"`
}

// Draining has nodes drained. Deadline 0 is none, below 0 at once.
type Draining struct {
	Selection
	Deadline         time.Duration
	IgnoreSystemJobs bool
}

// Addition are nodes that are added: like one that there is, by id, a beginning of it
// or name, or like the first that a selection names.
type Addition struct {
	Count int
	Like  Selection
}

// Scaling changes the count of a group; Group may be left out of a job with one.
type Scaling struct {
	Namespace string
	JobID     string
	Group     string
	Count     int
	Relative  bool // Count is how many more, or fewer
}

// Answer is what then happens.
type Answer struct {
	Index   uint64 // of the state that was asked about
	Lost    []*NodeRef
	Drained []*NodeRef
	Added   []*NodeRef
	// Groups are those of which something changes; Allocs their instances, as many as
	// MaxFates; Stays is how many live instances stay where they are.
	Groups  []*Outcome
	Allocs  []*Fate
	Stays   int
	Fates   int // of which Allocs may be a part
	Before  []*Fullness
	After   []*Fullness
	Brake   *BrakeWord
	Moments []*Moment
	// Lasts is from the beginning until nothing changes any more, as far as was looked
	// ahead; MadeOf says what takes so long.
	Lasts    time.Duration
	Unended  string `json:",omitempty"` // why it was not looked further
	MadeOf   []string
	Warnings []string
}

// MaxFates bounds the instances of an answer: what a reply can carry.
const MaxFates = 20_000

// NodeRef names a node.
type NodeRef struct{ ID, Name, Datacenter, Pool, Class string }

// Outcome is what happens to a group.
type Outcome struct {
	Namespace, JobID, Group string
	Count                   int // wanted in the end
	Before, After           int // live instances
	Stay                    int // also those that are brought to a newer version in place
	Move                    int
	Stop                    int
	Start                   int
	Update                  int                     // in place
	Pending                 int                     // wanted, and nowhere
	Waited                  int                     // as many were nowhere before
	Why                     *model.AllocationMetric `json:",omitempty"`
	Remedies                []*Remedy               `json:",omitempty"`
}

// What happens to an instance.
const (
	FateMoves   = "moves"   // replaced on another node
	FateStarts  = "starts"  // is new
	FateStops   = "stops"   // not wanted any more
	FatePending = "pending" // ended, and there is no place for another one
	FateUpdates = "updates" // replaced by one of a newer version
)

// Fate is what happens to one instance.
type Fate struct {
	AllocID          string // "" of one that starts
	Name             string
	Namespace        string
	JobID            string
	Group            string
	What             string
	NodeID, NodeName string // where it is; "" of one that starts
	ToID, ToName     string // where its place is in the end
	Reason           string
	After            time.Duration // from the beginning, when that was decided
}

// Fullness is how much of the nodes of a datacenter and pool is in use, in percent.
type Fullness struct {
	Datacenter, Pool string
	Nodes            int // ready
	CPU, Memory      Fill
	Disk             Fill
}

// Fill is one resource: all nodes together, and the fullest.
type Fill struct {
	Average float64
	Worst   float64
	On      string
}

// BrakeWord says whether the brake on mass loss engages.
type BrakeWord struct {
	Engages   bool
	Vanished  int
	Nodes     int
	Threshold float64
	MinNodes  int
	Rate      int           // nodes given up a minute
	Lasts     time.Duration // until the last is given up
}

// Moment is something that happens, by the clock of the answer.
type Moment struct {
	At   time.Duration
	What string
}
