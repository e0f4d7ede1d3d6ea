package dependents

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// scene is a cluster of one node, of which the test plays all but the component.
type scene struct {
	*memlog.Log
	t    *testing.T
	now  time.Time
	c    *Watcher
	sub  *state.Subscription
	view *fleet.View
	n    int
}

const node = "11111111-1111-1111-1111-111111111111"

func newScene(t *testing.T) *scene {
	s := &scene{Log: memlog.New(), t: t}
	s.now = s.Log.Now()
	s.Log.Now = func() time.Time { return s.now }
	s.Must(&fsm.FeatureLevel{Level: feature.Newest})
	s.Must(&fsm.RegisterNode{Node: &model.Node{
		ID: node, Name: "n1", Datacenter: "dc1", NodePool: model.DefaultNodePool, Status: model.NodeStatusReady, SchedulingEligibility: model.NodeEligible,
		Attributes: map[string]string{"driver.mock_driver": "1"}, Drivers: map[string]*model.DriverInfo{"mock_driver": {Detected: true, Healthy: true}},
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 100_000}, Memory: model.NodeMemoryResources{MemoryMB: 100_000}, Disk: model.NodeDiskResources{DiskMB: 1 << 20},
		},
	}})
	s.view = fleet.New(s.Store)
	s.lead()
	t.Cleanup(func() { s.sub.Close(); s.view.Close() })
	return s
}

// lead has another server lead.
func (s *scene) lead() {
	if s.sub != nil {
		s.sub.Close()
	}
	s.c = New()
	snap, sub := s.Store.Subscribe(s.c.Reads()...)
	s.sub = sub
	s.c.Reset(snap)
}

// job registers a job of groups; each depends on the one named after it.
func (s *scene) job(id string, on *depends.Dependency, groups ...string) {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name, j.Datacenters = id, id, []string{"*"}
	j.Update.MaxParallel = 0 // no deployments
	j.Update.MinHealthyTime = 10 * time.Second
	for i, name := range groups {
		g := model.NewTaskGroup(j)
		g.Name = name
		task := model.NewTask(g)
		task.Name, task.Driver = "t", "mock_driver"
		g.Tasks = []*model.Task{task}
		if i == 0 && on != nil {
			g.DependsOn = []*depends.Dependency{on}
		}
		if i > 0 {
			j.TaskGroups[i-1].DependsOn = []*depends.Dependency{{Name: name, Condition: depends.Started}}
		}
		j.TaskGroups = append(j.TaskGroups, g)
	}
	j.Canonicalize()
	s.Must(&fsm.RegisterJob{Job: j, Eval: s.eval(j, model.TriggerJobRegister)})
}

func (s *scene) eval(j *model.Job, trigger string) *model.Evaluation {
	s.n++
	return &model.Evaluation{
		ID: fmt.Sprintf("eval-%d", s.n), Namespace: j.Namespace, JobID: j.ID, Type: j.Type, Priority: j.Priority, TriggeredBy: trigger,
		Status: model.EvalPending, CreateTime: s.now.UnixNano(), ModifyTime: s.now.UnixNano(),
	}
}

// decide works on all evaluations that are due.
func (s *scene) decide() {
	s.t.Helper()
	for {
		var due *model.Evaluation
		for e := range s.Store.Snapshot().EvalsByStatus(model.EvalPending) {
			if !e.WaitUntil.After(s.now) {
				due = e
			}
		}
		if due == nil {
			return
		}
		basis, err := s.view.At(s.t.Context(), 0)
		if err != nil {
			s.t.Fatal(err)
		}
		s.Must(&fsm.ApplyPlan{Plan: sched.Process(basis, due, basis.Env(due, s.now)).Plan})
	}
}

// report has all instances of a job's group say how they are.
func (s *scene) report(job, group, status string) {
	s.t.Helper()
	var ups []*model.AllocUpdate
	for a := range s.Store.Snapshot().AllocsByJob(model.DefaultNamespace, job) {
		if a.TaskGroup != group || a.ClientTerminal() {
			continue
		}
		state := &model.TaskState{State: model.TaskRunning, StartedAt: s.now}
		if status != model.ClientRunning {
			state = &model.TaskState{State: model.TaskDead, FinishedAt: s.now}
		}
		ups = append(ups, &model.AllocUpdate{ID: a.ID, ClientStatus: status, TaskStates: map[string]*model.TaskState{"t": state}})
	}
	s.Must(&fsm.UpdateAllocs{NodeID: node, Updates: ups})
}

