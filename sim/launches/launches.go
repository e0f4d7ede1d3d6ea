// Package launches has a user of a simulated cluster register jobs that launch others,
// dispatch them, force them and stop them, while faults happen, and looks afterwards
// whether schedules go on.
//
// Contract: Begin while there are faults, End once when they are over; Busy until End has
// seen that every slot that was due is decided on within a bound, and that from then on
// every slot is launched whose job does not prohibit it. After that the periodic jobs are
// stopped, so that the cluster can come to rest.
//
// Example:
//
//	u := launches.New(engine, launches.Config{Write: write, State: truth, Clock: clock, Launched: launched})
//	u.Begin()
package launches

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
	"github.com/steppe-project/steppe/sim/engine"
	"github.com/steppe-project/steppe/sim/workload"
)

const (
	// healWithin is how long after the last fault what is due may be undecided.
	healWithin = 2 * time.Minute
	// lateness is how late a decision may be while nothing happens: elections included.
	lateness = 15 * time.Second
	// window is for how long launches are then looked at, each of them.
	window = 40 * time.Second
	// lookEvery is how often it is looked.
	lookEvery = 2 * time.Second
)

// tokens are few, so that the same comes again.
var tokens = []string{"", "", "t1", "t2", "t3"}

// Config is what the user acts on.
type Config struct {
	// Write carries a write to the leader, again and again with one request id, until
	// somebody knows how it ended.
	Write func(handle func(ctx context.Context, to rpc.Caller, rid string) error, done func(error))
	// State is the newest committed state.
	State func() *state.Snapshot
	// Clock is the cluster's time as its leader tells it; false without one.
	Clock func() (time.Time, bool)
	// Launched tells whether a job was ever launched for a slot.
	Launched func(parent string, slot time.Time) bool
	// Mark is the meta key under which versions carry their marks.
	Mark string
}

// User is the user.
type User struct {
	*engine.Engine
	cfg  Config
	n    int
	acts bool
	over bool // the faults are
	busy bool // since then
	open bool // a write of which the end is not known
}

// New makes a user.
func New(e *engine.Engine, cfg Config) *User { return &User{Engine: e, cfg: cfg} }

// Busy tells whether the user is not done.
func (u *User) Busy() bool { return u.busy || u.open }

// Begin has the user act until End.
func (u *User) Begin() {
	u.acts = true
	u.After(u.Between(0, 3*time.Second), u.act)
}

var jobs = []string{"p1", "p2", "d1"}

// act does one thing and goes on when it has ended.
func (u *User) act() {
	if u.over {
		return
	}
	next := func() { u.After(u.Between(500*time.Millisecond, 6*time.Second), u.act) }
	id := jobs[u.Rand.IntN(len(jobs))]
	row := u.cfg.State().Job(model.DefaultNamespace, id)
	switch roll := u.Rand.IntN(100); {
	case row == nil || roll < 20:
		u.register(id, next)
	case roll < 28:
		u.deregister(id, roll < 24, next)
	case id == "d1":
		u.dispatch(id, next)
	case roll < 45:
		u.write(func(ctx context.Context, to rpc.Caller, rid string) error {
			r := &msg.JobForceRequest{JobID: id}
			r.RequestID = rid
			_, err := msg.JobForce.Call(ctx, to, r)
			return err
		}, next)
	default:
		next()
	}
}

func (u *User) register(id string, next func()) {
	u.n++
	job := workload.Job(u.Rand, id, map[string]string{u.cfg.Mark: fmt.Sprintf("launches-%d", u.n)})
	u.write(func(ctx context.Context, to rpc.Caller, rid string) error {
		r := &msg.JobRegisterRequest{Job: job}
		r.RequestID = rid
		_, err := msg.JobRegister.Call(ctx, to, r)
		return err
	}, next)
}

func (u *User) deregister(id string, purge bool, next func()) {
	u.write(func(ctx context.Context, to rpc.Caller, rid string) error {
		r := &msg.JobDeregisterRequest{JobID: id, Purge: purge}
		r.RequestID = rid
		_, err := msg.JobDeregister.Call(ctx, to, r)
		return err
	}, next)
}

// dispatch launches a child. With a token the request needs no id: sent again, it is to
// be answered with the same child.
func (u *User) dispatch(id string, next func()) {
	token := tokens[u.Rand.IntN(len(tokens))]
	u.write(func(ctx context.Context, to rpc.Caller, rid string) error {
		r := &msg.JobDispatchRequest{JobID: id, Payload: []byte(token), Meta: map[string]string{"input": token}, Token: token}
		if token == "" {
			r.RequestID = rid
		}
		_, err := msg.JobDispatch.Call(ctx, to, r)
		return err
	}, next)
}

// write writes; what the servers refuse is no fault of theirs: a job may be stopped, or
// the level of launches not be there yet.
func (u *User) write(handle func(ctx context.Context, to rpc.Caller, rid string) error, next func()) {
	u.open = true
	u.cfg.Write(handle, func(error) {
		u.open = false
		next()
	})
}

// End looks whether schedules go on when the faults are over, if the user has begun.
func (u *User) End() {
	u.over, u.busy = true, u.acts
	if u.acts {
		u.await(u.Now.Add(healWithin))
	}
}

// periodic yields the jobs whose schedules are in force.
func (u *User) periodic(yield func(*model.Job, *cron.Schedule)) {
	for _, id := range jobs {
		job := u.cfg.State().Job(model.DefaultNamespace, id)
		if job == nil || job.Periodic == nil || job.Stop || !job.Periodic.Enabled {
			continue
		}
		schedule, err := cron.Of(job.Periodic)
		if err != nil {
			u.Fail("%s: %v", id, err)
			return
		}
		yield(job, schedule)
	}
}

// undecided names a slot that was due a while ago and nothing was decided about.
func (u *User) undecided(now time.Time) (out string) {
	u.periodic(func(job *model.Job, schedule *cron.Schedule) {
		row := u.cfg.State().Launches(job.Namespace, job.ID)
		if row == nil {
			out = job.ID + " has no schedule"
		} else if slot := schedule.Last(time.Unix(row.Slot, 0), now.Add(-lateness)); !slot.IsZero() {
			out = fmt.Sprintf("%s is due since %v, and it is %v", job.ID, slot, now)
		}
	})
	return out
}

// await waits until nothing is undecided.
func (u *User) await(until time.Time) {
	now, led := u.cfg.Clock()
	why := u.undecided(now)
	switch {
	case !led:
		why = "nobody leads"
	case u.open:
		why = "a write is under way"
	}
	switch {
	case why == "":
		u.After(window, func() { u.each(now) })
	case !u.Now.Before(until):
		u.Fail("%s after the last fault, %s", healWithin, why)
	default:
		u.After(lookEvery, func() { u.await(until) })
	}
}

// each looks at every slot since then, and stops the jobs.
func (u *User) each(since time.Time) {
	if now, led := u.cfg.Clock(); led {
		u.periodic(func(job *model.Job, schedule *cron.Schedule) {
			row := u.cfg.State().Launches(job.Namespace, job.ID)
			for _, slot := range schedule.Slots(since, now.Add(-lateness), 1000) {
				skipped := job.Periodic.ProhibitOverlap && row.Slot >= slot.Unix()
				if !skipped && !u.cfg.Launched(job.ID, slot) {
					u.Fail("%s was not launched at %v, and it is %v", job.ID, slot, now)
				}
			}
		})
	}
	u.deregister("p1", false, func() { u.deregister("p2", false, func() { u.busy = false }) })
}
