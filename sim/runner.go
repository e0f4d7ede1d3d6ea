package sim

import (
	"fmt"
	"time"

	"github.com/steppe-project/steppe/agent/client/alloc"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/sim/disk"
	"github.com/steppe-project/steppe/sim/watch"
	"github.com/steppe-project/steppe/sim/workload"
)

// runner is the shell around alloc.Core for one allocation.
type runner struct {
	n        *node
	id       string
	core     *alloc.Core
	assigned *msg.AssignedAlloc
	after    []*runner // must have ended before a task starts
	tasks    []*instance
	restored map[string]*disk.Record
	haveRun  bool // some earlier agent knew it
	ended    bool
	known    bool // the servers know its end
	alarm    uint64
}

// instance is one task as the agent sees it.
type instance struct {
	rec    disk.Record
	proc   *proc
	gone   bool // the driver has forgotten the last one
	cancel bool // the start under way is given up
	wait   bool // and still only waits
}

// newRunner makes a runner and keeps it in the node's table.
func (n *node) newRunner(a *msg.AssignedAlloc) *runner {
	core, err := alloc.NewCore(a, 0)
	if err != nil {
		n.w.Fail("%s: %v", n.name, err)
	}
	r := &runner{n: n, id: a.Alloc.ID, core: core, assigned: a}
	for range core.Tasks() {
		r.tasks = append(r.tasks, &instance{gone: true})
	}
	n.runners[r.id] = r
	return r
}

func (r *runner) order() alloc.Order {
	return alloc.Order{Assigned: r.assigned, Silent: r.n.held.Silent(r.n.ticks()), Lasts: r.n.held.Lasts()}
}

// launch begins a new allocation, with what was found of it.
func (r *runner) launch() {
	r.n.disk.PutAlloc(r.assigned)
	for i, in := range r.tasks {
		t, _ := r.core.Task(i)
		in.rec.ID = r.newID(t.Name)
		if rec := r.restored[t.Name]; rec != nil {
			in.rec = *rec
		}
		r.n.disk.PutTask(r.id, t.Name, in.rec, true)
	}
	if r.restored != nil {
		r.restore(r.restored)
		return
	}
	r.settle()
}

// restore takes up the tasks of an earlier run of the agent.
func (r *runner) restore(records map[string]*disk.Record) {
	r.haveRun = true
	for i, in := range r.tasks {
		t, _ := r.core.Task(i)
		rec := records[t.Name]
		if rec == nil {
			continue
		}
		in.rec = *rec
		r.core.Resume(i, rec.Status)
		switch {
		case !rec.Status.Alive():
			delete(r.n.procs, rec.Handle)
		case rec.Handle != "":
			r.retake(i, in)
		default:
			r.unclear(i, in)
		}
	}
	r.report(true)
	r.settle()
}

// retake follows a process that was running.
func (r *runner) retake(i int, in *instance) {
	_, s := r.core.Task(i)
	p := r.n.procs[in.rec.Handle]
	if s.Phase == task.Starting {
		s.Phase, s.Started, s.StartedAt = task.Running, true, r.n.w.Now
		r.core.Resume(i, s)
		if p != nil {
			p.started = s.StartedAt // as far as anybody can know
		}
	}
	if p == nil { // the machine was rebooted
		r.n.life.After(time.Millisecond, func() {
			r.see(i, task.Observed{Kind: task.Vanished, Err: "task could not be found again"})
		})
		return
	}
	in.gone = false
	r.follow(i, in, p)
	if s.Phase == task.Killing {
		r.kill(in, 0)
	}
}

// unclear is for a start that was under way when the agent died.
func (r *runner) unclear(i int, in *instance) {
	_, s := r.core.Task(i)
	s.Phase = task.Starting
	r.core.Resume(i, s)
	id := in.rec.ID
	r.n.w.checks.excuse(r.id)
	r.n.life.After(r.n.w.Between(time.Millisecond, 10*time.Millisecond), func() {
		if p := r.n.procs[id]; p != nil {
			r.n.exit(p, 137)
			delete(r.n.procs, id)
		}
		r.see(i, task.Observed{Kind: task.Vanished, Err: "the agent ended during the start"})
	})
}

