package sim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/sim/engine"
	"github.com/steppe-project/steppe/sim/harm"
	"github.com/steppe-project/steppe/sim/launches"
	"github.com/steppe-project/steppe/sim/matrix"
	"github.com/steppe-project/steppe/sim/tenants"
	"github.com/steppe-project/steppe/sim/workload"
)

// Run runs one seed. The error says which promise was broken, and when.
func Run(cfg Config) (Report, error) {
	w := &world{Engine: engine.New(cfg.Seed, cfg.Trace), cfg: cfg}
	w.harm, w.report.Matrix = harm.New(w.Engine, w.kinds()), matrix.Matrix{}
	w.report.Faults = w.harm.Count
	w.checks.begin(w)
	w.build()
	err := w.Loop()
	w.report.Events, w.report.Launches, w.report.Preempted, w.report.After = w.Events, w.checks.Launches(), w.checks.Preempted, w.checks.After
	w.report.Admitted, w.report.Refused = w.checks.Admitted(), w.tenants.Refused()
	w.report.Counts = w.checks.Counts()
	w.report.Virtual = w.Now.Sub(engine.Epoch)
	for _, s := range w.servers {
		if s.life != nil {
			s.abdicate()
			s.life.End()
		}
	}
	for _, n := range w.nodes {
		if n.life != nil {
			n.life.End()
		}
	}
	return w.report, err
}

// build makes servers, nodes and users.
func (w *world) build() {
	w.ledger = &ledger{w: w, first: w.truth().Index() + 1}
	for i := range []int{1, 3, 3, 3, 5}[w.Rand.IntN(5)] {
		s := &server{w: w, name: "s" + strconv.Itoa(i+1), Clock: w.NewClock()}
		w.servers = append(w.servers, s)
		s.start()
	}
	for i := range 2 + w.Rand.IntN(6) {
		n := w.newNode(i + 1)
		w.nodes = append(w.nodes, n)
		w.After(w.Between(0, 3*time.Second), n.boot)
	}
	// b and z are for work that ends, s and y for work that stays.
	for i, jobs := range [][]string{{"s1", "s2", "b1"}, {"s3", "y1", "z1", "b2"}} {
		u := &user{w: w, name: fmt.Sprintf("u%d", i+1), jobs: jobs}
		w.users = append(w.users, u)
		u.begin()
	}
	w.launches = launches.New(w.Engine, launches.Config{
		Write: (&user{w: w, name: "launcher"}).calls, State: w.truth, Clock: w.leaderClock, Launched: w.checks.Launched, Mark: markKey,
	})
	w.tenants = tenants.New(w.Engine, (&user{w: w, name: "tenant"}).calls, markKey)
	w.After(0, w.ledger.beat)
	w.After(0, w.listen)
	w.harm.Until(w.Now.Add(w.Between(20*time.Second, 90*time.Second)), w.settle)
	if w.Chance(0.4) {
		w.launches.Begin()
	}
	if w.Chance(0.5) {
		w.tenants.Begin()
	}
}

// leaderClock is the cluster's time as its leader tells it.
func (w *world) leaderClock() (time.Time, bool) {
	if l := w.ledger.leader; l != nil && l.lead != nil {
		return l.clock(), true
	}
	return time.Time{}, false
}

func (w *world) newNode(i int) *node {
	name := "n" + strconv.Itoa(i)
	id := w.ID()
	return &node{w: w, id: id, name: name, drift: 0.02*w.Rand.Float64() - 0.01, desc: workload.Node(w.Rand, i, id, w.ID())}
}
