// Package gc removes what is over and old from the state: a pure component, and
// the handler that does it at once.
//
// Contract and invariants:
//
//   - Nothing that is referenced by something living goes: an evaluation stays
//     while one of its allocations does, an allocation until both sides have
//     ended it and it is no longer needed to know what not to run again, a job
//     while anything of it goes on, a node while anything may run on it.
//   - Thresholds count from the last change. Forced collection has none.
//   - The state machine checks again what is chosen here.
//
// Example:
//
//	c := gc.New(gc.Defaults())
//	cmds, wake := c.Step(now, snap)
package gc

import (
	"time"

	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/launch"
)

// maxCollect bounds the ids of one command, so that applying it takes
// milliseconds only.
const maxCollect = 4096

// Config holds the ages at which things go.
type Config struct {
	// Interval between collections; default 5 m.
	Interval time.Duration
	// Eval is for evaluations and ended allocations; default 1 h.
	Eval time.Duration
	// BatchEval is for those of batch jobs; default 24 h.
	BatchEval time.Duration
	// Job is for jobs that are stopped, or batch jobs that are done; default 4 h.
	Job time.Duration
	// Node is for nodes that are down; default 24 h.
	Node time.Duration
	// Deployment is for deployments that have ended; default 1 h.
	Deployment time.Duration
}

// Defaults are the usual ages.
func Defaults() Config {
	return Config{
		Interval: 5 * time.Minute, Eval: time.Hour, BatchEval: 24 * time.Hour, Job: 4 * time.Hour,
		Node: 24 * time.Hour, Deployment: time.Hour,
	}
}

// Collector is the component.
type Collector struct {
	cfg  Config
	next time.Time
}

// New makes the component.
func New(cfg Config) *Collector { return &Collector{cfg: cfg} }

// Name implements loop.Component.
func (c *Collector) Name() string { return "gc" }

// Reads implements loop.Component: time alone brings work, so it only names a
// table that hardly changes.
func (c *Collector) Reads() []state.Table { return []state.Table{state.TableNamespaces} }

// Reset implements loop.Component. A new leader waits an interval, since there
// is more urgent work.
func (c *Collector) Reset(*state.Snapshot) { c.next = time.Time{} }

// Observe implements loop.Component.
func (c *Collector) Observe([]state.Change) {}

// Step implements loop.Component.
func (c *Collector) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	if c.next.IsZero() {
		c.next = now.Add(c.cfg.Interval)
	}
	if now.Before(c.next) {
		return nil, c.next
	}
	c.next = now.Add(c.cfg.Interval)
	return Collect(snap, now, c.cfg), c.next
}

// Collect returns the commands that remove what is over and older than cfg says.
func Collect(snap *state.Snapshot, now time.Time, cfg Config) []fsm.Command {
	s := &sweep{snap: snap, now: now, cfg: cfg, gone: make(map[string]bool)}
	s.jobs()
	s.evals()
	s.deployments()
	s.nodes()
	s.flush()
	return s.cmds
}

// sweep is one collection.
type sweep struct {
	snap *state.Snapshot
	now  time.Time
	cfg  Config
	next fsm.Collect
	size int
	cmds []fsm.Command
	gone map[string]bool // ids of allocations chosen already
}

// count closes the command when it is full.
func (s *sweep) count(n int) {
	if s.size += n; s.size >= maxCollect {
		s.flush()
	}
}

func (s *sweep) flush() {
	if s.size > 0 {
		next := s.next
		s.cmds = append(s.cmds, proposal.Of(&next))
	}
	s.next, s.size = fsm.Collect{}, 0
}

// old tells whether a time (unix ns) is past an age.
func (s *sweep) old(unixNano int64, age time.Duration) bool {
	return s.now.Sub(time.Unix(0, unixNano)) >= age
}

// jobs chooses jobs that are over, each with all of its evaluations and
// allocations: they go together or not at all.
func (s *sweep) jobs() {
	for job := range s.snap.Jobs(state.Range{}) {
		batch := job.Type == model.JobTypeBatch || job.Type == model.JobTypeSysbatch
		if job.Status != model.JobStatusDead || !job.Stop && (!batch || launch.IsTemplate(job)) {
			continue
		}
		s.job(job)
	}
}

