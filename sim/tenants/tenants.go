// Package tenants has users of a simulated cluster share it: they register jobs in
// namespaces, and change rules, quotas and node pools meanwhile.
//
// Contract: Begin while there are faults, End once when they are over; Busy until the end
// of the last write is known. Refusals are part of it; whether they were right is for
// package watch to say.
//
// Example:
//
//	u := tenants.New(engine, write, "mark")
//	u.Begin()
package tenants

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
	"github.com/steppe-project/steppe/sim/engine"
	"github.com/steppe-project/steppe/sim/workload"
)

// Write carries a write to the leader, again and again with one request id, until
// somebody knows how it ended.
type Write func(handle func(ctx context.Context, to rpc.Caller, rid string) error, done func(error))

// User is the user.
type User struct {
	*engine.Engine
	write   Write
	mark    string
	n       int
	settled int // of what there is at first
	over    bool
	open    bool
	refused int
}

// New makes a user whose versions of jobs carry marks under a meta key.
func New(e *engine.Engine, write Write, mark string) *User {
	return &User{Engine: e, write: write, mark: mark}
}

// Begin has the user act until End.
func (u *User) Begin() { u.After(u.Between(0, 2*time.Second), u.act) }

// End ends it.
func (u *User) End() { u.over = true }

// Busy tells whether a write is on its way.
func (u *User) Busy() bool { return u.open }

// Refused is how many jobs a quota had no room for.
func (u *User) Refused() int { return u.refused }

var (
	spaces = []string{"team", "lab", "lab", "shop"}
	quotas = []string{"", "small", "small", "small", "large", "large"}
	pools  = []string{"", "", "default", workload.SidePool, workload.SidePool, "all"}
	jobs   = []string{"s7", "s8", "b7", "b8", parent}
)

// parent is a job that is dispatched.
const parent = "d7"

func one[T any](u *User, of []T) T { return of[u.Rand.IntN(len(of))] }

// act does one thing and goes on when it has ended.
func (u *User) act() {
	if u.over {
		return
	}
	if u.settled < len(first) {
		u.settle()
		return
	}
	switch roll := u.Rand.IntN(100); {
	case roll < 50:
		u.register()
	case roll < 60:
		ns := one(u, spaces)
		u.do(func(ctx context.Context, to rpc.Caller, o msg.WriteOptions) error {
			o.Namespace = ns
			_, err := msg.JobDispatch.Call(ctx, to, &msg.JobDispatchRequest{WriteOptions: o, JobID: parent})
			return err
		})
	case roll < 68:
		id, ns, purge := one(u, jobs), one(u, spaces), u.Chance(0.5)
		u.do(func(ctx context.Context, to rpc.Caller, o msg.WriteOptions) error {
			o.Namespace = ns
			_, err := msg.JobDeregister.Call(ctx, to, &msg.JobDeregisterRequest{WriteOptions: o, JobID: id, Purge: purge})
			return err
		})
	case roll < 80:
		n := u.namespace()
		u.do(func(ctx context.Context, to rpc.Caller, o msg.WriteOptions) error {
			_, err := msg.NamespaceUpsert.Call(ctx, to, &msg.NamespaceUpsertRequest{WriteOptions: o, Tenant: n})
			return err
		})
	case roll < 90:
		q := u.quota()
		u.do(func(ctx context.Context, to rpc.Caller, o msg.WriteOptions) error {
			_, err := msg.QuotaUpsert.Call(ctx, to, &msg.QuotaUpsertRequest{WriteOptions: o, Quota: q})
			return err
		})
	case roll < 94:
		p := &model.NodePool{Name: workload.SidePool, SchedulerConfiguration: &model.NodePoolSchedulerConfiguration{
			SchedulerAlgorithm: one(u, []string{"", model.AlgorithmBinpack, model.AlgorithmSpread}),
		}}
		u.do(func(ctx context.Context, to rpc.Caller, o msg.WriteOptions) error {
			_, err := msg.NodePoolUpsert.Call(ctx, to, &msg.NodePoolUpsertRequest{WriteOptions: o, Pool: p})
			return err
		})
	default:
		u.remove()
	}
}

