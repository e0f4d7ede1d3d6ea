package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
)

var created = time.Unix(1700000000, 0)

// scene is a view under construction.
type scene struct{ view }

// service is a job of one group of two, registered at index 10, and its
// evaluation, complete.
func service() *scene {
	job := &model.Job{
		ID: "j", Type: model.JobTypeService, Version: 1, JobModifyIndex: 10,
		TaskGroups: []*model.TaskGroup{{Name: "g", Count: 2, Tasks: []*model.Task{{Name: "t"}}}},
	}
	eval := &model.Evaluation{ID: "e", Status: model.EvalComplete, JobModifyIndex: 10, CreateIndex: 10, ModifyIndex: 11, CreateTime: created.UnixNano()}
	return &scene{view{job: job, eval: eval, evals: []*model.Evaluation{eval}}}
}

func (s *scene) typed(t string) *scene { s.job.Type = t; return s }

// alloc adds an allocation; change may be nil.
func (s *scene) alloc(index int, status string, change func(*model.AllocListStub)) *scene {
	n := uint64(len(s.allocs))
	task := &model.TaskState{State: model.TaskRunning}
	switch status {
	case model.ClientPending:
		task.State = model.TaskPending
	case model.ClientComplete, model.ClientFailed:
		task.State, task.Failed = model.TaskDead, status == model.ClientFailed
	}
	a := &model.AllocListStub{
		ID: fmt.Sprintf("%08d", n), Name: model.AllocName("j", "g", index), TaskGroup: "g", NodeID: "n1", NodeName: "one", JobVersion: 1,
		DesiredStatus: model.DesiredRun, ClientStatus: status, CreateIndex: 11 + n, TaskStates: map[string]*model.TaskState{"t": task},
	}
	if change != nil {
		change(a)
	}
	s.allocs = append(s.allocs, a)
	return s
}

func (s *scene) with(e *model.Evaluation) *scene {
	e.CreateTime = created.UnixNano()
	s.evals = append(s.evals, e)
	return s
}

// after is an evaluation that waits for a time.
func after(id string, d time.Duration) *model.Evaluation {
	return &model.Evaluation{ID: id, Status: model.EvalPending, WaitUntil: created.Add(d), CreateIndex: 20, ModifyIndex: 20}
}

func lacking() map[string]*model.AllocationMetric {
	return map[string]*model.AllocationMetric{"g": {DimensionExhausted: map[string]int{"memory": 1}}}
}

// deploying gives the version a deployment.
func (s *scene) deploying(status string, change func(*model.DeploymentState)) *scene {
	g := &model.DeploymentState{DesiredTotal: 2}
	if change != nil {
		change(g)
	}
	s.deployment = &model.Deployment{ID: "d", Status: status, JobVersion: 1, JobSpecModifyIndex: 10, TaskGroups: map[string]*model.DeploymentState{"g": g}}
	return s
}