func (s *sweep) job(job *model.Job) {
	last := job.SubmitTime
	var evals, allocs []string
	for e := range s.snap.EvalsByJob(job.Namespace, job.ID) {
		if !e.Terminal() {
			return
		}
		last = max(last, e.ModifyTime)
		evals = append(evals, e.ID)
	}
	for a := range s.snap.AllocsByJob(job.Namespace, job.ID) {
		if !a.ClientTerminal() {
			return
		}
		last = max(last, a.ModifyTime)
		allocs = append(allocs, a.ID)
	}
	if !s.old(last, s.cfg.Job) {
		return
	}
	for _, id := range append(evals, allocs...) {
		s.gone[id] = true
	}
	s.next.Evals = append(s.next.Evals, evals...)
	s.next.Allocs = append(s.next.Allocs, allocs...)
	s.next.Jobs = append(s.next.Jobs, model.NamespacedID{Namespace: job.Namespace, ID: job.ID})
	s.count(1 + len(evals) + len(allocs))
}

// evals chooses evaluations that are over with all of their allocations.
func (s *sweep) evals() {
	for e := range s.snap.Evals(state.Range{}) {
		age := s.cfg.Eval
		if e.Type == model.JobTypeBatch || e.Type == model.JobTypeSysbatch {
			age = s.cfg.BatchEval
		}
		if s.gone[e.ID] || !e.Terminal() || !s.old(e.ModifyTime, age) {
			continue
		}
		job := s.snap.Job(e.Namespace, e.JobID)
		var allocs []string
		keep := false
		for a := range s.snap.AllocsByEval(e.ID) {
			if !s.gone[a.ID] && !(Dispensable(a, job) && s.old(a.ModifyTime, age)) {
				keep = true
				continue
			}
			if !s.gone[a.ID] {
				s.gone[a.ID] = true
				allocs = append(allocs, a.ID)
			}
		}
		s.next.Allocs = append(s.next.Allocs, allocs...)
		if !keep {
			s.next.Evals = append(s.next.Evals, e.ID)
			s.count(1)
		}
		s.count(len(allocs))
	}
}

// Dispensable tells whether nobody needs an allocation any more; job is its job
// as it is now, nil when that is gone.
func Dispensable(a *model.Allocation, job *model.Job) bool {
	switch {
	case !a.ClientTerminal():
		return false
	case a.ServerTerminal(), job == nil, a.Job != nil && a.Job.CreateIndex != job.CreateIndex:
		return true
	case a.NextAllocation != "":
		return true // replaced; its history went along
	}
	// What failed may yet be replaced, and what is complete must not run again.
	return job.Stop
}

// deployments chooses deployments that are over and have no allocations left, and are
// not those of their jobs' present versions.
func (s *sweep) deployments() {
	for d := range s.snap.Deployments(state.Range{}) {
		if d.Status == model.DeploymentRunning || d.Status == model.DeploymentPaused || !s.old(d.ModifyTime, s.cfg.Deployment) {
			continue
		}
		// How the present version of a job was rolled out is looked at whenever it is
		// reconciled: one that failed must not begin again. It goes with the job.
		keep := deploy.Of(d, s.snap.Job(d.Namespace, d.JobID))
		for a := range s.snap.AllocsByDeployment(d.ID) {
			keep = keep || !s.gone[a.ID]
		}
		if !keep {
			s.next.Deployments = append(s.next.Deployments, d.ID)
			s.count(1)
		}
	}
}

// nodes chooses nodes that have been down for long and have nothing on them.
func (s *sweep) nodes() {
	for n := range s.snap.Nodes(state.Range{}) {
		if n.Status != model.NodeStatusDown || !s.old(n.StatusUpdatedAt*int64(time.Second), s.cfg.Node) {
			continue
		}
		keep := false
		for a := range s.snap.AllocsByNode(n.ID) {
			keep = keep || !a.ClientTerminal()
		}
		if !keep {
			s.next.Nodes = append(s.next.Nodes, n.ID)
			s.count(1)
		}
	}
}