// first are the quotas, and the namespaces that have them, with which it begins.
var first = []struct{ quota, namespace string }{{quota: "small"}, {quota: "large"}, {"small", "team"}, {"small", "lab"}, {"large", "shop"}}

// settle makes the next of what there is at first, as soon as the cluster has the level.
func (u *User) settle() {
	f := first[u.settled]
	u.open = true
	u.write(func(ctx context.Context, to rpc.Caller, rid string) error {
		o := msg.WriteOptions{RequestID: rid}
		if f.namespace != "" {
			_, err := msg.NamespaceUpsert.Call(ctx, to, &msg.NamespaceUpsertRequest{WriteOptions: o, Tenant: &tenancy.Namespace{Name: f.namespace, Quota: f.quota}})
			return err
		}
		q := &tenancy.Quota{Name: f.quota, Limits: []*tenancy.Limit{{RegionLimit: &tenancy.Resources{MemoryMB: 2500, Count: 6}}}}
		_, err := msg.QuotaUpsert.Call(ctx, to, &msg.QuotaUpsertRequest{WriteOptions: o, Quota: q})
		return err
	}, func(err error) {
		if err == nil {
			u.settled++
		}
		u.next()
	})
}

// register writes a version of a job that carries a mark of its own.
func (u *User) register() {
	u.n++
	job := workload.Job(u.Rand, one(u, jobs), map[string]string{u.mark: fmt.Sprintf("tenant-%d", u.n)})
	job.Namespace, job.NodePool = one(u, spaces), one(u, pools)
	u.open = true
	u.write(func(ctx context.Context, to rpc.Caller, rid string) error {
		r := &msg.JobRegisterRequest{Job: job}
		r.RequestID = rid
		_, err := msg.JobRegister.Call(ctx, to, r)
		return err
	}, func(err error) {
		if model.CodeOf(err) == model.CodeConflict {
			u.refused++
		}
		u.next()
	})
}

func (u *User) namespace() *tenancy.Namespace {
	n := &tenancy.Namespace{Name: one(u, spaces), Quota: one(u, quotas)}
	switch u.Rand.IntN(5) {
	case 0:
		n.NodePoolConfiguration = &tenancy.NodePoolRules{Allowed: [][]string{{}, {"s*"}, {"all"}}[u.Rand.IntN(3)]}
	case 1:
		n.NodePoolConfiguration = &tenancy.NodePoolRules{Denied: []string{workload.SidePool}}
	case 2:
		n.NodePoolConfiguration = &tenancy.NodePoolRules{Default: workload.SidePool, Denied: []string{"d*"}}
	}
	if u.Chance(0.2) {
		n.SchedulerConfiguration = &tenancy.SchedulingRules{SchedulerAlgorithm: model.AlgorithmSpread, MaxPriority: 50 * u.Rand.IntN(2)}
	}
	return n
}

func (u *User) quota() *tenancy.Quota {
	return &tenancy.Quota{Name: quotas[1+u.Rand.IntN(len(quotas)-1)], Limits: []*tenancy.Limit{{RegionLimit: &tenancy.Resources{
		MemoryMB: 500 * u.Rand.IntN(10), Count: u.Rand.IntN(10),
	}}}}
}

// remove deletes a namespace, a quota or the pool, if that is possible.
func (u *User) remove() {
	method, name := msg.NamespaceDelete, one(u, spaces)
	switch u.Rand.IntN(3) {
	case 0:
		method, name = msg.QuotaDelete, "large"
	case 1:
		method, name = msg.NodePoolDelete, workload.SidePool
	}
	u.do(func(ctx context.Context, to rpc.Caller, o msg.WriteOptions) error {
		_, err := method.Call(ctx, to, &msg.NameRequest{WriteOptions: o, Name: name})
		return err
	})
}

// do writes something whose refusal is as good.
func (u *User) do(call func(ctx context.Context, to rpc.Caller, o msg.WriteOptions) error) {
	u.open = true
	u.write(func(ctx context.Context, to rpc.Caller, rid string) error {
		return call(ctx, to, msg.WriteOptions{RequestID: rid})
	}, func(error) { u.next() })
}

func (u *User) next() {
	u.open = false
	u.After(u.Between(100*time.Millisecond, 2*time.Second), u.act)
}
