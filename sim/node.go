package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/steppe-project/steppe/agent/client/alloc"
	"github.com/steppe-project/steppe/agent/client/report"
	clisession "github.com/steppe-project/steppe/agent/client/session"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/sim/disk"
	"github.com/steppe-project/steppe/sim/engine"
	"github.com/steppe-project/steppe/sim/watch"
)

const (
	// dialTimeout is what it takes to notice that a server cannot be reached.
	dialTimeout = port.DialTimeout
	// keepEnded is how long an ended allocation stays on its node.
	keepEnded = 20 * time.Second
)

// node is one machine that runs tasks: the tasks' processes and a disk, which
// outlive its agent, and the agent.
type node struct {
	w    *world
	id   string
	name string
	desc *model.Node // as it registers

	procs map[string]*proc // by the driver's id; the driver's and shims' memory
	disk  *disk.Disk
	sick  float64 // chance that a start fails
	slow  time.Duration

	life         *engine.Life // of the agent
	held         lease.Held
	leased       bool      // a renewal was confirmed, and it is not forgotten
	steady       time.Time // since when the agent runs without a break
	drift        float64   // its clock is too fast by
	runners      map[string]*runner
	strays       map[string][]*proc // found beside a lost state file
	reports      *report.Queue
	session      *session
	seq          uint64 // of renewals
	rota         clisession.Rota
	unheardSince time.Time
	starts       uint64
}

// proc is a task's process with its shim, which remembers how it ended.
type proc struct {
	id      string
	alloc   string
	task    string
	kept    bool // a record of it lies beside it
	started time.Time
	ended   bool
	code    int
	ports   []model.PortMapping
	watch   func() // the agent that follows it
}

func (n *node) running() bool { return n.life != nil && !n.life.Paused() }

// boot starts the machine's agent for the first time.
func (n *node) boot() {
	n.procs, n.disk = map[string]*proc{}, n.newDisk()
	n.startAgent()
}

// startAgent starts the agent on what it finds.
func (n *node) startAgent() {
	n.w.Tracef("%s agent starts", n.name)
	n.life = n.w.NewLife()
	n.takeUpLease()
	n.runners, n.strays = map[string]*runner{}, map[string][]*proc{}
	n.reports = report.NewAt(func() time.Time { return n.w.Now })
	described := *n.desc
	described.ReportsFrom = n.reports.From()
	n.desc = &described
	n.rota, n.session = clisession.Rota{}, nil
	ids := slices.Sorted(maps.Keys(n.disk.Allocs))
	for _, id := range ids {
		n.newRunner(n.disk.Allocs[id])
	}
	for _, id := range ids {
		n.precede(n.runners[id])
	}
	for _, id := range ids {
		n.runners[id].restore(n.disk.Tasks[id])
	}
	for _, id := range slices.Sorted(maps.Keys(n.procs)) {
		p := n.procs[id]
		if n.runners[p.alloc] == nil {
			n.strays[p.alloc] = append(n.strays[p.alloc], p)
		}
	}
	n.life.After(n.w.Between(0, 100*time.Millisecond), n.connect)
	n.life.After(0, n.sendReports)
}

// forget is for an agent that is about to lose its state: of tasks that it stops just
// now, those that come back will not know why they were stopped.
func (n *node) forget() {
	for _, id := range slices.Sorted(maps.Keys(n.runners)) {
		r := n.runners[id]
		for i, in := range r.tasks {
			if _, s := r.core.Task(i); s.Phase == task.Killing || in.proc != nil && in.proc.ended {
				n.w.checks.excuse(id)
			}
		}
	}
}

// killAgent ends the agent; tasks go on.
func (n *node) killAgent() {
	n.w.Tracef("%s agent is killed", n.name)
	n.life.End()
	ss := n.session
	n.life, n.session, n.runners, n.strays = nil, nil, nil, nil
	n.disk.Crash()
	for _, p := range n.procs {
		p.watch = nil
	}
	if ss != nil {
		ss.hangUp()
	}
}

// reboot ends everything on the machine.
func (n *node) reboot() {
	n.w.Tracef("%s reboots", n.name)
	if n.life != nil {
		n.killAgent()
	}
	for _, p := range n.procs {
		n.w.checks.excuse(p.alloc)
	}
	n.procs = map[string]*proc{}
}

