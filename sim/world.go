package sim

import (
	"io"
	"time"

	"github.com/steppe-project/steppe/sim/engine"
	"github.com/steppe-project/steppe/sim/harm"
	"github.com/steppe-project/steppe/sim/launches"
	"github.com/steppe-project/steppe/sim/matrix"
	"github.com/steppe-project/steppe/sim/tenants"
)

const (
	// quietFor is how long after the last fault everything has to be settled.
	quietFor = 10 * time.Minute
	// settleStep is how often convergence is looked for.
	settleStep = 2 * time.Second
)

// Config is one run.
type Config struct {
	Seed uint64
	// Faults tells which kinds may happen; nil means all.
	Faults []string
	// NoLoss makes it an error when a node is taken down: with faults of the
	// control plane alone none may be.
	NoLoss bool
	// Trace, when set, is told of everything that happens.
	Trace io.Writer
}

// Report is what a run did, for people.
type Report struct {
	Events, Entries, Writes, Placements, Launches, Preempted int
	After                                                    [3]int // begun, updated and stopped in the order of dependencies
	Admitted, Refused                                        int    // into namespaces with a quota
	Downs, Held, Fenced                                      int    // nodes taken down, held by the brake, tasks stopped for want of a lease
	Faults                                                   map[string]int
	Counts                                                   map[string]int // of deployments by their end, and of what else was seen
	Matrix                                                   matrix.Matrix  // of features and faults
	Virtual                                                  time.Duration
}

// world is one run.
type world struct {
	*engine.Engine
	cfg      Config
	ledger   *ledger
	servers  []*server
	nodes    []*node
	users    []*user
	launches *launches.User // of jobs that launch others
	tenants  *tenants.User  // of namespaces and quotas
	harm     *harm.Harm
	calm     bool // faults are over
	stepped  bool // a clock was set: the cluster's may have gone an hour ahead
	checks   checks
	report   Report
}