func (r *runner) newID(name string) string {
	r.n.starts++
	return fmt.Sprintf("%s/%s/%d", r.id, name, r.n.starts)
}

// settle lets the core react, and sets its alarm.
func (r *runner) settle() {
	if r.ended || r.n.runners[r.id] != r {
		return
	}
	r.core.Settle(r.order(), r.n.w.Now, r.carry)
	if r.core.Judge(r.order(), r.n.w.Now) {
		r.report(true)
	}
	r.finish()
	r.alarm++
	mine := r.alarm
	if at := r.core.WakeAt(r.order(), r.n.w.Now); !at.IsZero() && !r.ended {
		r.n.life.After(max(at.Sub(r.n.w.Now), 0), func() {
			if r.alarm == mine {
				r.settle()
			}
		})
	}
}

// see hands an observation to the core.
func (r *runner) see(i int, o task.Observed) {
	r.core.See(r.order(), i, o, r.n.w.Now, r.carry)
	r.settle()
}

// carry carries out a step.
func (r *runner) carry(e alloc.Effect) {
	in := r.tasks[e.Task]
	t, now := r.core.Task(e.Task)
	if e.Before.Up() && !now.Up() || e.Seen == task.Vanished {
		r.dispose(e.Task, in)
	} else {
		in.rec.Status = now
		r.n.disk.PutTask(r.id, t.Name, in.rec, false)
	}
	switch e.Action.Verb {
	case task.VerbStart:
		r.start(e.Task, in)
	case task.VerbCancel:
		in.cancel = true
		if in.wait {
			r.n.life.After(0, func() { r.abandonStart(e.Task, in) })
		}
	case task.VerbKill:
		r.n.w.checks.killed(r, e.Task)
		r.kill(in, e.Action.Timeout)
	}
	r.report(e.Before.Phase != now.Phase)
}

// dispose follows the end of a process: kept on disk, then forgotten.
func (r *runner) dispose(i int, in *instance) {
	t, now := r.core.Task(i)
	in.rec.Status = now
	p := in.proc
	in.proc = nil
	r.n.disk.PutTask(r.id, t.Name, in.rec, true)
	if p == nil {
		return
	}
	p.watch = nil
	r.n.life.After(r.n.w.Between(time.Millisecond, 20*time.Millisecond), func() {
		delete(r.n.procs, p.id)
		in.gone = true
		if in.rec.Handle == p.id {
			in.rec.Handle = ""
			r.n.disk.PutTask(r.id, t.Name, in.rec, false)
		}
		r.settle()
	})
}

// start begins a start; it may have to wait.
func (r *runner) start(i int, in *instance) {
	in.cancel, in.wait = false, true
	t, s := r.core.Task(i)
	if s.Started || s.Restarts > 0 || r.haveRun {
		in.rec.ID, in.rec.Handle = r.newID(t.Name), ""
	}
	r.tryStart(i, in)
}

func (r *runner) tryStart(i int, in *instance) {
	w := r.n.w
	if !in.wait {
		return
	}
	for _, o := range r.after {
		if !o.ended {
			r.n.life.After(10*time.Millisecond, func() { r.tryStart(i, in) })
			return
		}
	}
	if !in.gone {
		r.n.life.After(5*time.Millisecond, func() { r.tryStart(i, in) })
		return
	}
	in.wait = false
	t, _ := r.core.Task(i)
	r.n.disk.PutTask(r.id, t.Name, in.rec, true)
	r.n.life.After(w.Between(5*time.Millisecond, 40*time.Millisecond), func() { r.spawn(i, in) })
}

// abandonStart is a start that was given up while it waited.
func (r *runner) abandonStart(i int, in *instance) {
	if in.wait {
		in.wait = false
		r.see(i, task.Observed{Kind: task.SetupFailed, Err: "given up"})
	}
}