// As long as a deployment goes on, the goal is not reached; when it fails, nothing is.
func TestOutcomesOfDeployments(t *testing.T) {
	yes := true
	run, fail := model.ClientRunning, model.ClientFailed
	old := func(a *model.AllocListStub) { a.JobVersion, a.CreateIndex = 0, 5 }
	canary := func(a *model.AllocListStub) {
		a.DeploymentStatus = &model.AllocDeploymentStatus{Canary: true, Healthy: &yes}
	}
	waits := func(s *model.DeploymentState) { s.DesiredCanaries = 1 }
	for _, c := range []struct {
		name string
		view *scene
		want outcome
	}{
		{"all run and are not healthy yet", service().alloc(0, run, nil).alloc(1, run, nil).deploying(model.DeploymentRunning, nil), waiting},
		{"all are healthy", service().alloc(0, run, nil).alloc(1, run, nil).deploying(model.DeploymentSuccessful, nil), reached},
		{"one of an older version is left", service().alloc(0, run, nil).alloc(1, run, old).deploying(model.DeploymentRunning, nil), waiting},
		{"it failed", service().alloc(0, run, nil).alloc(1, run, old).deploying(model.DeploymentFailed, nil), undone},
		{"an instance failed", service().alloc(0, run, nil).alloc(1, fail, nil).deploying(model.DeploymentRunning, nil), failing},
		{"an instance failed, and the job will go back", service().alloc(0, run, nil).alloc(1, fail, nil).
			deploying(model.DeploymentRunning, func(s *model.DeploymentState) { s.AutoRevert = true }), waiting},
		{"the canary is healthy", service().alloc(0, run, old).alloc(1, run, old).alloc(0, run, canary).deploying(model.DeploymentRunning, waits), ripe},
		{"the canary is healthy, and promotes itself", service().alloc(0, run, old).alloc(1, run, old).alloc(0, run, canary).
			deploying(model.DeploymentRunning, func(s *model.DeploymentState) { s.DesiredCanaries, s.AutoPromote = 1, true }), waiting},
		{"the canary is missing", service().alloc(0, run, old).alloc(1, run, old).deploying(model.DeploymentRunning, waits), waiting},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := measure(&c.view.view).outcome; got != c.want {
				t.Errorf("outcome %d, want %d", got, c.want)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	old := func(a *model.AllocListStub) { a.JobVersion, a.CreateIndex = 0, 5 }
	leaving := func(a *model.AllocListStub) { a.DesiredStatus = model.DesiredStop }
	follow := func(id string) func(*model.AllocListStub) {
		return func(a *model.AllocListStub) { a.FollowupEvalID = id }
	}
	restarts := func(n uint64) func(*model.AllocListStub) {
		return func(a *model.AllocListStub) {
			a.TaskStates["t"] = &model.TaskState{State: model.TaskPending, Restarts: n, StartedAt: created, Events: []*model.TaskEvent{
				{Type: model.EventRestarting, DisplayMessage: "Task restarting in 15s"}}}
		}
	}
	run, pend, fail, end := model.ClientRunning, model.ClientPending, model.ClientFailed, model.ClientComplete
	for _, c := range []struct {
		name string
		view *scene
		want outcome
	}{
		{"nothing is decided", func() *scene { s := service(); s.eval.Status = model.EvalPending; return s }(), waiting},
		{"the evaluation failed", func() *scene { s := service(); s.eval.Status = model.EvalFailed; return s }(), refused},
		{"all start", service().alloc(0, pend, nil).alloc(1, pend, nil), waiting},
		{"one starts", service().alloc(0, run, nil).alloc(1, pend, nil), waiting},
		{"all run", service().alloc(0, run, nil).alloc(1, run, nil), reached},
		{"one of an older version is left", service().alloc(0, run, nil).alloc(1, run, old).with(after("r", 3*time.Second)), waiting},
		{"an older one is being stopped", service().alloc(0, run, nil).alloc(1, run, nil).alloc(1, run, func(a *model.AllocListStub) { old(a); leaving(a) }), waiting},
		{"an older one has ended", service().alloc(0, run, nil).alloc(1, run, nil).alloc(1, end, func(a *model.AllocListStub) { old(a); leaving(a) }), reached},
		{"a task restarts", service().alloc(0, run, nil).alloc(1, run, restarts(1)), waiting},
		{"a task restarts all the time", service().alloc(0, run, nil).alloc(1, run, restarts(maxTries)), failing},
		{"a task has yet to start", service().alloc(0, run, nil).alloc(1, run, restarts(0)), waiting},
		{"one failed for good", service().alloc(0, run, nil).alloc(1, fail, nil), failing},
		{"one failed, another starts", service().alloc(0, pend, nil).alloc(1, fail, nil), waiting},
		{"one failed and is tried again soon", service().alloc(0, run, nil).alloc(1, fail, follow("f")).with(after("f", 5*time.Second)), waiting},
		{"one failed and is tried again late", service().alloc(0, run, nil).alloc(1, fail, follow("f")).with(after("f", 30*time.Second)), failing},
		{"one failed and was replaced", service().alloc(0, run, nil).alloc(1, fail, leaving).alloc(1, run, nil), reached},
		{"one fails again and again", service().alloc(0, run, nil).alloc(1, fail, leaving).alloc(1, fail, leaving).
			alloc(1, fail, follow("f")).with(after("f", 5*time.Second)), failing},
		{"a service's task ended by itself", service().alloc(0, run, nil).alloc(1, end, nil), failing},
		{"the scheduler has yet to look at the failed one", service().alloc(0, run, nil).alloc(1, fail, nil).
			with(&model.Evaluation{ID: "x", Status: model.EvalPending}), waiting},
		{"a node is away", service().alloc(0, run, nil).alloc(1, model.ClientUnknown, nil), waiting},
		{"not all could be placed", func() *scene { s := service().alloc(0, run, nil); s.eval.FailedTGAllocs = lacking(); return s }(), unplaced},
		{"not all could be placed, one starts", func() *scene { s := service().alloc(0, pend, nil); s.eval.FailedTGAllocs = lacking(); return s }(), waiting},
		{"the rest was placed later", func() *scene {
			s := service().alloc(0, run, nil).alloc(1, run, nil)
			s.eval.FailedTGAllocs = lacking()
			return s.with(&model.Evaluation{ID: "b", Status: model.EvalComplete, ModifyIndex: 30})
		}(), reached},
		{"a roll has no room", func() *scene {
			s := service().alloc(0, run, nil).alloc(1, run, old)
			s.with(&model.Evaluation{ID: "r", Status: model.EvalComplete, ModifyIndex: 30, FailedTGAllocs: lacking()})
			return s.with(&model.Evaluation{ID: "b", Status: model.EvalBlocked, ModifyIndex: 30, FailedTGAllocs: lacking()})
		}(), unplaced},
		{"count 0", func() *scene { s := service(); s.job.TaskGroups[0].Count = 0; return s }(), reached},
		{"nothing is under way", service().alloc(0, run, nil), stalled},
		{"stopping", func() *scene { s := service().alloc(0, run, leaving); s.job.Stop = true; return s }(), waiting},
		{"stopped", func() *scene { s := service().alloc(0, end, leaving); s.job.Stop = true; return s }(), gone},
		{"stopped, its node is away", func() *scene {
			s := service().alloc(0, model.ClientUnknown, leaving)
			s.job.Stop = true
			return s
		}(), gone},
		{"purged, one is still being stopped", func() *scene { s := service().alloc(0, run, leaving); s.job = nil; return s }(), waiting},
		{"purged", func() *scene { s := service(); s.job = nil; return s }(), gone},
		{"somebody registered another", func() *scene { s := service().alloc(0, pend, nil); s.job.JobModifyIndex = 12; return s }(), superseded},

		{"a batch runs", service().typed(model.JobTypeBatch).alloc(0, run, nil).alloc(1, end, nil), waiting},
		{"a batch has completed", service().typed(model.JobTypeBatch).alloc(0, end, nil).alloc(1, end, nil), reached},
		{"a batch failed, another instance runs", service().typed(model.JobTypeBatch).alloc(0, run, nil).alloc(1, fail, nil), failing},
		{"a batch has completed in an earlier version", service().typed(model.JobTypeBatch).alloc(0, end, old).alloc(1, end, nil), reached},
		{"a batch has no room for all", func() *scene {
			s := service().typed(model.JobTypeBatch).alloc(0, run, nil)
			s.eval.FailedTGAllocs = lacking()
			return s
		}(), unplaced},

		{"a system job runs on all nodes", service().typed(model.JobTypeSystem).alloc(0, run, nil).
			alloc(0, run, func(a *model.AllocListStub) { a.NodeID = "n2" }), reached},
		{"a system job starts on one", service().typed(model.JobTypeSystem).alloc(0, run, nil).
			alloc(0, pend, func(a *model.AllocListStub) { a.NodeID = "n2" }), waiting},
		{"a system job without nodes", service().typed(model.JobTypeSystem), reached},
		{"a closed node keeps the older version", service().typed(model.JobTypeSystem).alloc(0, run, nil).
			alloc(0, run, func(a *model.AllocListStub) { old(a); a.NodeID = "n2" }), reached},
		{"sysbatch is done", service().typed(model.JobTypeSysbatch).alloc(0, end, nil), reached},
	} {
		p := measure(&c.view.view)
		if p.outcome != c.want {
			t.Errorf("%s: outcome %d, want %d (%s, desired %d)", c.name, p.outcome, c.want, p.summary(), p.desired)
		}
	}
}

// Restarts that a task had before it was followed are not held against it.
func TestEarlierRestartsDoNotCount(t *testing.T) {
	s := service().alloc(0, model.ClientRunning, nil).alloc(1, model.ClientRunning, func(a *model.AllocListStub) {
		a.CreateIndex = 5
		a.TaskStates["t"] = &model.TaskState{State: model.TaskPending, Restarts: 7, StartedAt: created}
	})
	s.restarts = restartCounts(s.allocs, s.eval.CreateIndex)
	if p := measure(&s.view); p.outcome != waiting || !strings.HasPrefix(p.instances[1].state, "restarting") {
		t.Errorf("outcome %d, %q", p.outcome, p.instances[1].state)
	}
	s.restarts["00000001/t"] = 7 - maxTries
	if p := measure(&s.view); p.outcome != failing {
		t.Errorf("outcome %d", p.outcome)
	}
}

// However a view looks, it is either gone on with or concluded with words, and a
// goal is never called reached while something fails or is missing.
func TestEveryViewHasAMeaning(t *testing.T) {
	statuses := []string{model.ClientPending, model.ClientRunning, model.ClientComplete, model.ClientFailed, model.ClientLost, model.ClientUnknown}
	types := []string{model.JobTypeService, model.JobTypeBatch, model.JobTypeSystem, model.JobTypeSysbatch}
	rapid.Check(t, func(t *rapid.T) {
		s := service().typed(rapid.SampledFrom(types).Draw(t, "type"))
		s.job.TaskGroups[0].Count = rapid.IntRange(0, 4).Draw(t, "count")
		for range rapid.IntRange(0, 6).Draw(t, "allocs") {
			s.alloc(rapid.IntRange(0, 4).Draw(t, "index"), rapid.SampledFrom(statuses).Draw(t, "status"), func(a *model.AllocListStub) {
				a.JobVersion = uint64(rapid.IntRange(0, 1).Draw(t, "version"))
				a.DesiredStatus = rapid.SampledFrom([]string{model.DesiredRun, model.DesiredStop}).Draw(t, "desired")
				a.FollowupEvalID = rapid.SampledFrom([]string{"", "f"}).Draw(t, "followup")
			})
		}
		if rapid.Bool().Draw(t, "later") {
			s.with(after("f", time.Duration(rapid.IntRange(0, 20).Draw(t, "delay"))*time.Second))
		}
		if rapid.Bool().Draw(t, "lacking") {
			s.eval.FailedTGAllocs = lacking()
		}
		s.job.Stop = rapid.Bool().Draw(t, "stop")
		p := measure(&s.view)
		if p.summary() == "" {
			t.Fatal("no summary")
		}
		if p.outcome == reached {
			if n := p.count; n[failed]+n[late]+n[starting]+n[stopping] > 0 || len(p.missing) > 0 {
				t.Fatalf("reached with %s, missing %v", p.summary(), p.missing)
			}
			if n := p.count; n[running]+n[done]+n[old] < p.desired {
				t.Fatalf("reached with %s of %d", p.summary(), p.desired)
			}
			if success(s.job, p) == "" {
				t.Fatal("no words")
			}
		}
	})
}

func TestExplanations(t *testing.T) {
	got := strings.Join(Explain(&model.AllocationMetric{
		NodesEvaluated: 3, NodesInPool: 3, NodesAvailable: map[string]int{"dc1": 3, "dc2": 0},
		ConstraintFiltered: map[string]int{"${attr.kernel.name} = windows": 2}, DimensionExhausted: map[string]int{"memory": 1, "cpu": 1},
		QuotaExhausted: []string{"q"}, Remedies: []string{"lower memory from 2 MB to 1 MB"},
	}), "\n")
	want := `* No node is available in datacenter "dc2".
* Constraint "${attr.kernel.name} = windows": excluded 2 nodes.
* Resource "cpu": exhausted on 1 node.
* Resource "memory": exhausted on 1 node.
* Quota "q" is reached.
What would help:
- lower memory from 2 MB to 1 MB`
	if got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := Explain(&model.AllocationMetric{NodePool: "gpu"}); len(got) != 1 || got[0] != `* No node is in pool "gpu".` {
		t.Errorf("got %q", got)
	}
	if got := Explain(&model.AllocationMetric{NodesInPool: 2}); len(got) != 1 || got[0] != "* No node was eligible." {
		t.Errorf("got %q", got)
	}
}