// connect tries the next server.
func (n *node) connect() {
	if n.session != nil {
		return
	}
	all := n.w.serverNames()
	addr := n.rota.Next(n.w.Now, nil, all, n.w.Rand.IntN)
	s := n.w.servers[slices.Index(all, addr)]
	switch {
	case !n.w.Linked(s.name, n.name):
		n.life.After(dialTimeout, func() { n.failed(addr, false) })
		return
	case s.life == nil:
		n.life.After(n.w.Delay(), func() { n.failed(addr, false) })
		return
	}
	ss := n.w.dial(n, s)
	n.session = ss
	n.w.Tracef("%s dials %s", n.name, ss.s.name)
	ss.register(n.desc)
	limit := clisession.RegisterTimeout
	if len(n.w.servers) > 1 {
		limit = clisession.RegisterPatience
	}
	n.life.After(limit, func() {
		if n.session == ss && !ss.welcome {
			ss.hangUp()
		}
	})
	n.probe(ss)
}

// serverNames are those of all servers, running or not.
func (w *world) serverNames() []string {
	all := make([]string, 0, len(w.servers))
	for _, s := range w.servers {
		all = append(all, s.name)
	}
	return all
}

// failed has the next server tried when it is time.
func (n *node) failed(addr string, stood bool) {
	all := n.w.serverNames()
	pause := n.rota.Ended(n.w.Now, addr, stood, all)
	n.life.After(pause+n.w.Between(0, pause/2), n.connect)
}

// probe asks a silent server whether it still runs, as production does.
func (n *node) probe(ss *session) {
	n.life.After(clisession.ProbeInterval, func() {
		if n.session != ss {
			return
		}
		silent := n.w.Now.Sub(ss.confirmed) >= lease.Interval(leaseTTL, 0)+clisession.Silence
		if silent && len(n.w.servers) > 1 && (ss.srv.Over() || ss.srv.Paused() || !n.w.Linked(n.name, ss.s.name)) {
			n.life.After(clisession.Strikes*clisession.ProbeTimeout, func() {
				if n.session == ss {
					n.w.Tracef("%s: %s does not answer any more", n.name, ss.s.name)
					ss.hangUp()
				}
			})
			return
		}
		n.probe(ss)
	})
}

// disconnected looks for another server.
func (n *node) disconnected(ss *session) {
	if n.life != nil {
		n.failed(ss.s.name, ss.welcome)
	}
}

// welcomed is the answer to a registration.
func (n *node) welcomed(ss *session) {
	if n.session != ss {
		return
	}
	ss.confirmed, ss.welcome = n.w.Now, true
	n.w.Tracef("%s is with %s", n.name, ss.s.name)
	n.reports.Reset()
	n.sendReports()
	n.held.Begin(leaseTTL)
	n.renew(ss)
	n.keepLease(ss)
}

// keepLease renews, and gives up a server that does not confirm.
func (n *node) keepLease(ss *session) {
	n.life.After(lease.Interval(leaseTTL, 0), func() {
		if n.session != ss {
			return
		}
		n.renew(ss)
		if n.w.Now.Sub(ss.confirmed) > leaseTTL+lease.Interval(leaseTTL, 0) {
			n.w.Tracef("%s gives up %s", n.name, ss.s.name)
			ss.hangUp()
			return
		}
		n.keepLease(ss)
	})
}

// renewed is the servers' word that the lease is extended.
func (n *node) renewed(ss *session, seq uint64) {
	ss.confirmed = n.w.Now
	if n.session == ss {
		n.leaseConfirmed(seq)
	}
}

// sendReports sends the statuses that are due.
func (n *node) sendReports() {
	ss := n.session
	if n.life == nil || ss == nil || !ss.welcome {
		return
	}
	for {
		seq, updates, wait := n.reports.Poll()
		if wait != 0 {
			if wait > 0 {
				n.life.After(wait, n.sendReports)
			}
			return
		}
		if len(updates) > 0 {
			ss.report(seq, updates)
		}
	}
}

// acked is the servers' word that reports are committed.
func (n *node) acked(seq uint64) {
	for _, u := range n.reports.Acked(seq) {
		if r := n.runners[u.ID]; r != nil && watch.Ended(u.ClientStatus) {
			r.known = true
			r.maybeRemove()
		}
	}
	n.sendReports()
}

