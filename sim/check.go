package sim

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched"
)

// checks watches over the promises:
//
//   - all servers have the same state at the same index, snapshots or not
//   - what was acknowledged stays, and is done once
//   - no node is given more than it has; no port runs twice on a node
//   - statuses only move forward
//   - of one name at most one allocation is to run
//   - when a node is taken down, it knows that its lease is over, unless its agent
//     does not run; what it has to stop by itself runs nowhere else before it has
//   - no three nodes are taken down at once: the brake is on before
//   - a process is ended only because the servers or its job want it, and no task
//     runs twice on a node
//   - in the end, nothing is pending, every blocked evaluation is blocked for a
//     reason, and the machines run what the state says
type checks struct {
	w       *world
	store   *state.Store // applies each entry when it is committed
	machine *fsm.FSM
	feed    *state.Subscription
	index   uint64
	hashes  map[uint64][32]byte
	marks   map[string]int
	// excused are allocations whose tasks were hurt: they may restart.
	excused   map[string]bool
	loseplans float64
	downs     map[string]time.Time // nodes that are down, since when
}

func (c *checks) begin(w *world) {
	c.w = w
	c.store = state.New()
	c.machine = fsm.New(c.store)
	c.index = c.store.Snapshot().Index()
	c.hashes, c.marks, c.excused = map[uint64][32]byte{}, map[string]int{}, map[string]bool{}
	c.downs = map[string]time.Time{}
	_, c.feed = c.store.Subscribe(state.TableAllocs, state.TableJobs, state.TableNodes)
}

// hashEvery is how often hashes are compared: they read the whole state.
const hashEvery = 8

// follow applies what is committed and not yet seen.
func (c *checks) follow() {
	l := c.w.ledger
	for c.index < l.last() && c.w.failed == nil {
		c.index++
		raw := l.entries[c.index-l.first]
		e, err := fsm.DecodeEntry(c.index, raw.term, raw.data)
		if err != nil {
			c.w.fail("entry %d: %v", c.index, err)
			return
		}
		c.machine.Apply(e)
		c.changes()
		if c.index%hashEvery == 0 {
			c.hashes[c.index] = c.store.Snapshot().Hash()
		}
	}
}

// committed is called when a leader has committed.
func (c *checks) committed(*server) { c.follow() }

// applied is called when a server has a new state.
func (c *checks) applied(s *server) {
	if s.applied > c.index {
		c.follow()
	}
	if want, ok := c.hashes[s.applied]; ok && s.store.Snapshot().Hash() != want {
		c.w.fail("%s has another state than the log gives at %d", s.name, s.applied)
	}
}

