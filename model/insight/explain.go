// Package insight holds what explanations of placements and answers to what-if
// questions are made of: the words that servers, API and CLI share. Pure.
//
// Contract: a Remedy's text is made of its steps, so that what is printed is what was
// tried.
//
// Example:
//
//	for _, g := range explanation.Groups {
//		for _, r := range g.Remedies { fmt.Println(r.Text) }
//	}
package insight

//go:generate go tool msgp -file . -o codec_gen.go -tests=false -io=false

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

// Explanation tells why the instances of a job are where they are, and what keeps
// others from being placed, on one state.
type Explanation struct {
	Index      uint64 // of that state
	Namespace  string
	JobID      string
	JobType    string
	JobVersion uint64
	JobStatus  string
	Priority   int
	// EvalID and AllocID are what was asked about, when it was not the whole job.
	EvalID  string `json:",omitempty"`
	AllocID string `json:",omitempty"`
	// Notes are what else matters: that the job is stopped, what an evaluation waits for.
	Notes  []string
	Groups []*Group
}

// Group explains one group of the job.
type Group struct {
	Name    string
	Count   int // instances wanted; of system jobs 1 a node
	Live    int // pending or running
	Running int
	Waiting int // would be placed now, and will be by the evaluation that is due
	Missing int // cannot be placed as things are
	// Fits is how many nodes would take one more instance.
	Fits     int
	Chosen   []*Choice
	Excluded []*Exclusion
	Binds    []*Binding
	Remedies []*Remedy
	// Then is what the evaluation that was asked about noted when it was decided.
	Then *model.AllocationMetric `json:",omitempty"`
	// Waits is what the group depends on and is not ready: until then no room helps.
	Waits []string `msg:",omitempty" json:",omitempty"`
}

// Choice is an instance and why it is on its node.
type Choice struct {
	AllocID  string
	Name     string
	NodeID   string
	NodeName string
	Placed   time.Time
	// Then are the best nodes as the decision saw them when it began with the group.
	Then []*Score
	// Now are the best nodes as they are, were the instance to be placed again, and
	// its own; without its own, that would not take it any more, and Unfit says why.
	Now   []*Score
	Unfit string `json:",omitempty"`
}

// Score is what speaks for a node, by component, each from -1 to 1.
type Score struct {
	NodeID     string
	NodeName   string
	Chosen     bool
	Components map[string]float64
	Final      float64
}

// Exclusion is a kind of nodes that the group cannot use, for one reason.
type Exclusion struct {
	Datacenter string
	Pool       string
	Class      string
	Kind       string // pool, datacenter, not ready, driver, network, constraint, distinct, resource
	Reason     string
	Nodes      int
	Example    string // name of one of them
}

// Binding is a resource that nodes have too little of which suit the group otherwise.
type Binding struct {
	Resource string
	Nodes    int
	Asked    int64 // MHz, MB, cores; 0 for what has no amount
	MostFree int64 // on one node
	On       string
}
