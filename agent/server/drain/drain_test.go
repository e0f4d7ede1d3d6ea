package drain

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	rules "github.com/steppe-project/steppe/model/drain"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/sched"
)

// stage is a cluster in which everything but draining is done by the test: its nodes
// start what is placed on them and end what is to be stopped.
type stage struct {
	*memlog.Log
	t    testing.TB
	now  time.Time
	c    *Drainer
	sub  *state.Subscription
	view *fleet.View
}

func newStage(t testing.TB) *stage {
	s := &stage{Log: memlog.New(), t: t, c: New()}
	s.now = s.Log.Now()
	s.Log.Now = func() time.Time { return s.now }
	s.Must(&fsm.FeatureLevel{Level: feature.Newest})
	snap, sub := s.Store.Subscribe(s.c.Reads()...)
	s.sub, s.view = sub, fleet.New(s.Store)
	s.c.Reset(snap)
	t.Cleanup(func() { sub.Close(); s.view.Close() })
	return s
}

func id(i int) string { return uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String() }

func (s *stage) node(i int, memory int64) {
	s.Must(&fsm.RegisterNode{Node: &model.Node{
		ID: id(i), Name: fmt.Sprint("n", i), Datacenter: "dc1", NodePool: model.DefaultNodePool, Status: model.NodeStatusReady,
		Attributes: map[string]string{"driver.mock_driver": "1"}, Drivers: map[string]*model.DriverInfo{"mock_driver": {Detected: true, Healthy: true}},
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 100_000}, Memory: model.NodeMemoryResources{MemoryMB: memory}, Disk: model.NodeDiskResources{DiskMB: 1 << 20},
		},
	}})
}

func (s *stage) job(id, kind string, count, parallel int) {
	j := model.NewJob(kind)
	j.ID, j.Name, j.Datacenters = id, id, []string{"*"}
	g := model.NewTaskGroup(j)
	g.Name, g.Count = "g", count
	if g.Migrate != nil {
		g.Migrate.MaxParallel, g.Migrate.MinHealthyTime = parallel, 5*time.Second
	}
	task := model.NewTask(g)
	task.Name, task.Driver = "t", "mock_driver"
	task.Resources.CPU, task.Resources.MemoryMB = 10, 100
	g.Tasks = append(g.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, g)
	s.Must(&fsm.RegisterJob{Job: j, Eval: &model.Evaluation{
		ID: "eval-" + id, Namespace: j.Namespace, JobID: id, Type: kind, Priority: 50, Status: model.EvalPending, TriggeredBy: model.TriggerJobRegister,
	}})
}

// settle does what there is to do without time passing. Tasks take a second to end.
func (s *stage) settle() (wake time.Time) {
	for round := 0; ; round++ {
		if round > 100 {
			s.t.Fatal("it does not come to rest")
		}
		before := s.Store.Snapshot().Index()
		changes, err := s.sub.Poll()
		if err != nil {
			s.t.Fatal(err)
		}
		s.c.Observe(changes)
		cmds, at := s.c.Step(s.now, s.Store.Snapshot())
		for _, cmd := range cmds {
			if out, err := s.Propose(s.t.Context(), cmd); err != nil || out[0].Err != nil {
				s.t.Fatal(err, out)
			}
		}
		s.decide()
		s.nodes()
		if s.Store.Snapshot().Index() == before {
			return at
		}
	}
}

// decide has the scheduler look at what is pending, and at what is blocked.
func (s *stage) decide() {
	for _, status := range []string{model.EvalPending, model.EvalBlocked} {
		var open []*model.Evaluation
		for e := range s.Store.Snapshot().EvalsByStatus(status) {
			open = append(open, e)
		}
		for _, e := range open {
			basis, err := s.view.At(s.t.Context(), 0)
			if err != nil {
				s.t.Fatal(err)
			}
			plan := sched.Process(basis, e, basis.Env(e, s.now)).Plan
			if status == model.EvalBlocked && len(plan.Groups) == 0 {
				continue // it stays blocked
			}
			s.Must(&fsm.ApplyPlan{Plan: plan})
		}
	}
}