// changes looks at what the newest entry changed.
func (c *checks) changes() {
	changes, err := c.feed.Poll()
	if err != nil {
		c.w.fail("the change feed: %v", err)
		return
	}
	touched := map[string]bool{}
	for i := range changes {
		switch after := changes[i].After.(type) {
		case *model.Allocation:
			before, _ := changes[i].Before.(*model.Allocation)
			c.forward(before, after)
			touched[after.NodeID] = true
			if before == nil {
				c.alone(after)
			}
		case *model.Node:
			before, _ := changes[i].Before.(*model.Node)
			c.fenced(before, after)
			if c.w.cfg.NoLoss && before != nil && before.Status == model.NodeStatusReady && after.Status == model.NodeStatusDown {
				c.w.fail("node %s is taken down, and nothing has happened to it: %s", after.Name, after.StatusDescription)
			}
		case *model.Job:
			before, _ := changes[i].Before.(*model.Job)
			if !after.Stop && (before == nil || before.CreateIndex != after.CreateIndex || before.Version != after.Version) {
				mark := after.Meta[markKey]
				if c.marks[mark]++; c.marks[mark] > 1 {
					c.w.fail("write %s of job %s was done %d times", mark, after.ID, c.marks[mark])
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		c.fits(id)
	}
}

var steps = map[string]int{
	model.ClientPending: 0, model.ClientRunning: 1, model.ClientUnknown: 1,
	model.ClientComplete: 2, model.ClientFailed: 2, model.ClientLost: 2,
}

// forward: statuses only advance, and a stop is not taken back.
func (c *checks) forward(before, after *model.Allocation) {
	if before == nil {
		return
	}
	a, b := steps[before.ClientStatus], steps[after.ClientStatus]
	if b < a || a == 2 && before.ClientStatus != after.ClientStatus {
		c.w.fail("allocation %s went from %s to %s", after.ID, before.ClientStatus, after.ClientStatus)
	}
	if before.ServerTerminal() && !after.ServerTerminal() {
		c.w.fail("allocation %s was stopped and is to run again", after.ID)
	}
}

// alone: of one name at most one allocation is to run.
func (c *checks) alone(a *model.Allocation) {
	for o := range c.store.Snapshot().AllocsByJob(a.Namespace, a.JobID) {
		if o.ID == a.ID || o.Name != a.Name || o.Terminal() || a.Terminal() {
			continue
		}
		if system(o) && o.NodeID != a.NodeID {
			continue
		}
		c.w.fail("two allocations of %s are to run: %s on %s, %s on %s", a.Name, o.ID, o.NodeID, a.ID, a.NodeID)
	}
}

func system(a *model.Allocation) bool {
	return a.Job != nil && (a.Job.Type == model.JobTypeSystem || a.Job.Type == model.JobTypeSysbatch)
}

// fits: a node is given no more than it has.
func (c *checks) fits(nodeID string) {
	snap := c.store.Snapshot()
	n := snap.Node(nodeID)
	if n == nil {
		return
	}
	var cpu, memory, disk int64
	ports := map[int]string{}
	for a := range snap.AllocsByNode(nodeID) {
		if a.Terminal() {
			continue
		}
		for _, t := range a.AllocatedResources.Tasks {
			cpu += t.Cpu.CpuShares
			memory += t.Memory.MemoryMB
		}
		disk += a.AllocatedResources.Shared.DiskMB
		for _, p := range a.AllocatedResources.Shared.Ports {
			if other := ports[p.Value]; other != "" {
				c.w.fail("port %d of %s was given to %s and %s", p.Value, n.Name, other, a.ID)
			}
			ports[p.Value] = a.ID
		}
	}
	r := n.NodeResources
	if cpu > lifecyclePeak*r.Cpu.CpuShares || memory > lifecyclePeak*r.Memory.MemoryMB || disk > r.Disk.DiskMB {
		c.w.fail("node %s is given cpu %d of %d, memory %d of %d, disk %d of %d",
			n.Name, cpu, r.Cpu.CpuShares, memory, r.Memory.MemoryMB, disk, r.Disk.DiskMB)
	}
}

// lifecyclePeak: tasks of a group that never run at the same time share room, so
// a plain sum may be larger than the node. The groups here have two tasks.
const lifecyclePeak = 2

// started: no task runs twice on a node, and no port is used twice.
func (c *checks) started(n *node, r *runner, p *proc) {
	for _, id := range sortedKeys(n.procs) {
		o := n.procs[id]
		if o.ended {
			continue
		}
		if o.alloc == p.alloc && o.task == p.task {
			c.w.fail("%s runs %s twice: %s and %s", n.name, p.task, o.id, p.id)
		}
		if o.alloc == p.alloc {
			continue
		}
		for _, a := range o.ports {
			for _, b := range p.ports {
				if a.Value == b.Value {
					c.w.fail("%s: port %d is used by %s and %s", n.name, a.Value, o.id, p.id)
				}
			}
		}
	}
	c.apart(n, r)
	t, s := r.core.Task(taskIndex(r, p.task))
	if s.Restarts > 0 && t.Env["RUN"] == "" && !c.excused[r.id] {
		c.w.fail("%s restarts %s, which nothing has happened to", n.name, p.id)
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
	a := c.store.Snapshot().Alloc(r.id)
	if a == nil || a.Terminal() || c.store.Snapshot().Node(r.n.id) == nil {
		return
	}
	if _, s := r.core.Task(i); s.Fenced {
		c.w.report.Fenced++
		return // its group's policy
	}
	for j := range r.tasks {
		t, s := r.core.Task(j)
		if j != i && (s.Phase == task.Dead && s.Failed || t.Leader && s.Phase == task.Dead) {
			return // the job's own rules
		}
	}
	t, _ := r.core.Task(i)
	if t.Lifecycle != nil && t.Lifecycle.Sidecar {
		return // its main tasks have ended
	}
	c.w.fail("%s ends %s of %s (%s), which is to run: %s", r.n.name, t.Name, a.Name, a.ID, r)
}

// settleDown waits for everything to converge after the faults.
func (w *world) settleDown() {
	admin := &user{w: w, name: "admin"}
	left := len(w.nodes)
	for _, n := range w.nodes {
		admin.setEligibility(n.id, model.NodeEligible, func() { left-- })
	}
	until := w.now.Add(quietFor)
	var look func()
	look = func() {
		why := "users are still writing"
		if left == 0 {
			why = w.unsettled()
		}
		if why == "" {
			w.trace("SETTLED")
			w.final()
			w.queue = nil
			return
		}
		if !w.now.Before(until) {
			w.fail("%s after the last fault, %s", quietFor, why)
			return
		}
		w.after(settleStep, look)
	}
	w.after(settleStep, look)
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
		return "evaluation " + e.ID + " of " + e.JobID + " is pending (" + e.TriggeredBy + ")"
	}
	for _, n := range w.nodes {
		if why := w.differs(n, snap); why != "" {
			return why
		}
	}
	return w.undecided(snap)
}

// unequal tells which server is behind.
func (w *world) unequal() string {
	want := w.truth().Hash()
	for _, s := range w.servers {
		if s.life == nil || s.applied != w.ledger.last() {
			return s.name + " is behind"
		}
		if s.store.Snapshot().Hash() != want {
			w.fail("%s has another state in the end", s.name)
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
	for a := range snap.AllocsByNode(n.id) {
		if a.ClientTerminal() {
			continue
		}
		if a.ServerTerminal() {
			return a.ID + " on " + n.name + " was told to stop and has not said that it did"
		}
		if a.ClientStatus == model.ClientRunning && !live[a.ID] && a.Job.Type == model.JobTypeService {
			return a.ID + " on " + n.name + " is running, says the state, and is not"
		}
		if a.ClientStatus == model.ClientPending {
			return a.ID + " on " + n.name + " is pending"
		}
	}
	return ""
}

// undecided asks the scheduler about every job: in the end it must have nothing
// to do. A blocked evaluation that could place something has missed its wake-up.
func (w *world) undecided(snap *state.Snapshot) string {
	lead := w.ledger.leader
	if lead == nil || lead.lead == nil {
		return "nobody leads"
	}
	view := fleet.New(lead.store)
	defer func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = view.Run(over)
	}()
	basis, err := view.At(context.Background(), 0)
	if err != nil {
		return err.Error()
	}
	for j := range snap.Jobs(state.Range{}) {
		e := &model.Evaluation{
			ID: "check", Namespace: j.Namespace, JobID: j.ID, Type: j.Type, Priority: j.Priority,
			TriggeredBy: model.TriggerJobRegister, Status: model.EvalPending,
		}
		plan := sched.Process(basis, e, sched.Env{Now: w.now, Seed: 1, Config: basis.SchedulerConfig()}).Plan
		if len(plan.Stops) > 0 {
			return "job " + j.ID + ": there is something to stop"
		}
		for _, g := range plan.Groups {
			if len(g.Placements) > 0 {
				return "job " + j.ID + ": there is something to place"
			}
			if len(g.InPlace) > 0 {
				return "job " + j.ID + ": there is something to update"
			}
		}
	}
	return ""
}

// final checks what only the end can tell.
func (w *world) final() {
	snap := w.truth()
	for _, u := range w.users {
		for _, id := range sortedKeys(u.marks) {
			marks := u.marks[id]
			if len(marks) == 0 || u.stopped[id] {
				continue
			}
			j := snap.Job(model.DefaultNamespace, id)
			last := marks[len(marks)-1]
			if j == nil {
				if strings.HasPrefix(id, "s") || strings.HasPrefix(id, "y") {
					w.fail("job %s, last written as %s, is gone", id, last)
				}
				continue // a batch job that is done is collected
			}
			if j.Meta[markKey] != last {
				w.fail("job %s was last written as %s and is %s", id, last, j.Meta[markKey])
			}
		}
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