// assign takes in what the servers want, as alloc.Set does.
func (n *node) assign(ss *session, set *msg.NodeAssign) {
	if n.session != ss {
		return
	}
	ss.confirmed = n.w.Now
	if set.Full && len(n.strays) > 0 {
		n.steady = n.w.Now // since when it acts on what it did not know any more
	}
	named := map[string]bool{}
	var fresh []*runner
	for _, a := range set.Allocs {
		named[a.Alloc.ID] = true
		n.reports.Beyond(a.Alloc.ReportOrder)
		if r := n.admit(a); r != nil {
			fresh = append(fresh, r)
		}
	}
	if set.Full {
		for _, id := range slices.Sorted(maps.Keys(n.runners)) {
			if !named[id] {
				n.unassign(id)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(n.strays)) {
			for _, p := range n.strays[id] {
				n.w.Tracef("%s ends stray %s", n.name, p.id)
				n.exit(p, 137)
				delete(n.procs, p.id)
			}
			delete(n.strays, id)
		}
	}
	for _, id := range set.Removed {
		n.unassign(id)
	}
	for _, r := range fresh {
		n.precede(r)
		r.launch()
	}
}

// precede notes what an allocation has to wait for.
func (n *node) precede(r *runner) {
	if r.assigned.Alloc.Terminal() {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(n.runners)) {
		o := n.runners[id]
		if o != r && !o.ended && alloc.MustWait(r.assigned.Alloc, o.assigned.Alloc) {
			r.after = append(r.after, o)
		}
	}
}

// admit takes one assignment in; the runner is returned when it is new.
func (n *node) admit(a *msg.AssignedAlloc) *runner {
	r := n.runners[a.Alloc.ID]
	var have *msg.AssignedAlloc
	if r != nil {
		have = r.assigned
	}
	verdict, err := alloc.Judge(have, a, n.strays[a.Alloc.ID] != nil)
	switch {
	case err != nil:
		n.w.Fail("%s refuses an assignment: %v", n.name, err)
	case verdict == alloc.Update:
		r.assigned = a
		n.disk.PutAlloc(a)
		r.core.Adopt(a)
		r.settle()
	case verdict == alloc.Start:
		r = n.newRunner(a)
		n.adoptStrays(r)
		return r
	}
	return nil
}

// adoptStrays takes over what was found of an allocation beside a lost state file.
func (n *node) adoptStrays(r *runner) {
	found := n.strays[r.id]
	if found == nil {
		return
	}
	delete(n.strays, r.id)
	records := map[string]*disk.Record{}
	for _, p := range found {
		if p.kept {
			records[p.task] = &disk.Record{ID: p.id, Handle: p.id, Status: task.Status{Phase: task.Running, Started: true, StartedAt: p.started}}
			continue
		}
		n.w.checks.excuse(p.alloc)
		n.exit(p, 137) // swept
		delete(n.procs, p.id)
	}
	for i := range r.core.Tasks() {
		t, _ := r.core.Task(i)
		known := r.assigned.Alloc.TaskStates[t.Name]
		if records[t.Name] == nil && known != nil && known.State == model.TaskDead {
			records[t.Name] = disk.Ended(known)
		}
	}
	r.restored = records
}

// unassign is for an allocation that the servers do not want here any more.
func (n *node) unassign(id string) {
	n.reports.Drop(id)
	r := n.runners[id]
	if r == nil {
		return
	}
	r.known = true
	if stop := alloc.Unassigned(r.assigned); stop != nil {
		r.assigned = stop
		n.disk.PutAlloc(stop)
		r.settle()
	}
	r.maybeRemove()
}

// exit is the end of a process, whoever caused it.
func (n *node) exit(p *proc, code int) {
	if p.ended {
		return
	}
	p.ended, p.code = true, code
	n.w.checks.Overtime(n.running() && n.runners[p.alloc] != nil, p.alloc, p.task, p.started, n.steady, n.w.Now)
	if p.watch != nil {
		p.watch()
	}
}

// newDisk is an empty disk.
func (n *node) newDisk() *disk.Disk {
	return disk.New(func(f func()) { n.life.After(n.w.Between(0, 100*time.Millisecond), f) })
}
