package planner

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/sched"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// stage is one node with room for so many instances, and jobs of one instance.
type stage struct {
	t    *testing.T
	log  *memlog.Log
	view *fleet.View
}

func newStage(t *testing.T, instances int) *stage {
	s := &stage{t: t, log: memlog.New()}
	s.log.Must(&fsm.RegisterNode{Node: &model.Node{
		ID: "n1", Name: "n1", Datacenter: "dc1", NodePool: model.DefaultNodePool, Status: model.NodeStatusReady,
		SchedulingEligibility: model.NodeEligible, Attributes: map[string]string{"driver.raw_exec": "1"},
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 100_000}, Memory: model.NodeMemoryResources{MemoryMB: int64(100 * instances)},
			Disk: model.NodeDiskResources{DiskMB: 1 << 20},
		},
	}})
	s.view = fleet.New(s.log.Store)
	return s
}

// decide registers a job and decides on its evaluation.
func (s *stage) decide(id string) (*model.Evaluation, *model.Plan) {
	s.t.Helper()
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name, j.Datacenters, j.NodePool = id, id, []string{"*"}, model.DefaultNodePool
	g := model.NewTaskGroup(j)
	g.Name = "g"
	task := model.NewTask(g)
	task.Name, task.Driver, task.Resources.MemoryMB = "t", "raw_exec", 100
	g.Tasks = append(g.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, g)
	s.log.Must(&fsm.RegisterJob{Job: j, Eval: &model.Evaluation{
		ID: "eval-" + id, Namespace: j.Namespace, JobID: id, Type: j.Type, Priority: 50, Status: model.EvalPending,
	}})
	eval := s.log.Store.Snapshot().Eval("eval-" + id)
	basis, err := s.view.At(s.t.Context(), eval.ModifyIndex)
	if err != nil {
		s.t.Fatal(err)
	}
	return eval, sched.Process(basis, eval, sched.Env{Now: s.log.Now(), Seed: 1}).Plan
}

// run runs a planner until done says so.
func (s *stage) run(p *Planner, done func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("the planner does not get there")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) status(eval *model.Evaluation) *model.Evaluation {
	return s.log.Store.Snapshot().Eval(eval.ID)
}

// Three decisions made side by side on a node with room for two: two are
// committed, the third evaluation is pending again, by the same proposal.
func TestOverlap(t *testing.T) {
	s := newStage(t, 2)
	p := New(Config{View: s.view, Proposer: s.log, Logger: quiet})
	// All three are decided before any is committed; so each one fits by itself.
	type decision struct {
		eval *model.Evaluation
		plan *model.Plan
	}
	var all []decision
	for i := range 3 {
		eval, plan := s.decide(fmt.Sprintf("job%d", i))
		if len(plan.Groups) != 1 || len(plan.Groups[0].Placements) != 1 {
			t.Fatalf("decision %d places nothing", i)
		}
		all = append(all, decision{eval, plan})
	}
	before := len(s.log.Entries())
	for _, d := range all {
		if err := p.Submit(t.Context(), d.eval, d.plan); err != nil {
			t.Fatal(err)
		}
	}
	s.run(p, func() bool { return s.status(all[2].eval).ModifyIndex != all[2].eval.ModifyIndex })
	for i, d := range all[:2] {
		if e := s.status(d.eval); e.Status != model.EvalComplete {
			t.Errorf("evaluation %d is %s", i, e.Status)
		}
	}
	if e := s.status(all[2].eval); e.Status != model.EvalPending || e.Attempts != 1 {
		t.Errorf("the third evaluation is %s after %d attempts; want pending after 1", e.Status, e.Attempts)
	}
	if n := len(s.log.Entries()) - before; n != 1 {
		t.Errorf("%d proposals for plans that waited together, want 1", n)
	}
}

// Somebody else has changed the evaluation since: the plan is dropped.
func TestTooLate(t *testing.T) {
	s := newStage(t, 2)
	p := New(Config{View: s.view, Proposer: s.log, Logger: quiet})
	eval, plan := s.decide("job")
	again := *eval
	again.Attempts++
	s.log.Must(&fsm.UpsertEvals{Evals: []*model.Evaluation{&again}})
	before := len(s.log.Entries())
	other, otherPlan := s.decide("other")
	for _, d := range []job{{eval, plan}, {other, otherPlan}} {
		if err := p.Submit(t.Context(), d.eval, d.plan); err != nil {
			t.Fatal(err)
		}
	}
	s.run(p, func() bool { return s.status(other).Status == model.EvalComplete })
	if e := s.status(eval); e.Status != model.EvalPending || len(s.log.Entries()) != before+2 {
		t.Errorf("a plan that came too late was committed: %s", e.Status)
	}
}

// The log fails for a while: the evaluation is given back when it can, and what
// was held for the plan is free again.
func TestLogFails(t *testing.T) {
	s := newStage(t, 1)
	eval, plan := s.decide("job")
	flaky := &failOnce{Log: s.log}
	p := New(Config{View: s.view, Proposer: flaky, Logger: quiet})
	if err := p.Submit(t.Context(), eval, plan); err != nil {
		t.Fatal(err)
	}
	s.run(p, func() bool { return s.status(eval).Attempts == 1 })
	if e := s.status(eval); e.Status != model.EvalPending {
		t.Errorf("the evaluation is %s", e.Status)
	}
	basis, err := s.view.At(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if plan := sched.Process(basis, s.status(eval), sched.Env{Now: s.log.Now()}).Plan; len(plan.Groups) != 1 {
		t.Error("the node is still held for the plan that was lost")
	}
}

// failOnce fails the first proposal.
type failOnce struct {
	*memlog.Log
	failed bool
}

func (f *failOnce) Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	if !f.failed {
		f.failed = true
		return nil, model.Errorf(model.CodeUnavailable, "disk full")
	}
	return f.Log.Propose(ctx, cmds...)
}

// Another component wakes the evaluation while its plan is on its way: the plan brings
// nothing, and the evaluation is left to whoever is handed it now.
func TestOvertaken(t *testing.T) {
	s := newStage(t, 2)
	s.log.Must(&fsm.FeatureLevel{Level: feature.Newest})
	eval, plan := s.decide("job")
	p := New(Config{View: s.view, Proposer: &overtaker{Log: s.log, eval: *eval}, Logger: quiet})
	other, otherPlan := s.decide("other")
	for _, d := range []job{{eval, plan}, {other, otherPlan}} {
		if err := p.Submit(t.Context(), d.eval, d.plan); err != nil {
			t.Fatal(err)
		}
	}
	s.run(p, func() bool { return s.status(other).Status == model.EvalComplete })
	if e := s.status(eval); e.Status != model.EvalPending || e.Attempts != 0 {
		t.Errorf("the evaluation is %s with %d attempts, %s", e.Status, e.Attempts, e.StatusDescription)
	}
	for a := range s.log.Store.Snapshot().AllocsByJob(eval.Namespace, "job") {
		t.Errorf("the plan brought %s", a.Name)
	}
}

// overtaker changes an evaluation before each proposal.
type overtaker struct {
	*memlog.Log
	eval model.Evaluation
}

func (o *overtaker) Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	again := o.eval
	o.Must(&fsm.UpsertEvals{Evals: []*model.Evaluation{&again}})
	return o.Log.Propose(ctx, cmds...)
}
