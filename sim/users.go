package sim

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// user writes jobs, one after the other, and insists on each write until it
// knows its end.
type user struct {
	w    *world
	name string
	jobs []string // its own
	n    int
	wrote
}

// wrote is what a user knows to be written, by job: the marks of acknowledged
// versions in order.
type wrote struct {
	marks   map[string][]string
	stopped map[string]bool
}

// meta key under which a version carries its mark.
const markKey = "mark"

// begin has the user act until the faults are over.
func (u *user) begin() {
	u.marks, u.stopped = map[string][]string{}, map[string]bool{}
	u.w.after(u.w.between(0, time.Second), u.act)
}

// act does one thing and goes on when it has ended.
func (u *user) act() {
	if u.w.calm {
		return
	}
	next := func() { u.w.after(u.w.between(50*time.Millisecond, 4*time.Second), u.act) }
	id := u.jobs[u.w.rng.IntN(len(u.jobs))]
	switch roll := u.w.rng.IntN(100); {
	case roll < 62 || len(u.marks[id]) == 0:
		u.register(id, next)
	case roll < 72:
		u.deregister(id, roll < 68, next)
	case roll < 82:
		u.stopOne(id, next)
	case roll < 92:
		u.toggle(next)
	default:
		u.write(func(ctx context.Context, at *server, rid string) error {
			r := &msg.JobEvaluateRequest{JobID: id}
			r.RequestID = rid
			_, err := msg.JobEvaluate.Call(ctx, at.rpc.Caller(), r)
			return err
		}, func(error) { next() })
	}
}

// register writes a version of a job that carries a mark of its own.
func (u *user) register(id string, next func()) {
	u.n++
	mark := fmt.Sprintf("%s-%d", u.name, u.n)
	job := u.w.job(id, mark)
	u.write(func(ctx context.Context, at *server, rid string) error {
		r := &msg.JobRegisterRequest{Job: job}
		r.RequestID = rid
		_, err := msg.JobRegister.Call(ctx, at.rpc.Caller(), r)
		return err
	}, func(err error) {
		if err == nil {
			u.marks[id] = append(u.marks[id], mark)
			u.stopped[id] = false
		} else {
			u.w.fail("%s cannot register %s: %v", u.name, id, err)
		}
		next()
	})
}

func (u *user) deregister(id string, purge bool, next func()) {
	u.write(func(ctx context.Context, at *server, rid string) error {
		r := &msg.JobDeregisterRequest{JobID: id, Purge: purge}
		r.RequestID = rid
		_, err := msg.JobDeregister.Call(ctx, at.rpc.Caller(), r)
		return err
	}, func(err error) {
		if err == nil {
			u.stopped[id] = true
		}
		if purge {
			u.marks[id] = nil
		}
		next()
	})
}

// stopOne has one instance of a job started elsewhere.
func (u *user) stopOne(id string, next func()) {
	var pick string
	for a := range u.w.truth().AllocsByJob(model.DefaultNamespace, id) {
		if !a.Terminal() && (pick == "" || u.w.chance(0.3)) {
			pick = a.ID
		}
	}
	if pick == "" {
		next()
		return
	}
	u.write(func(ctx context.Context, at *server, rid string) error {
		r := &msg.AllocStopRequest{AllocID: pick}
		r.RequestID = rid
		_, err := msg.AllocStop.Call(ctx, at.rpc.Caller(), r)
		return err
	}, func(error) { next() })
}

// toggle closes a node for new work, or opens it.
func (u *user) toggle(next func()) {
	n := u.w.nodes[u.w.rng.IntN(len(u.w.nodes))]
	to := model.NodeEligible
	if u.w.chance(0.4) {
		to = model.NodeIneligible
	}
	u.setEligibility(n.id, to, next)
}

func (u *user) setEligibility(node, to string, next func()) {
	u.write(func(ctx context.Context, at *server, rid string) error {
		r := &msg.NodeEligibilityRequest{NodeID: node, Eligibility: to}
		r.RequestID = rid
		_, err := msg.NodeEligibility.Call(ctx, at.rpc.Caller(), r)
		return err
	}, func(error) { next() })
}