func (s *stage) nodes() {
	var ups []*model.AllocUpdate
	for a := range s.Store.Snapshot().Allocs(state.Range{}) {
		up := &model.AllocUpdate{ID: a.ID, TaskStates: map[string]*model.TaskState{"t": {State: model.TaskRunning, StartedAt: s.now}}}
		switch {
		case a.ClientTerminal():
			continue
		case a.ServerTerminal():
			if s.now.Before(time.Unix(0, a.ModifyTime).Add(time.Second)) {
				continue // its tasks take their time
			}
			up.ClientStatus, up.TaskStates["t"] = model.ClientComplete, &model.TaskState{State: model.TaskDead}
		case a.ClientStatus == model.ClientPending:
			up.ClientStatus = model.ClientRunning
		default:
			continue
		}
		ups = append(ups, up)
	}
	if len(ups) > 0 {
		s.Must(&fsm.UpdateAllocs{Updates: ups})
	}
}

// pass has time go by, in steps of a second.
func (s *stage) pass(d time.Duration, check func()) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(time.Second) {
		s.settle()
		if check != nil {
			check()
		}
	}
	s.settle()
}

func (s *stage) drain(i int, spec model.DrainSpec) {
	s.Must(&fsm.NodeDrain{NodeID: id(i), Spec: &spec})
}

func (s *stage) status(i int) string {
	n := s.Store.Snapshot().Node(id(i))
	if n.LastDrain == nil {
		return ""
	}
	return n.LastDrain.Status
}

// on are the jobs of what runs on a node, by how many.
func (s *stage) on(i int) map[string]int {
	out := map[string]int{}
	for a := range s.Store.Snapshot().AllocsByNode(id(i)) {
		if !a.ClientTerminal() {
			out[a.JobID]++
		}
	}
	return out
}

func (s *stage) running(job string) (n int) {
	for a := range s.Store.Snapshot().AllocsByJob(model.DefaultNamespace, job) {
		if a.ClientStatus == model.ClientRunning && a.DesiredStatus == model.DesiredRun {
			n++
		}
	}
	return n
}

// healthy counts a job's instances that have run for the five seconds that their
// migrate block asks for.
func (s *stage) healthy(job string) (n int) {
	for a := range s.Store.Snapshot().AllocsByJob(model.DefaultNamespace, job) {
		if a.ClientStatus == model.ClientRunning && a.DesiredStatus == model.DesiredRun && !a.TaskStates["t"].StartedAt.After(s.now.Add(-5*time.Second)) {
			n++
		}
	}
	return n
}