// spawn is the driver's part of a start.
func (r *runner) spawn(i int, in *instance) {
	w, n := r.n.w, r.n
	t, s := r.core.Task(i)
	if s.Phase != task.Starting {
		w.Fail("%s starts %s of %s in phase %d", n.name, t.Name, r.id, s.Phase)
		return
	}
	if n.sick > 0 && w.Chance(n.sick) {
		w.checks.excuse(r.id)
		r.see(i, task.Observed{Kind: task.StartFailed, Err: "the driver is sick", Recoverable: w.Chance(0.8)})
		return
	}
	p := &proc{id: in.rec.ID, alloc: r.id, task: t.Name, started: w.Now, ports: r.assigned.Alloc.AllocatedResources.Shared.Ports}
	w.checks.started(n, r, p)
	n.procs[p.id] = p
	if after, code, ends := workload.Behaviour(t); ends {
		w.After(after, func() {
			if n.procs[p.id] == p {
				n.exit(p, code)
			}
		})
	}
	n.life.After(w.Between(500*time.Microsecond, 5*time.Millisecond), func() {
		p.kept = true
		in.rec.Handle, in.gone = p.id, false
		n.disk.PutTask(r.id, t.Name, in.rec, true)
		r.n.life.After(0, func() {
			r.follow(i, in, p)
			r.see(i, task.Observed{Kind: task.Started, At: w.Now})
		})
	})
}

// follow waits for a process's end.
func (r *runner) follow(i int, in *instance, p *proc) {
	in.proc = p
	seen := func() {
		r.n.life.After(r.n.w.Between(0, 5*time.Millisecond), func() {
			if in.proc == p {
				r.see(i, task.Observed{Kind: task.Exited, Exit: &plugins.ExitResult{ExitCode: p.code}, At: r.n.w.Now})
			}
		})
	}
	p.watch = seen
	if p.ended {
		seen()
	}
}

// kill ends a process within its time.
func (r *runner) kill(in *instance, timeout time.Duration) {
	p := in.proc
	if p == nil {
		return
	}
	r.n.w.After(r.n.w.Between(time.Millisecond, max(timeout, 50*time.Millisecond)), func() { r.n.exit(p, 0) })
}

// report publishes the status as it is now.
func (r *runner) report(urgent bool) {
	status, words := r.core.ClientStatus()
	if watch.Ended(status) && !r.allGone() {
		return
	}
	u := &model.AllocUpdate{ID: r.id, ClientStatus: status, ClientDescription: words, TaskStates: map[string]*model.TaskState{}, DeploymentStatus: workload.Says(r.n.desc, r.core.Health())}
	for i := range r.tasks {
		t, s := r.core.Task(i)
		u.TaskStates[t.Name] = s.State(nil)
	}
	r.n.reports.Put(u, urgent)
	r.n.life.After(0, r.n.sendReports)
}

func (r *runner) allGone() bool {
	for _, in := range r.tasks {
		if !in.gone {
			return false
		}
	}
	return r.core.Dead()
}

// finish notes the end of all.
func (r *runner) finish() {
	if r.ended || !r.core.Dead() || !r.allGone() {
		return
	}
	r.report(true)
	r.ended = true
	r.maybeRemove()
}

// maybeRemove lets an ended allocation go that the servers know to have ended.
func (r *runner) maybeRemove() {
	if !r.ended || !r.known {
		return
	}
	r.n.life.After(keepEnded, func() {
		if r.n.runners[r.id] == r {
			delete(r.n.runners, r.id)
			r.n.disk.Drop(r.id)
		}
	})
}

// String tells where the allocation stands, for a failed run.
func (r *runner) String() string {
	if r == nil {
		return "its agent does not know it"
	}
	a := r.assigned.Alloc
	out := fmt.Sprintf("desired %s, client %s, index %d, ended %v, known %v", a.DesiredStatus, a.ClientStatus, a.AllocModifyIndex, r.ended, r.known)
	for i, in := range r.tasks {
		t, s := r.core.Task(i)
		out += fmt.Sprintf("; %s phase %d failed %v gone %v waits %v", t.Name, s.Phase, s.Failed, in.gone, in.wait)
	}
	return out
}
