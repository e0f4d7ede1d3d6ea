package whatif_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/admit"
	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/forecast"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/agent/server/whatif"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched"
)

// large is a cluster of so many nodes in racks of a hundred, each of a hundred jobs
// with a hundred instances for ten of them.
type large struct {
	*memlog.Log
	call   rpc.Caller
	source *forecast.Source
}

func newLarge(b *testing.B, nodes, jobs, count int) *large {
	l := &large{Log: memlog.New()}
	l.Must(&fsm.FeatureLevel{Level: feature.Newest})
	l.source = forecast.NewSource(l.Store)
	b.Cleanup(l.source.Close)
	srv := rpc.NewServer(rpc.Config{Logger: quiet})
	admit.New(admit.Config{Store: l.Store, Proposer: l.Log, Region: model.DefaultRegion, Now: l.Now}).Register(srv)
	whatif.New(whatif.Config{Source: l.source, Proposer: l.Log, Now: l.Now, Admit: admitIn, Region: model.DefaultRegion}).Register(srv)
	forecast.New(forecast.Config{Source: l.source, Proposer: l.Log, Now: l.Now, Register: func(ctx context.Context, w *forecast.World, r *msg.JobRegisterRequest) (*msg.JobRegisterResponse, error) {
		return msg.JobRegister.Call(ctx, admitIn(w), r)
	}}).Register(srv)
	l.call = srv.Caller()
	for i := range nodes {
		l.Must(&fsm.RegisterNode{Node: machine(i)})
	}
	view := fleet.New(l.Store)
	defer view.Close()
	for i := range jobs {
		l.place(b, view, service(fmt.Sprintf("job-%d", i), count, 250))
	}
	return l
}

func machine(i int) *model.Node {
	return &model.Node{
		ID: uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint(i))).String(), SecretID: uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint("s", i))).String(),
		Name: fmt.Sprint("n", i), Datacenter: fmt.Sprint("dc", i%3), NodePool: model.DefaultNodePool, Status: model.NodeStatusReady,
		SchedulingEligibility: model.NodeEligible, Attributes: map[string]string{"driver.raw_exec": "1"}, Meta: map[string]string{"rack": fmt.Sprint("r", i/100)},
		Drivers:       map[string]*model.DriverInfo{"raw_exec": {Detected: true, Healthy: true}},
		ComputedClass: fmt.Sprint("v1:", i%3, "/", i/100),
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 4000}, Memory: model.NodeMemoryResources{MemoryMB: 3000}, Disk: model.NodeDiskResources{DiskMB: 100_000},
		},
	}
}

func service(id string, count, memory int) *model.Job {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name, j.Datacenters = id, id, []string{"*"}
	g := model.NewTaskGroup(j)
	g.Name, g.Count = "g", count
	g.Spreads = nil
	task := model.NewTask(g)
	task.Name, task.Driver, task.Config = "t", "raw_exec", map[string]any{"command": "/bin/true"}
	task.Resources.CPU, task.Resources.MemoryMB = 100, memory
	g.Tasks = append(g.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, g)
	return j
}

// place runs a job, with all of its instances running.
func (l *large) place(b *testing.B, view *fleet.View, j *model.Job) {
	out, err := msg.JobRegister.Call(context.Background(), l.call, &msg.JobRegisterRequest{Job: j})
	if err != nil {
		b.Fatal(err)
	}
	basis, err := view.At(context.Background(), 0)
	if err != nil {
		b.Fatal(err)
	}
	eval := basis.Eval(out.EvalID)
	plan := sched.Process(basis, eval, basis.Env(eval, l.Now())).Plan
	l.Must(&fsm.ApplyPlan{Plan: plan})
	run := &fsm.UpdateAllocs{}
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			run.Updates = append(run.Updates, &model.AllocUpdate{ID: p.ID, ClientStatus: model.ClientRunning, TaskStates: map[string]*model.TaskState{
				"t": {State: model.TaskRunning, StartedAt: l.Now().Add(-time.Hour)},
			}})
		}
	}
	l.Must(run)
}