// step returns the jobs that are looked at again, and in how long the next look is due.
func (s *scene) step() (jobs []string, wait time.Duration) {
	s.t.Helper()
	changes, err := s.sub.Poll()
	if err != nil {
		s.t.Fatal(err)
	}
	s.c.Observe(changes)
	cmds, wake := s.c.Step(s.now, s.Store.Snapshot())
	if !wake.IsZero() {
		wait = wake.Sub(s.now)
	}
	for _, c := range cmds {
		var u fsm.UpsertEvals
		if _, err := u.UnmarshalMsg(c.Body); err != nil {
			s.t.Fatal(err)
		}
		for _, e := range u.Evals {
			jobs = append(jobs, e.JobID)
		}
	}
	if len(cmds) > 0 {
		if _, err := s.Propose(s.t.Context(), cmds...); err != nil {
			s.t.Fatal(err)
		}
	}
	return jobs, wait
}

// expect steps, decides what is due, and compares.
func (s *scene) expect(what string, want ...string) {
	s.t.Helper()
	got, _ := s.step()
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: %v are looked at, want %v", what, got, want)
	}
	s.decide()
}

// live are the groups of a job of which something is to run.
func (s *scene) live(job string, want ...string) {
	s.t.Helper()
	var got []string
	for a := range s.Store.Snapshot().AllocsByJob(model.DefaultNamespace, job) {
		if !a.Terminal() && !slices.Contains(got, a.TaskGroup) {
			got = append(got, a.TaskGroup)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.t.Errorf("of %s %v run, want %v", job, got, want)
	}
}

func TestStarts(t *testing.T) {
	for _, change := range []string{"", "leader"} {
		t.Run(change, func(t *testing.T) {
			s := newScene(t)
			next := func() {
				if change != "" {
					s.step() // and what it says is lost with it
					s.lead()
				}
			}
			s.job("web", &depends.Dependency{Name: "pg", Job: "postgres", Group: "db"}, "web")
			s.job("other", nil, "x")
			s.decide()
			s.live("web")
			s.expect("nothing is there")
			s.job("postgres", nil, "db", "volume")
			s.decide()
			s.live("postgres", "volume")
			s.expect("it is registered")
			s.report("other", "x", model.ClientRunning)
			s.expect("what nobody waits for")
			next()
			s.report("postgres", "volume", model.ClientRunning)
			s.expect("the group in the same job", "postgres")
			s.live("postgres", "db", "volume")
			s.report("postgres", "db", model.ClientRunning)
			next()
			if jobs, wait := s.step(); len(jobs) > 0 || wait != 10*time.Second {
				t.Errorf("%v are looked at, again in %s", jobs, wait)
			}
			s.now = s.now.Add(10 * time.Second)
			s.expect("min_healthy_time is over", "web")
			s.live("web", "web")
			s.expect("nothing waits any more")
			s.report("postgres", "db", model.ClientFailed)
			s.expect("what has begun does not wait")
			s.live("web", "web")
		})
	}
}

func TestPurged(t *testing.T) {
	s := newScene(t)
	s.job("web", &depends.Dependency{Name: "pg", Job: "postgres", Condition: depends.Started}, "web")
	s.decide()
	s.Must(&fsm.DeregisterJob{Namespace: model.DefaultNamespace, ID: "web", Purge: true})
	s.expect("its evaluation is let go", "web")
	s.expect("nothing is left")
	if n := len(s.c.on) + len(s.c.of) + len(s.c.waiting) + len(s.c.byJob) + len(s.c.dirty) + len(s.c.due); n > 0 {
		t.Errorf("%+v is remembered", s.c)
	}
}

func TestStopsInOrder(t *testing.T) {
	s := newScene(t)
	s.job("web", nil, "web", "api", "db")
	s.decide()
	for _, g := range []string{"db", "api", "web"} {
		s.report("web", g, model.ClientRunning)
		s.step()
		s.decide()
	}
	s.live("web", "api", "db", "web")
	job := s.Store.Snapshot().Job(model.DefaultNamespace, "web")
	s.Must(&fsm.DeregisterJob{Namespace: job.Namespace, ID: job.ID, Eval: s.eval(job, model.TriggerJobDeregister)})
	s.decide()
	s.live("web", "api", "db")
	s.expect("web is still stopping")
	s.lead()
	s.expect("nor does a new leader know more")
	s.report("web", "web", model.ClientComplete)
	s.expect("web has ended", "web")
	s.live("web", "db")
	s.expect("api is still stopping")
	// It hangs: after its time the rest is stopped all the same.
	s.now = s.now.Add(reconcile.MaxStopStage)
	s.decide()
	s.live("web")
}
