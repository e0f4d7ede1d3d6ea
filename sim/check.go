package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sim/matrix"
	"github.com/steppe-project/steppe/sim/watch"
)

// checks watches over the promises:
//
//   - all servers have the same state at the same index, snapshots or not
//   - what was acknowledged stays, and is done once
//   - what package watch sees in the state alone; no port runs twice on a node
//   - when a node is taken down, it knows that its lease is over, unless its agent
//     does not run; what it has to stop by itself runs nowhere else before it has
//   - no three nodes are taken down at once: the brake is on before
//   - a process is ended only because the servers or its job want it, and no task
//     runs twice on a node
//   - when a node's drain is complete, nothing runs there
//   - when the faults are over, schedules go on (package launches)
//   - in the end, nothing is pending, every blocked evaluation is blocked for a
//     reason, and the machines run what the state says
type checks struct {
	w *world
	*watch.Watch
	index  uint64
	hashes *watch.Hashes
	// excused are allocations whose tasks were hurt: they may restart.
	excused   map[string]bool
	loseplans float64
	brake     watch.Brake
}

func (c *checks) begin(w *world) {
	c.w = w
	c.Watch = watch.New(markKey, w.Fail)
	c.OnNode = c.node
	c.OnChange = func(ch *state.Change) { w.report.Matrix.Add(matrix.Of(ch), w.harm.On()) }
	c.Stepped = func() bool { return w.stepped }
	c.index = c.Snapshot().Index()
	c.hashes, c.excused = watch.NewHashes(c.w.cfg.Seed), map[string]bool{}
}

// follow applies what is committed and not yet seen.
func (c *checks) follow() {
	l := c.w.ledger
	for c.index < l.last() && !c.w.Failed() {
		c.index++
		raw := l.entries[c.index-l.first]
		e, err := fsm.DecodeEntry(c.index, raw.term, raw.data)
		if err != nil {
			c.w.Fail("entry %d: %v", c.index, err)
			return
		}
		c.Apply(e)
		c.hashes.Note(c.Snapshot())
	}
}

// committed is called when a leader has committed.
func (c *checks) committed(*server) { c.follow() }

// applied is called when a server has a new state.
func (c *checks) applied(s *server) {
	if s.applied > c.index {
		c.follow()
	}
	if c.hashes.Differ(s.applied, &s.hasher, s.store.Snapshot()) {
		c.w.Fail("%s has another state than the log gives at %d", s.name, s.applied)
	}
}

// node looks at a node that has changed.
func (c *checks) node(before, after *model.Node) {
	c.fenced(before, after)
	c.drained(before, after)
	if c.w.cfg.NoLoss && before != nil && before.Status == model.NodeStatusReady && after.Status == model.NodeStatusDown {
		c.w.Fail("node %s is taken down, and nothing has happened to it: %s", after.Name, after.StatusDescription)
	}
}

// drained: when a drain is complete, nothing runs there but what may stay.
func (c *checks) drained(before, after *model.Node) {
	if !watch.Emptied(before, after) {
		return
	}
	n := c.w.nodes[slices.IndexFunc(c.w.nodes, func(n *node) bool { return n.id == after.ID })]
	for _, id := range sortedKeys(n.procs) {
		if p := n.procs[id]; !p.ended && !watch.MayStay(c.Snapshot().Alloc(p.alloc), before) {
			c.w.Fail("the drain of %s is complete, and %s runs there", n.name, p.id)
		}
	}
}

// started: no task runs twice on a node, and no port is used twice.
func (c *checks) started(n *node, r *runner, p *proc) {
	for _, id := range sortedKeys(n.procs) {
		o := n.procs[id]
		if o.ended {
			continue
		}
		if o.alloc == p.alloc && o.task == p.task {
			c.w.Fail("%s runs %s twice: %s and %s", n.name, p.task, o.id, p.id)
		}
		if o.alloc == p.alloc {
			continue
		}
		for _, a := range o.ports {
			for _, b := range p.ports {
				if a.Value == b.Value {
					c.w.Fail("%s: port %d is used by %s and %s", n.name, a.Value, o.id, p.id)
				}
			}
		}
	}
	c.apart(n, r)
	t, s := r.core.Task(taskIndex(r, p.task))
	if s.Restarts > 0 && t.Env["RUN"] == "" && !c.excused[r.id] {
		c.w.Fail("%s restarts %s, which nothing has happened to", n.name, p.id)
	}
}