// cpu is the processor time of this process: what an answer takes on a machine that does
// other things, too.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // 0 says nothing
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWhatIf asks a cluster of 10,000 nodes with 100,000 allocations, 83 % full.
func BenchmarkWhatIf(b *testing.B) {
	l := newLarge(b, 10_000, 1000, 100)
	rule := func(op, rack string) *insight.Selection {
		return &insight.Selection{Rules: []*model.Constraint{{LTarget: "${meta.rack}", Operand: op, RTarget: rack}}}
	}
	for _, c := range []struct {
		name string
		q    *insight.Question
	}{
		{"lose=1", &insight.Question{Lose: []*insight.Selection{{Node: "n17"}}}},
		{"lose=rack", &insight.Question{Lose: []*insight.Selection{rule("=", "r3")}}},
		{"lose=1000", &insight.Question{Lose: []*insight.Selection{rule("regexp", "^r1.$")}}},
		{"lose=datacenter", &insight.Question{Lose: []*insight.Selection{{Datacenter: "dc1"}}}},
		{"drain=rack", &insight.Question{Drain: []*insight.Draining{{Selection: *rule("=", "r3"), Deadline: time.Hour}}}},
		{"scale=+1000", &insight.Question{Scale: []*insight.Scaling{{JobID: "job-7", Count: 1000, Relative: true}}}},
		{"scale=+50000", &insight.Question{Scale: []*insight.Scaling{{JobID: "job-7", Count: 50_000, Relative: true}}}},
		{"run=100", &insight.Question{Jobs: []*model.Job{service("new", 100, 300)}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			used := cpu()
			defer func() { b.ReportMetric((cpu()-used).Seconds()/float64(b.N), "cpu-s/op") }()
			for b.Loop() {
				out, err := msg.WhatIf.Call(context.Background(), l.call, &msg.WhatIfRequest{Question: c.q})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(out.Answer.Fates), "fates")
				b.ReportMetric(out.Answer.Lasts.Seconds(), "virtual-s")
			}
		})
	}
	b.Run("plan=placed", func(b *testing.B) { l.plan(b) })
	b.Run("explain=placed", func(b *testing.B) { l.explain(b, "job-7") })
	view := fleet.New(l.Store)
	l.place(b, view, service("huge", 5, 2900))
	l.place(b, view, service("many", 20_000, 250))
	view.Close()
	b.Run("explain=unplaceable", func(b *testing.B) { l.explain(b, "huge") })
	b.Run("explain=missing thousands", func(b *testing.B) { l.explain(b, "many") })
	b.Run("fleet read anew", func(b *testing.B) { // what a plan took in addition before
		used := cpu()
		defer func() { b.ReportMetric((cpu()-used).Seconds()/float64(b.N), "cpu-s/op") }()
		for b.Loop() {
			fleet.New(l.Store).Close()
		}
	})
	b.Run("plan=unplaceable", func(b *testing.B) { l.plan(b) })
}

func (l *large) plan(b *testing.B) {
	used := cpu()
	defer func() { b.ReportMetric((cpu()-used).Seconds()/float64(b.N), "cpu-s/op") }()
	for b.Loop() {
		if _, err := msg.JobPlan.Call(context.Background(), l.call, &msg.JobPlanRequest{Job: service("new", 10, 250)}); err != nil {
			b.Fatal(err)
		}
	}
}

func (l *large) explain(b *testing.B, id string) {
	used := cpu()
	defer func() { b.ReportMetric((cpu()-used).Seconds()/float64(b.N), "cpu-s/op") }()
	for b.Loop() {
		if _, err := msg.Explain.Call(context.Background(), l.call, &msg.ExplainRequest{Kind: msg.ExplainJob, ID: id}); err != nil {
			b.Fatal(err)
		}
	}
}
