package forecast

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/admit"
	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/jobdiff"
	"github.com/steppe-project/steppe/sched"
)

// stage is a server without a network.
type stage struct {
	*memlog.Log
	call rpc.Caller
	view *fleet.View
}

func newStage(t testing.TB) *stage {
	s := &stage{Log: memlog.New()}
	srv := rpc.NewServer(rpc.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	admit.New(admit.Config{Store: s.Store, Proposer: s.Log, Region: model.DefaultRegion, Now: s.Now}).Register(srv)
	New(Config{Source: NewSource(s.Store), Proposer: s.Log, Now: s.Now, Register: func(ctx context.Context, w *World, r *msg.JobRegisterRequest) (*msg.JobRegisterResponse, error) {
		return admit.New(admit.Config{Store: w.Store, Proposer: w, Region: model.DefaultRegion, Now: w.Now}).JobRegister(ctx, r)
	}}).Register(srv)
	s.call, s.view = srv.Caller(), fleet.New(s.Store)
	t.Cleanup(s.view.Close)
	return s
}

func (s *stage) node(i int, memory int64) {
	n := &model.Node{
		ID: uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint(i))).String(), SecretID: uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint("s", i))).String(),
		Name: fmt.Sprint("n", i), Datacenter: "dc1", NodePool: model.DefaultNodePool, Status: model.NodeStatusReady,
		SchedulingEligibility: model.NodeEligible, Attributes: map[string]string{"driver.raw_exec": "1"},
		Drivers: map[string]*model.DriverInfo{"raw_exec": {Detected: true, Healthy: true}},
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 4000}, Memory: model.NodeMemoryResources{MemoryMB: memory}, Disk: model.NodeDiskResources{DiskMB: 100_000},
		},
	}
	s.Must(&fsm.RegisterNode{Node: n})
}

func web(count, memory int, version string) *model.Job {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name, j.Datacenters = "web", "web", []string{"*"}
	j.Update = nil
	g := model.NewTaskGroup(j)
	g.Name, g.Count, g.Update = "g", count, nil
	task := model.NewTask(g)
	task.Name, task.Driver, task.Config = "t", "raw_exec", map[string]any{"command": "/bin/true"}
	task.Env = map[string]string{"V": version}
	task.Resources.MemoryMB = memory
	g.Tasks = append(g.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, g)
	return j
}

