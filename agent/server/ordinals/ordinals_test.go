package ordinals

import (
	"slices"
	"testing"

	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

type scene struct {
	*memlog.Log
	t   *testing.T
	c   *Ordinals
	sub *state.Subscription
}

func newScene(t *testing.T) *scene {
	s := &scene{Log: memlog.New(), t: t, c: New()}
	s.Must(&fsm.FeatureLevel{Level: feature.Newest})
	for _, id := range []string{"n1", "n2"} {
		s.Must(&fsm.RegisterNode{Node: &model.Node{ID: id, NodePool: model.DefaultNodePool, Status: model.NodeStatusReady, SchedulingEligibility: model.NodeEligible}})
	}
	for _, id := range []string{"db", "web"} {
		job := model.NewJob(model.JobTypeService)
		job.ID, job.Name = id, id
		g := model.NewTaskGroup(job)
		g.Name, g.Count = "g", 2
		if id == "db" {
			g.Stateful = &model.StatefulConfig{Ordered: true}
		}
		task := model.NewTask(g)
		task.Name, task.Driver = "t", "exec"
		g.Tasks, job.TaskGroups = append(g.Tasks, task), append(job.TaskGroups, g)
		s.Must(&fsm.RegisterJob{Job: job, Eval: &model.Evaluation{ID: "e-" + id, Namespace: job.Namespace, JobID: id, Type: job.Type, Status: model.EvalPending}})
		done := &model.Evaluation{ID: "e-" + id, Namespace: job.Namespace, JobID: id, Type: job.Type, Status: model.EvalComplete, SnapshotIndex: s.Store.Snapshot().Index()}
		s.Must(&fsm.ApplyPlan{Plan: &model.Plan{
			EvalID: "e-" + id, Namespace: job.Namespace, JobID: id, Eval: done, Groups: []*model.PlanGroup{{
				TaskGroup: "g", Resources: &model.AllocatedResources{}, Placements: []*model.Placement{{ID: id + "0", NodeID: "n1"}},
			}},
		}})
	}
	s.lead()
	return s
}

func (s *scene) lead() {
	if s.sub != nil {
		s.sub.Close()
	}
	snap, sub := s.Store.Subscribe(s.c.Reads()...)
	s.sub = sub
	s.c.Reset(snap)
}

// step returns the jobs that got an evaluation.
func (s *scene) step() []string {
	s.t.Helper()
	changes, err := s.sub.Poll()
	if err != nil {
		s.t.Fatal(err)
	}
	s.c.Observe(changes)
	cmds, _ := s.c.Step(s.Now(), s.Store.Snapshot())
	var jobs []string
	for _, c := range cmds {
		var u fsm.UpsertEvals
		if _, err := u.UnmarshalMsg(c.Body); err != nil {
			s.t.Fatal(err)
		}
		for _, e := range u.Evals {
			jobs = append(jobs, e.JobID)
		}
		if _, err := s.Propose(s.t.Context(), c); err != nil {
			s.t.Fatal(err)
		}
	}
	return jobs
}

// decide has the scheduler look at what is pending.
func (s *scene) decide() {
	snap := s.Store.Snapshot()
	for e := range snap.EvalsByStatus(model.EvalPending) {
		done := *e
		done.Status, done.SnapshotIndex = model.EvalComplete, snap.Index()
		s.Must(&fsm.UpsertEvals{Evals: []*model.Evaluation{&done}})
	}
}

func (s *scene) report(id, status string) {
	s.Must(&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: id, ClientStatus: status}}})
}

func TestOrdinals(t *testing.T) {
	s := newScene(t)
	expect := func(what string, want ...string) {
		t.Helper()
		if got := s.step(); !slices.Equal(got, want) {
			t.Errorf("%s: evaluations for %v, want %v", what, got, want)
		}
	}
	expect("its decision was made before what it placed", "db")
	expect("one is pending")
	s.decide()
	expect("nothing happened")
	s.report("db0", model.ClientRunning)
	s.report("web0", model.ClientRunning)
	expect("an instance has started", "db")
	s.report("db0", model.ClientRunning)
	expect("one is pending")
	s.decide()
	expect("the decision has seen it")
	s.Must(&fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: "n1", Status: model.NodeStatusDown}}})
	expect("its node is lost", "db")
	s.decide()
	s.report("db0", model.ClientComplete)
	s.lead()
	expect("it has ended while nobody led", "db")
	s.decide()
	s.lead()
	expect("another leader, and nothing new")
	s.report("web0", model.ClientComplete)
	expect("another job's instance has ended")
}

// What is left of a purged job is looked at, too.
func TestPurged(t *testing.T) {
	s := newScene(t)
	s.step()
	s.decide()
	s.step()
	s.Must(&fsm.DeregisterJob{Namespace: model.DefaultNamespace, ID: "db", Purge: true})
	s.step()
	s.report("db0", model.ClientRunning)
	if got := s.step(); !slices.Equal(got, []string{"db"}) {
		t.Errorf("evaluations for %v", got)
	}
}

// The newest version is stateful, and what its ordinals wait for runs an older one that is
// not.
func TestBecameStateful(t *testing.T) {
	s := newScene(t)
	s.step()
	s.decide()
	s.step()
	job := *s.Store.Snapshot().Job(model.DefaultNamespace, "web")
	g := *job.TaskGroups[0]
	g.Stateful = &model.StatefulConfig{Ordered: true}
	job.TaskGroups = []*model.TaskGroup{&g}
	s.Must(&fsm.RegisterJob{Job: &job, Eval: &model.Evaluation{ID: "became", Namespace: job.Namespace, JobID: "web", Type: job.Type, Status: model.EvalPending}})
	s.step()
	s.decide()
	s.step()
	expect := func(what string) {
		t.Helper()
		if got := s.step(); !slices.Contains(got, "web") {
			t.Errorf("%s: evaluations for %v", what, got)
		}
		s.decide()
		s.step()
	}
	s.report("web0", model.ClientRunning)
	expect("an instance of the older version has started")
	s.lead()
	s.Must(&fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: "n1", Status: model.NodeStatusDown}}})
	expect("its node is lost")
	job.TaskGroups = []*model.TaskGroup{{}}
	*job.TaskGroups[0] = g
	job.TaskGroups[0].Stateful = nil
	s.Must(&fsm.RegisterJob{Job: &job, Eval: &model.Evaluation{ID: "was", Namespace: job.Namespace, JobID: "web", Type: job.Type, Status: model.EvalPending}})
	s.step()
	s.decide()
	s.Must(&fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: "n1", Status: model.NodeStatusReady}}})
	s.report("web0", model.ClientFailed)
	if got := s.step(); slices.Contains(got, "web") {
		t.Errorf("no version is stateful any more: evaluations for %v", got)
	}
}

// An instance of a version in which its group was not stateful is waited for, too: below
// the partition it stays, and is what the next one starts after.
func TestOlderVersion(t *testing.T) {
	for group, want := range map[string][]string{"g": {"web"}, "other": nil} {
		s := newScene(t)
		job := *s.Store.Snapshot().Job(model.DefaultNamespace, "web")
		g := *job.TaskGroups[0]
		g.Name, g.Stateful = group, &model.StatefulConfig{Ordered: true, Partition: 1}
		job.TaskGroups = []*model.TaskGroup{&g}
		s.Must(&fsm.RegisterJob{Job: &job})
		s.step()
		s.decide()
		s.step()
		s.report("web0", model.ClientRunning)
		if got := s.step(); !slices.Equal(got, want) {
			t.Errorf("group %s is stateful: evaluations for %v, want %v", group, got, want)
		}
	}
}