// left are the ids of a job's instances that a node has still.
func (s *stage) left(i int, job string) (ids []string) {
	for a := range s.Store.Snapshot().AllocsByNode(id(i)) {
		if !a.ClientTerminal() && a.JobID == job {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

// With room elsewhere, drains of several nodes at once complete; never is a group
// short of more than max_parallel; when one is complete nothing runs there.
func TestDrains(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(t)
		nodes := rapid.IntRange(3, 6).Draw(rt, "nodes")
		for i := range nodes {
			s.node(i, 100_000)
		}
		type want struct{ count, parallel int }
		jobs := map[string]want{}
		for i := range rapid.IntRange(1, 3).Draw(rt, "jobs") {
			w := want{rapid.IntRange(1, 8).Draw(rt, "count"), rapid.IntRange(1, 3).Draw(rt, "parallel")}
			jobs[fmt.Sprint("j", i)] = w
			s.job(fmt.Sprint("j", i), model.JobTypeService, w.count, w.parallel)
		}
		s.job("sys", model.JobTypeSystem, 1, 1)
		s.pass(10*time.Second, nil)
		ignore := rapid.Bool().Draw(rt, "ignore system")
		drained := rapid.IntRange(1, nodes-1).Draw(rt, "drained")
		for i := range drained {
			s.drain(i, model.DrainSpec{Deadline: time.Hour, IgnoreSystemJobs: ignore})
		}
		s.pass(3*time.Minute, func() {
			for name, w := range jobs {
				if n := s.healthy(name); n < w.count-w.parallel {
					rt.Fatalf("%s: %d of %d are healthy, %d may be away", name, n, w.count, w.parallel)
				}
			}
			for i := range drained {
				left := s.on(i)
				if ignore {
					delete(left, "sys")
				}
				if s.status(i) == rules.Complete && len(left) > 0 {
					rt.Fatalf("complete, and %v run on n%d", left, i)
				}
			}
		})
		for i := range drained {
			if s.status(i) != rules.Complete {
				rt.Fatalf("n%d: %s, %v are left", i, s.status(i), s.on(i))
			}
			if ignore != (s.on(i)["sys"] == 1) {
				rt.Fatalf("n%d: the system job: %v", i, s.on(i))
			}
		}
		for name, w := range jobs {
			if s.running(name) != w.count {
				rt.Fatalf("%s: %d of %d run in the end", name, s.running(name), w.count)
			}
		}
	})
}

// Without room elsewhere nothing is stopped before the deadline, and then all is.
func TestNoRoom(t *testing.T) {
	s := newStage(t)
	s.node(0, 300)
	s.job("web", model.JobTypeService, 3, 3)
	s.pass(10*time.Second, nil)
	s.drain(0, model.DrainSpec{Deadline: time.Minute})
	s.pass(50*time.Second, func() {
		if s.running("web") != 3 || s.status(0) != rules.Draining {
			t.Fatalf("%d run, the drain: %s", s.running("web"), s.status(0))
		}
	})
	s.pass(20*time.Second, nil)
	if len(s.on(0)) > 0 || s.status(0) != rules.Complete {
		t.Errorf("after the deadline: %v, %s", s.on(0), s.status(0))
	}
	s.node(1, 300)
	s.pass(5*time.Second, nil)
	if s.running("web") != 3 {
		t.Errorf("with a new node %d run", s.running("web"))
	}
}

// Room that comes up is used as it comes, a drain that is called off leaves alone
// what is still there, and batch jobs end by themselves.
func TestCallOffAndBatch(t *testing.T) {
	s := newStage(t)
	s.node(0, 500)
	s.job("web", model.JobTypeService, 2, 2)
	s.job("calc", model.JobTypeBatch, 1, 1)
	s.pass(10*time.Second, nil)
	s.drain(0, model.DrainSpec{})
	s.node(1, 100)
	s.pass(30*time.Second, nil)
	if on := s.on(0); on["web"] != 1 || on["calc"] != 1 || s.running("web") != 2 {
		t.Errorf("with room for one: %v are left, %d run", on, s.running("web"))
	}
	before := s.left(0, "web")
	s.Must(&fsm.NodeDrain{NodeID: id(0), MarkEligible: true})
	s.node(2, 500)
	s.pass(30*time.Second, nil)
	if on := s.on(0); !slices.Equal(s.left(0, "web"), before) || on["calc"] != 1 || s.status(0) != rules.Canceled || !s.Store.Snapshot().Node(id(0)).Ready() {
		t.Errorf("called off: %v are left, %s", on, s.status(0))
	}
	s.drain(0, model.DrainSpec{Deadline: -1})
	s.pass(5*time.Second, nil)
	if len(s.on(0)) > 0 || s.status(0) != rules.Complete || s.running("calc") != 1 {
		t.Errorf("by force: %v are left, %s", s.on(0), s.status(0))
	}
}

// While a node is down nobody knows what runs there.
func TestDownIsNotComplete(t *testing.T) {
	s := newStage(t)
	s.node(0, 500)
	s.node(1, 500)
	s.job("web", model.JobTypeService, 2, 2)
	s.pass(10*time.Second, nil)
	s.Must(&fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: id(0), Status: model.NodeStatusDown}}})
	s.drain(0, model.DrainSpec{Deadline: time.Second})
	s.pass(10*time.Second, nil)
	if s.status(0) != rules.Draining {
		t.Errorf("down: %s", s.status(0))
	}
	s.node(0, 500)
	s.pass(10*time.Second, nil)
	if s.status(0) != rules.Complete {
		t.Errorf("back: %s", s.status(0))
	}
}

// A drain that ended is not taken for the one that began since.
func TestLateCompletion(t *testing.T) {
	s := newStage(t)
	s.node(0, 500)
	s.drain(0, model.DrainSpec{})
	started := s.Store.Snapshot().Node(id(0)).DrainStrategy.StartedAt
	s.Must(&fsm.NodeDrain{NodeID: id(0)})
	s.now = s.now.Add(time.Second)
	s.drain(0, model.DrainSpec{})
	s.Must(&fsm.NodeDrain{NodeID: id(0), Complete: true, StartedAt: started})
	if s.status(0) != rules.Draining {
		t.Errorf("%s", s.status(0))
	}
}