func (s *stage) plan(t testing.TB, j *model.Job) *msg.JobPlanResponse {
	t.Helper()
	out, err := msg.JobPlan.Call(context.Background(), s.call, &msg.JobPlanRequest{Job: j, Diff: true})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// run registers a job with its check-index and does what the scheduler says.
func (s *stage) run(t testing.TB, j *model.Job, index uint64) *model.Plan {
	t.Helper()
	out, err := msg.JobRegister.Call(context.Background(), s.call, &msg.JobRegisterRequest{Job: j, EnforceIndex: true, JobModifyIndex: index})
	if err != nil {
		t.Fatal(err)
	}
	basis, err := s.view.At(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	eval := basis.Eval(out.EvalID)
	plan := sched.Process(basis, eval, basis.Env(eval, s.Now())).Plan
	s.Must(&fsm.ApplyPlan{Plan: plan})
	return plan
}

// effects are what a plan does, without the ids that only the real one has.
func effects(placed map[string]string, stopped, failed []string) string {
	var out []string
	for name, node := range placed {
		out = append(out, name+" on "+node)
	}
	slices.Sort(out)
	slices.Sort(stopped)
	slices.Sort(failed)
	return strings.Join(out, ",") + ";" + strings.Join(stopped, ",") + ";" + strings.Join(failed, ",")
}

func predicted(r *msg.JobPlanResponse) string {
	placed := map[string]string{}
	var stopped, failed []string
	for _, p := range r.Placements {
		placed[p.Name] = p.NodeID
	}
	for _, s := range r.Stops {
		stopped = append(stopped, s.ID+s.Description)
	}
	for g, m := range r.FailedTGAllocs {
		failed = append(failed, fmt.Sprint(g, m.CoalescedFailures))
	}
	return effects(placed, stopped, failed)
}

func done(p *model.Plan) string {
	placed := map[string]string{}
	var stopped, failed []string
	for _, g := range p.Groups {
		for _, a := range g.Placements {
			placed[model.AllocName(p.JobID, g.TaskGroup, a.Index)] = a.NodeID
		}
	}
	for _, s := range p.Stops {
		stopped = append(stopped, s.ID+s.Description)
	}
	for g, m := range p.Eval.FailedTGAllocs {
		failed = append(failed, fmt.Sprint(g, m.CoalescedFailures))
	}
	return effects(placed, stopped, failed)
}

// What is predicted is what is done with the check-index that it names, down to the
// nodes; and predicting changes nothing.
func TestPlanIsWhatRunDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(t)
		for i := range rapid.IntRange(0, 6).Draw(rt, "nodes") {
			s.node(i, 1000*rapid.Int64Range(1, 4).Draw(rt, "memory"))
		}
		deployed := rapid.Bool().Draw(rt, "deployed")
		if deployed {
			s.Must(&fsm.FeatureLevel{Level: feature.Newest})
		}
		for range rapid.IntRange(1, 4).Draw(rt, "versions") {
			job := web(rapid.IntRange(0, 8).Draw(rt, "count"), rapid.IntRange(100, 1500).Draw(rt, "size"), rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "version"))
			if g := job.TaskGroups[0]; deployed {
				g.Update = model.NewUpdateStrategy()
				g.Update.MaxParallel, g.Update.Canary = rapid.IntRange(1, 3).Draw(rt, "max_parallel"), rapid.IntRange(0, g.Count).Draw(rt, "canary")
			}
			before := s.Store.Snapshot().Hash()
			p := s.plan(t, job)
			if s.Store.Snapshot().Hash() != before {
				rt.Fatal("predicting changed the state")
			}
			if want, got := predicted(p), done(s.run(t, job, p.JobModifyIndex)); want != got {
				rt.Fatalf("predicted\n%s\ndone\n%s", want, got)
			}
		}
	})
}

func TestPlanTellsWhatChanges(t *testing.T) {
	s := newStage(t)
	s.node(1, 4000)
	first := s.plan(t, web(2, 1000, "1"))
	if first.JobModifyIndex != 0 || first.Diff.Type != jobdiff.Added || len(first.Placements) != 2 || first.Placements[0].NodeName != "n1" {
		t.Fatalf("a new job: %+v", first)
	}
	s.run(t, web(2, 1000, "1"), 0)
	if same := s.plan(t, web(2, 1000, "1")); same.Diff.Type != jobdiff.None || len(same.Placements)+len(same.Stops) != 0 || same.JobModifyIndex == 0 {
		t.Errorf("the same again: %s, %d placements", same.Diff.Type, len(same.Placements))
	}
	next := s.plan(t, web(5, 1000, "2"))
	g := next.Diff.TaskGroups[0]
	if next.Diff.Type != jobdiff.Edited || g.Updates["create/destroy update"] != 1 || g.Updates["ignore"] != 1 || g.Updates["create"] != 3 || g.Tasks[0].Annotations[0] != jobdiff.ForcesReplace {
		t.Errorf("an update: %+v", g)
	}
	if m := next.FailedTGAllocs["g"]; m == nil || m.DimensionExhausted["memory"] == 0 {
		t.Errorf("what does not fit: %+v", next.FailedTGAllocs)
	}
}

func TestPlanRefuses(t *testing.T) {
	s := newStage(t)
	bad := web(1, 100, "1")
	bad.TaskGroups[0].Tasks[0].Driver = ""
	elsewhere := web(1, 100, "1")
	elsewhere.Namespace = "nowhere"
	for name, job := range map[string]*model.Job{"none": nil, "invalid": bad, "no such namespace": elsewhere} {
		if _, err := msg.JobPlan.Call(t.Context(), s.call, &msg.JobPlanRequest{Job: job}); model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Fail(model.Errorf(model.CodeNotLeader, "this server does not lead"))
	if _, err := msg.JobPlan.Call(t.Context(), s.call, &msg.JobPlanRequest{Job: web(1, 100, "1")}); model.CodeOf(err) != model.CodeNotLeader {
		t.Errorf("a deposed leader: %v", err)
	}
}
