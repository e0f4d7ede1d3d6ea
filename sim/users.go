package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/sim/operator"
	"github.com/steppe-project/steppe/sim/workload"
)

// user writes jobs, one after the other, and insists on each write until it
// knows its end.
type user struct {
	w    *world
	name string
	jobs []string // its own
	n    int
	busy bool // a write of which the end is not known
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
	u.w.After(u.w.Between(0, time.Second), u.act)
}

// act does one thing and goes on when it has ended.
func (u *user) act() {
	if u.w.calm {
		return
	}
	if u.w.truth().FeatureLevel() < feature.Newest { // what is new is refused
		u.w.After(50*time.Millisecond, u.act)
		return
	}
	next := func() { u.w.After(u.w.Between(50*time.Millisecond, 4*time.Second), u.act) }
	id := u.jobs[u.w.Rand.IntN(len(u.jobs))]
	switch roll := u.w.Rand.IntN(100); {
	case roll < 62 || len(u.marks[id]) == 0:
		u.register(id, next)
	case roll < 72:
		u.deregister(id, roll < 68, next)
	case roll < 82:
		u.stopOne(id, next)
	case roll < 86:
		u.operator().Steer(u.w.truth(), id, next)
	case roll < 94:
		u.operator().Toggle(u.w.nodes[u.w.Rand.IntN(len(u.w.nodes))].id, next)
	default:
		u.write(func(ctx context.Context, at *server, rid string) error {
			r := &msg.JobEvaluateRequest{WriteOptions: msg.WriteOptions{RequestID: rid}, JobID: id}
			_, err := msg.JobEvaluate.Call(ctx, at.rpc.Caller(), r)
			return err
		}, func(error) { next() })
	}
}

// register writes a version of a job that carries a mark of its own.
func (u *user) register(id string, next func()) {
	u.n++
	mark := fmt.Sprintf("%s-%d", u.name, u.n)
	job := workload.Job(u.w.Rand, id, map[string]string{markKey: mark})
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
			u.w.Fail("%s cannot register %s: %v", u.name, id, err)
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
		if !a.Terminal() && (pick == "" || u.w.Chance(0.3)) {
			pick = a.ID
		}
	}
	if pick == "" {
		next()
		return
	}
	u.write(func(ctx context.Context, at *server, rid string) error {
		r := &msg.AllocStopRequest{WriteOptions: msg.WriteOptions{RequestID: rid}, AllocID: pick}
		_, err := msg.AllocStop.Call(ctx, at.rpc.Caller(), r)
		return err
	}, func(error) { next() })
}

// operator acts on nodes, as this user.
func (u *user) operator() operator.Operator {
	return operator.Operator{Engine: u.w.Engine, Write: u.calls}
}

// calls is write for those who act from other packages.
func (u *user) calls(handle func(ctx context.Context, to rpc.Caller, rid string) error, done func(error)) {
	u.write(func(ctx context.Context, at *server, rid string) error { return handle(ctx, at.rpc.Caller(), rid) }, done)
}

// write carries a write to any server, again and again with the same request id,
// until somebody knows how it ended.
func (u *user) write(handle func(ctx context.Context, at *server, rid string) error, done func(error)) {
	w := u.w
	w.report.Writes++
	u.busy = true
	rid := w.ID()
	var try func()
	try = func() {
		s := w.servers[w.Rand.IntN(len(w.servers))]
		again := func() { w.After(w.Between(20*time.Millisecond, 500*time.Millisecond), try) }
		w.Call(u.name, s.name, func(reply func(error)) {
			if s.life == nil {
				return
			}
			s.life.Run(func() {
				s.ask(func(ctx context.Context, at *server) error { return handle(ctx, at, rid) }, reply)
			})
		}, func(err error) {
			if err != nil && repeatable(err) {
				again()
				return
			}
			u.busy = false
			done(err)
		})
	}
	try()
}

// truth is the newest committed state.
func (w *world) truth() *state.Snapshot { return w.checks.Snapshot() }