// write carries a write to any server, again and again with the same request id,
// until somebody knows how it ended.
func (u *user) write(handle func(ctx context.Context, at *server, rid string) error, done func(error)) {
	w := u.w
	w.report.Writes++
	rid := w.id()
	var try func()
	try = func() {
		s := w.servers[w.rng.IntN(len(w.servers))]
		again := func() { w.after(w.between(20*time.Millisecond, 500*time.Millisecond), try) }
		w.call(u.name, s.name, func(reply func(error)) {
			if s.life == nil {
				return
			}
			s.life.run(func() {
				s.ask(func(ctx context.Context, at *server) error { return handle(ctx, at, rid) }, reply)
			})
		}, func(err error) {
			if err != nil && repeatable(err) {
				again()
				return
			}
			done(err)
		})
	}
	try()
}

// job is a random specification of a job. What a job is (its type) follows from
// its id, so that versions differ in what users change.
func (w *world) job(id, mark string) *model.Job {
	kind := id[:1]
	j := model.NewJob(map[string]string{"s": model.JobTypeService, "b": model.JobTypeBatch, "y": model.JobTypeSystem, "z": model.JobTypeSysbatch}[kind])
	j.ID, j.Name, j.Datacenters = id, id, []string{"*"}
	j.Priority = []int{20, 50, 50, 80}[w.rng.IntN(4)]
	j.Meta = map[string]string{markKey: mark}
	if j.Update != nil && w.chance(0.5) {
		j.Update.MaxParallel = 0
	}
	if j.Update != nil {
		j.Update.MinHealthyTime = 2 * time.Second
	}
	for i := range 1 + w.rng.IntN(2) {
		j.TaskGroups = append(j.TaskGroups, w.group(j, "g"+strconv.Itoa(i)))
	}
	if w.chance(0.3) {
		j.Constraints = []*model.Constraint{{LTarget: "${meta.color}", RTarget: "red", Operand: []string{"=", "!="}[w.rng.IntN(2)]}}
	}
	return j
}

func (w *world) group(j *model.Job, name string) *model.TaskGroup {
	g := model.NewTaskGroup(j)
	g.Name = name
	if j.Type == model.JobTypeService || j.Type == model.JobTypeBatch {
		g.Count = w.rng.IntN(5)
	}
	if w.chance(0.2) {
		g.Constraints = []*model.Constraint{{Operand: model.OpDistinctHosts, RTarget: "true"}}
	}
	if w.chance(0.3) {
		g.Networks = []*model.NetworkResource{{ReservedPorts: []model.Port{{Label: "p", Value: 8000 + w.rng.IntN(3)}}, DynamicPorts: []model.Port{{Label: "d"}}}}
	}
	if w.chance(0.3) {
		g.Disconnect = model.NewDisconnectStrategy()
		g.Disconnect.StopOnClientAfter = w.between(time.Second, 20*time.Second)
	}
	if p := g.ReschedulePolicy; p != nil {
		p.Unlimited, p.Attempts, p.Delay, p.DelayFunction, p.MaxDelay = true, 0, 5*time.Second, model.DelayConstant, 0
		p.Interval = 0
	}
	g.RestartPolicy = &model.RestartPolicy{Attempts: 2, Interval: time.Minute, Delay: time.Second, Mode: model.RestartModeFail}
	for i := range 1 + w.rng.IntN(2) {
		t := model.NewTask(g)
		t.Name, t.Driver = "t"+strconv.Itoa(i), "raw_exec"
		t.Config = map[string]any{"command": "/bin/sleep"}
		t.KillTimeout = w.between(0, 3*time.Second)
		t.Resources.CPU, t.Resources.MemoryMB = 100+100*w.rng.IntN(10), 64+64*w.rng.IntN(12)
		t.Env = map[string]string{"V": strconv.Itoa(w.rng.IntN(3))}
		if j.Type == model.JobTypeBatch || j.Type == model.JobTypeSysbatch {
			t.Env["RUN"] = w.between(100*time.Millisecond, 20*time.Second).Round(time.Millisecond).String()
		}
		if i > 0 && w.chance(0.4) {
			t.Lifecycle = &model.TaskLifecycle{Hook: []string{model.HookPrestart, model.HookPoststart, model.HookPoststop}[w.rng.IntN(3)]}
			t.Lifecycle.Sidecar = t.Lifecycle.Hook != model.HookPoststop && w.chance(0.5)
			if !t.Lifecycle.Sidecar {
				t.Env["RUN"] = "500ms"
			}
		}
		t.RestartPolicy = nil
		g.Tasks = append(g.Tasks, t)
	}
	return g
}

// truth is the newest committed state.
func (w *world) truth() *state.Snapshot { return w.checks.store.Snapshot() }