func taskIndex(r *runner, name string) int {
	for i := range r.tasks {
		if t, _ := r.core.Task(i); t.Name == name {
			return i
		}
	}
	return 0
}

// excuse notes that an allocation was hurt.
func (c *checks) excuse(id string) { c.excused[id] = true }

// killed: a node ends a process only if somebody wants it.
func (c *checks) killed(r *runner, i int) {
	a := c.Snapshot().Alloc(r.id)
	if a == nil || a.Terminal() || c.Snapshot().Node(r.n.id) == nil {
		return
	}
	t, s := r.core.Task(i)
	if s.Fenced {
		c.w.report.Fenced++
	}
	if watch.Own(r.core, i) {
		return
	}
	c.w.Fail("%s ends %s of %s (%s), which is to run: %s", r.n.name, t.Name, a.Name, a.ID, r)
}

// settleDown waits for everything to converge after the faults.
func (w *world) settleDown() {
	admin := (&user{w: w, name: "admin"}).operator()
	left := len(w.nodes)
	for _, n := range w.nodes {
		admin.Open(n.id, func() { left-- })
	}
	w.launches.End()
	w.tenants.End()
	until := w.Now.Add(quietFor)
	var look func()
	look = func() {
		why := "users are still writing"
		admin.Lead(w.truth(), func() {})
		if left == 0 && !w.launches.Busy() && !w.tenants.Busy() && !slices.ContainsFunc(w.users, func(u *user) bool { return u.busy }) {
			why = w.unsettled()
		}
		if why == "" {
			w.Tracef("SETTLED")
			w.final()
			w.Stop()
			return
		}
		if !w.Now.Before(until) {
			w.Fail("%s after the last fault, %s", quietFor, why)
			return
		}
		w.After(settleStep, look)
	}
	w.After(settleStep, look)
}

// unsettled tells what has not converged, "" for nothing.
func (w *world) unsettled() string {
	w.checks.follow()
	if why := w.unequal(); why != "" {
		return why
	}
	snap := w.truth()
	for _, n := range w.nodes {
		if row := snap.Node(n.id); row == nil || row.Status != model.NodeStatusReady {
			return n.name + " is not ready"
		}
	}
	for e := range snap.EvalsByStatus(model.EvalPending) {
		return "evaluation " + e.ID + " of " + e.JobID + " is pending (" + e.TriggeredBy + ")" + watch.EvalsOf(snap, snap.Job(e.Namespace, e.JobID))
	}
	if why := cmp.Or(watch.Undeployed(snap), watch.Torn(snap)); why != "" {
		return why
	}
	for _, n := range w.nodes {
		if why := w.differs(n, snap); why != "" {
			return why
		}
	}
	if lead := w.ledger.leader; lead != nil && lead.lead != nil {
		return watch.Undecided(lead.store, sched.Env{Now: lead.clock(), Steady: lead.time.Steady(), Seed: 1})
	}
	return "nobody leads"
}

// unequal tells which server is behind.
func (w *world) unequal() string {
	for _, s := range w.servers {
		if s.life == nil || s.applied != w.ledger.last() {
			return s.name + " is behind"
		}
		if !w.checks.hashes.Equal(w.truth(), &s.hasher, s.store.Snapshot()) {
			w.Fail("%s has another state in the end", s.name)
		}
	}
	return ""
}

// differs compares what runs on a machine with what the state says.
func (w *world) differs(n *node, snap *state.Snapshot) string {
	live := map[string]bool{}
	for _, id := range sortedKeys(n.procs) {
		if p := n.procs[id]; !p.ended {
			live[p.alloc] = true
		}
	}
	for _, id := range sortedKeys(live) {
		a := snap.Alloc(id)
		if a == nil || a.Terminal() {
			return fmt.Sprintf("%s runs %s, which should not run: %s", n.name, id, n.runners[id])
		}
	}
	return watch.Unheard(snap, n.id, live)
}

// final checks what only the end can tell.
func (w *world) final() {
	for _, s := range w.servers { // nothing of these hashes is remembered
		if s.life != nil && s.applied == w.ledger.last() && s.store.Snapshot().Hash() != w.truth().Hash() {
			w.Fail("%s has a row that was changed in place", s.name)
		}
	}
	for _, u := range w.users {
		w.checks.Kept(u.marks, u.stopped)
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
