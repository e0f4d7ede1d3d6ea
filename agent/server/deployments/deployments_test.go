package deployments

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// stage is a cluster in which everything but deployments is done by the test: its nodes
// start what is placed on them, and say how it does.
type stage struct {
	*memlog.Log
	t    testing.TB
	now  time.Time
	c    *Watcher
	sub  *state.Subscription
	view *fleet.View
	word string // of nodes: that their agents say something of health
	// least is the fewest instances that were healthy at any time since it was set.
	least int
	// stateful is the group's block, if any.
	stateful *model.StatefulConfig
}

const (
	healthyAfter = 5 * time.Second // min_healthy_time
	deadline     = time.Minute     // progress_deadline
)

func newStage(t testing.TB) *stage {
	return newStageOf(t, "1")
}

func newStageOf(t testing.TB, word string) *stage {
	s := &stage{Log: memlog.New(), t: t, c: New(), word: word}
	s.now = s.Log.Now()
	s.Log.Now = func() time.Time { return s.now }
	s.Must(&fsm.FeatureLevel{Level: feature.Newest})
	for i := range 3 {
		s.node(i)
	}
	s.view = fleet.New(s.Store)
	s.lead()
	t.Cleanup(func() { s.sub.Close(); s.view.Close() })
	return s
}

// lead has another server lead.
func (s *stage) lead() {
	if s.sub != nil {
		s.sub.Close()
	}
	s.c = New()
	snap, sub := s.Store.Subscribe(s.c.Reads()...)
	s.sub = sub
	s.c.Reset(snap)
}

func (s *stage) node(i int) {
	s.Must(&fsm.RegisterNode{Node: &model.Node{
		ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String(), Name: fmt.Sprint("n", i), Datacenter: "dc1", NodePool: model.DefaultNodePool, Status: model.NodeStatusReady,
		Attributes: map[string]string{"driver.mock_driver": "1", deploy.AttrHealth: s.word}, Drivers: map[string]*model.DriverInfo{"mock_driver": {Detected: true, Healthy: true}},
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 100_000}, Memory: model.NodeMemoryResources{MemoryMB: 100_000}, Disk: model.NodeDiskResources{DiskMB: 1 << 20},
		},
	}})
}

// run registers a version of job web. Its instances behave as its name says: those of
// "bad" fail at once, those of "slow" are never healthy.
func (s *stage) run(version string, count int, change func(u *model.UpdateStrategy)) {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name, j.Datacenters = "web", "web", []string{"*"}
	g := model.NewTaskGroup(j)
	g.Name, g.Count = "g", count
	g.Update.MinHealthyTime, g.Update.ProgressDeadline = healthyAfter, deadline
	if change != nil {
		change(g.Update)
	}
	if g.Stateful = s.stateful; g.Stateful != nil {
		g.Disconnect = model.NewDisconnectStrategy()
		g.Disconnect.StopOnClientAfter = model.DefaultStateful
	}
	g.ReschedulePolicy = &model.ReschedulePolicy{}
	task := model.NewTask(g)
	task.Name, task.Driver, task.Env = "t", "mock_driver", map[string]string{"V": version}
	g.Tasks, j.TaskGroups = append(g.Tasks, task), append(j.TaskGroups, g)
	s.Must(&fsm.RegisterJob{Job: j, Eval: &model.Evaluation{
		ID: uuid.NewString(), Namespace: j.Namespace, JobID: "web", Type: j.Type, Priority: 50, Status: model.EvalPending, TriggeredBy: model.TriggerJobRegister,
	}})
	s.settle()
}

func version(a *model.Allocation) string { return a.Job.TaskGroups[0].Tasks[0].Env["V"] }

// settle does what there is to do without time passing.
func (s *stage) settle() {
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
		cmds, _ := s.c.Step(s.now, s.Store.Snapshot())
		for _, cmd := range cmds {
			if out, err := s.Propose(s.t.Context(), cmd); err != nil || out[0].Err != nil {
				s.t.Fatal(err, out)
			}
		}
		s.decide()
		s.nodes()
		s.least = min(s.least, s.healthy())
		if s.Store.Snapshot().Index() == before {
			return
		}
	}
}

// decide has the scheduler look at what is pending.
func (s *stage) decide() {
	var open []*model.Evaluation
	for e := range s.Store.Snapshot().EvalsByStatus(model.EvalPending) {
		if !e.WaitUntil.After(s.now) {
			open = append(open, e)
		}
	}
	for _, e := range open {
		basis, err := s.view.At(s.t.Context(), 0)
		if err != nil {
			s.t.Fatal(err)
		}
		s.Must(&fsm.ApplyPlan{Plan: sched.Process(basis, e, basis.Env(e, s.now)).Plan})
	}
}

// nodes do what they are told, and report.
func (s *stage) nodes() {
	var ups []*model.AllocUpdate
	for a := range s.Store.Snapshot().AllocsByJob("default", "web") {
		up := &model.AllocUpdate{ID: a.ID, ClientStatus: a.ClientStatus, TaskStates: a.TaskStates}
		started, runs := reconcile.StartedAt(a, a.Job.TaskGroups[0])
		switch {
		case a.ClientTerminal():
			continue
		case a.ServerTerminal():
			up.ClientStatus = model.ClientComplete
		case a.ClientStatus == model.ClientPending:
			up.ClientStatus = model.ClientRunning
			up.TaskStates = map[string]*model.TaskState{"t": {State: model.TaskRunning, StartedAt: s.now}}
		case version(a) == "bad":
			up.ClientStatus = model.ClientFailed
		case s.word != "" && a.DeploymentID != "" && !deploy.Healthy(a) && runs && version(a) != "slow" && !s.now.Before(started.Add(healthyAfter)):
			yes := true
			up.DeploymentStatus = &model.AllocDeploymentStatus{Healthy: &yes, Timestamp: s.now, ModifyIndex: a.AllocModifyIndex}
		default:
			continue
		}
		ups = append(ups, up)
	}
	if len(ups) > 0 {
		s.Must(&fsm.UpdateAllocs{Updates: ups})
	}
}

// pass lets time pass.
func (s *stage) pass(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(time.Second)
		s.settle()
	}
}

// newest is the job's newest deployment.
func (s *stage) newest() *model.Deployment {
	for d := range s.Store.Snapshot().DeploymentsByJob("default", "web") {
		return d
	}
	return nil
}

// healthy counts the instances that do well.
func (s *stage) healthy() int {
	n := 0
	for a := range s.Store.Snapshot().AllocsByJob("default", "web") {
		if !a.Terminal() && deploy.Healthy(a) {
			n++
		}
	}
	return n
}

// what counts the instances that are to run, by version: "one=2 two=1*", with * for
// canaries.
func (s *stage) what() string {
	n := map[string]int{}
	for a := range s.Store.Snapshot().AllocsByJob("default", "web") {
		if a.Terminal() {
			continue
		}
		key := version(a)
		if deploy.Canary(a) {
			key += "*"
		}
		n[key]++
	}
	var out []string
	for _, v := range []string{"one", "two", "three", "bad", "slow"} {
		for _, key := range []string{v, v + "*"} {
			if n[key] > 0 {
				out = append(out, fmt.Sprintf("%s=%d", key, n[key]))
			}
		}
	}
	return strings.Join(out, " ")
}

// want checks status and instances.
func (s *stage) want(status, what string) {
	s.t.Helper()
	d := s.newest()
	if d.Status != status || s.what() != what {
		s.t.Fatalf("%s (%s), %s; want %s, %s", d.Status, d.StatusDescription, s.what(), status, what)
	}
}

// look has the scheduler look at the job.
func (s *stage) look() {
	s.Must(&fsm.UpsertEvals{Evals: []*model.Evaluation{{
		ID: uuid.NewString(), Namespace: "default", JobID: "web", Type: "service", Priority: 50, Status: model.EvalPending, TriggeredBy: model.TriggerNodeUpdate,
	}}})
	s.settle()
}

func TestRolling(t *testing.T) {
	s := newStage(t)
	s.run("one", 4, nil)
	s.want("running", "one=4")
	s.pass(6 * time.Second)
	s.want("successful", "one=4")
	job := s.Store.Snapshot().Job("default", "web")
	if !job.Stable {
		t.Error("the version is not stable")
	}
	s.least = 4
	s.run("two", 4, func(u *model.UpdateStrategy) { u.MaxParallel = 2 })
	s.want("running", "one=2 two=2")
	s.look() // nothing more is taken, whoever looks
	s.want("running", "one=2 two=2")
	s.lead()
	s.pass(6 * time.Second)
	s.want("running", "two=4")
	s.pass(6 * time.Second)
	s.want("successful", "two=4")
	if s.least != 2 {
		t.Errorf("at least %d were healthy, want 2", s.least)
	}
	for e := range s.Store.Snapshot().EvalsByStatus(model.EvalPending) {
		t.Errorf("%+v", e)
	}
}

// A deployment of a stateful group starts from below, updates from above, ends with the
// partition, and takes the job back when it fails.
func TestStateful(t *testing.T) {
	s := newStage(t)
	pass := func(d time.Duration) {
		for range int(d / time.Second) {
			s.pass(time.Second)
			s.look()
		}
	}
	s.stateful = &model.StatefulConfig{Ordered: true}
	s.run("one", 3, nil)
	s.want("running", "one=1")
	pass(30 * time.Second)
	s.want("successful", "one=3")
	s.stateful = &model.StatefulConfig{Ordered: true, Partition: 2}
	s.least = 3
	s.run("two", 3, nil)
	pass(10 * time.Second)
	s.want("successful", "one=2 two=1")
	if d := s.newest(); d.TaskGroups["g"].DesiredTotal != 1 {
		t.Errorf("%d instances are deployed", d.TaskGroups["g"].DesiredTotal)
	}
	s.stateful = &model.StatefulConfig{Ordered: true, Partition: 1}
	s.run("two", 3, nil)
	s.lead()
	pass(20 * time.Second)
	s.want("successful", "one=1 two=2")
	s.stateful = &model.StatefulConfig{Ordered: true, Partition: 1}
	s.run("bad", 3, func(u *model.UpdateStrategy) { u.AutoRevert = true })
	pass(deadline + 30*time.Second)
	s.want("successful", "one=1 two=2")
	if s.least != 2 {
		t.Errorf("at least %d were healthy, want 2", s.least)
	}
	s.stateful = &model.StatefulConfig{Ordered: true}
	s.run("two", 3, nil)
	pass(20 * time.Second)
	s.want("successful", "two=3")
}

// Of nodes whose agents say nothing of health, what they say of tasks counts.
func TestMuteNodes(t *testing.T) {
	s := newStageOf(t, "")
	s.run("one", 3, nil)
	s.pass(4 * time.Second)
	s.want("running", "one=3")
	s.pass(2 * time.Second)
	s.want("successful", "one=3")
	s.least = 3
	s.run("two", 3, nil)
	s.pass(20 * time.Second)
	s.want("successful", "two=3")
	if s.least != 2 {
		t.Errorf("at least %d were healthy, want 2", s.least)
	}
}

// A version whose instances fail is given up, and the job goes back; what fails after
// that stays as it is.
func TestAutoRevert(t *testing.T) {
	s := newStage(t)
	revert := func(u *model.UpdateStrategy) { u.AutoRevert = true }
	s.run("one", 3, revert)
	s.pass(6 * time.Second)
	s.least = 3
	s.run("bad", 3, revert)
	s.pass(deadline + time.Second)
	d := s.newest()
	if d.JobVersion != 2 || d.TaskGroups["g"].DesiredCanaries != 0 {
		t.Fatalf("%+v", d)
	}
	s.pass(10 * time.Second)
	s.want("successful", "one=3")
	if s.least != 2 {
		t.Errorf("at least %d were healthy, want 2", s.least)
	}
	failed := 0
	for d := range s.Store.Snapshot().DeploymentsByJob("default", "web") {
		if d.Status == model.DeploymentFailed {
			failed++
			if d.StatusDescription != deploy.DescDeadline+": the job goes back to version 0" {
				t.Error(d.StatusDescription)
			}
		}
	}
	if failed != 1 {
		t.Errorf("%d failed", failed)
	}
}

// When what a job goes back to fails, too, it does not go back to it again.
func TestRevertsNeverLoop(t *testing.T) {
	s := newStage(t)
	revert := func(u *model.UpdateStrategy) { u.AutoRevert = true }
	s.run("slow", 2, revert)
	s.Must(&fsm.JobStability{Namespace: "default", ID: "web", Version: 0, Stable: true})
	s.run("bad", 2, revert)
	s.pass(10 * deadline)
	var got []string
	for d := range s.Store.Snapshot().DeploymentsByJob("default", "web") {
		got = append(got, fmt.Sprintf("%d %s: %s", d.JobVersion, d.Status, d.StatusDescription))
	}
	want := []string{
		"2 failed: " + deploy.DescDeadline + ": the newest stable version asks for the same, so there is nothing to go back to",
		"1 failed: " + deploy.DescDeadline + ": the job goes back to version 0",
		"0 cancelled: " + deploy.DescNewer,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (s *stage) promote(groups ...string) error {
	cmd, err := fsm.NewCommand(&fsm.PromoteDeployment{ID: s.newest().ID, Groups: groups, Eval: &model.Evaluation{ID: uuid.NewString(), Status: model.EvalPending}})
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.Propose(s.t.Context(), cmd)
	if err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return out[0].Err
}

func TestCanaries(t *testing.T) {
	s := newStage(t)
	canaries := func(u *model.UpdateStrategy) { u.Canary = 2 }
	s.run("one", 3, canaries)
	s.pass(6 * time.Second)
	s.want("successful", "one=3") // the first version has nothing to be compared with
	s.least = 3
	s.run("two", 3, canaries)
	s.want("running", "one=3 two*=2")
	if err := s.promote(); err == nil || !strings.Contains(err.Error(), "0 of 2 canaries are healthy") {
		t.Errorf("promoted too early: %v", err)
	}
	if err := s.promote("x"); err == nil {
		t.Error("a group that there is not was promoted")
	}
	s.pass(10 * deadline) // it waits for somebody
	s.want("running", "one=3 two*=2")
	if err := s.promote("g"); err != nil {
		t.Fatal(err)
	}
	s.want("running", "two=3")
	s.pass(6 * time.Second)
	s.want("successful", "two=3")
	if err := s.promote(); err == nil || !strings.Contains(err.Error(), "has ended: it is successful") {
		t.Errorf("promoted after its end: %v", err)
	}
	if s.least < 2 {
		t.Errorf("%d were healthy", s.least)
	}
	// Blue and green: all at once, nothing missing at any time.
	s.least = 3
	s.run("three", 3, func(u *model.UpdateStrategy) { u.Canary, u.AutoPromote = 3, true })
	s.want("running", "two=3 three*=3")
	s.pass(6 * time.Second)
	s.want("successful", "three=3")
	if s.least != 3 {
		t.Errorf("%d were healthy", s.least)
	}
	// Canaries that fail are stopped; nothing else has changed.
	s.run("bad", 3, canaries)
	s.pass(deadline + time.Second)
	s.want("failed", "three=3")
	s.pass(10 * deadline)
	s.want("failed", "three=3")
}

// What is lost while an update does not go on is replaced by its own version.
func TestLostWhileHeld(t *testing.T) {
	s := newStage(t)
	s.run("one", 3, nil)
	s.pass(6 * time.Second)
	s.run("two", 3, func(u *model.UpdateStrategy) { u.Canary = 1 })
	s.pass(6 * time.Second)
	yes := true
	for a := range s.Store.Snapshot().AllocsByJob("default", "web") {
		if version(a) == "one" {
			s.Must(&fsm.TransitionAllocs{Transitions: []fsm.AllocTransition{{ID: a.ID, Transition: model.DesiredTransition{Migrate: &yes}}}, Evals: []*model.Evaluation{{
				ID: uuid.NewString(), Namespace: "default", JobID: "web", Type: "service", Status: model.EvalPending, TriggeredBy: model.TriggerAllocStop,
			}}})
			break
		}
	}
	s.pass(6 * time.Second)
	s.want("running", "one=3 two*=1")
	if err := s.promote(); err != nil {
		t.Fatal(err)
	}
	s.pass(20 * time.Second)
	s.want("successful", "two=3")
}

// An update and a drain take no more together than max_parallel.
func TestUpdateBesideDrain(t *testing.T) {
	s := newStage(t)
	s.run("one", 3, nil)
	s.pass(6 * time.Second)
	yes := true
	for a := range s.Store.Snapshot().AllocsByJob("default", "web") {
		s.Must(&fsm.NodeDrain{NodeID: a.NodeID, Spec: &model.DrainSpec{}})
		s.Must(&fsm.TransitionAllocs{Transitions: []fsm.AllocTransition{{ID: a.ID, Transition: model.DesiredTransition{Migrate: &yes}}}})
		break
	}
	s.least = 3
	s.run("two", 3, nil)
	s.want("running", "one=2 two=1")
	s.pass(20 * time.Second)
	s.want("successful", "two=3")
	if s.least != 2 {
		t.Errorf("at least %d were healthy, want 2", s.least)
	}
}

func (s *stage) set(status string) error {
	cmd, err := fsm.NewCommand(&fsm.DeploymentStatus{ID: s.newest().ID, Status: status, Eval: &model.Evaluation{ID: uuid.NewString(), Status: model.EvalPending}})
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.Propose(s.t.Context(), cmd)
	if err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return out[0].Err
}

func TestPause(t *testing.T) {
	s := newStage(t)
	s.run("one", 3, nil)
	s.pass(6 * time.Second)
	s.run("two", 3, nil)
	if err := s.set(model.DeploymentPaused); err != nil {
		t.Fatal(err)
	}
	if err := s.set(model.DeploymentPaused); err == nil {
		t.Error("paused twice")
	}
	s.pass(10 * deadline)
	s.want("paused", "one=2 two=1")
	if err := s.set(model.DeploymentRunning); err != nil {
		t.Fatal(err)
	}
	s.pass(20 * time.Second)
	s.want("successful", "two=3")
}

func TestNewerVersion(t *testing.T) {
	s := newStage(t)
	s.run("one", 3, nil)
	s.pass(6 * time.Second)
	s.least = 3
	s.run("two", 3, nil)
	s.pass(time.Second)
	s.run("three", 3, nil)
	// The instance of the version in between makes way first: no other one is missed.
	s.want("running", "one=2 three=1")
	s.pass(20 * time.Second)
	s.want("successful", "three=3")
	if s.least != 2 {
		t.Errorf("at least %d were healthy, want 2", s.least)
	}
	s.Must(&fsm.DeregisterJob{Namespace: "default", ID: "web"})
	s.settle()
	s.run("one", 3, nil)
	s.Must(&fsm.DeregisterJob{Namespace: "default", ID: "web"})
	s.settle()
	if d := s.newest(); d.Status != model.DeploymentCancelled || d.StatusDescription != deploy.DescStopped {
		t.Errorf("%s: %s", d.Status, d.StatusDescription)
	}
}

// Without a progress_deadline the first unhealthy instance is the end.
func TestNoDeadline(t *testing.T) {
	s := newStage(t)
	s.run("one", 2, nil)
	s.pass(6 * time.Second)
	s.run("bad", 2, func(u *model.UpdateStrategy) { u.ProgressDeadline = 0 })
	s.want("failed", "one=1")
	if d := s.newest(); d.StatusDescription != deploy.DescUnhealthy {
		t.Error(d.StatusDescription)
	}
}

// Manual: an operator's word counts, for and against.
func TestOperatorsWord(t *testing.T) {
	s := newStage(t)
	s.run("slow", 2, nil)
	judge := func(healthy bool) {
		c := &fsm.AllocHealth{ID: s.newest().ID, Eval: &model.Evaluation{ID: uuid.NewString(), Status: model.EvalPending}}
		for a := range s.Store.Snapshot().AllocsByJob("default", "web") {
			if healthy {
				c.Healthy = append(c.Healthy, a.ID)
			} else {
				c.Unhealthy = append(c.Unhealthy, a.ID)
			}
		}
		s.Must(c)
		s.settle()
	}
	judge(false)
	if g := s.newest().TaskGroups["g"]; g.UnhealthyAllocs != 2 || g.HealthyAllocs != 0 {
		t.Errorf("%+v", g)
	}
	judge(true)
	s.want("successful", "slow=2")
}

// Whatever is done, and whoever leads: no more than max_parallel fewer than count are
// healthy because of an update, and in the end every deployment has ended.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(t)
		count := rapid.IntRange(1, 5).Draw(rt, "count")
		s.run("one", count, nil)
		s.pass(6 * time.Second)
		s.least = count
		parallel, broken := 1, false
		for range rapid.IntRange(1, 6).Draw(rt, "acts") {
			switch rapid.IntRange(0, 5).Draw(rt, "act") {
			case 0, 1:
				v := rapid.SampledFrom([]string{"one", "two", "three", "bad", "slow"}).Draw(rt, "version")
				broken = broken || v == "bad" || v == "slow"
				u := model.UpdateStrategy{
					MaxParallel: rapid.IntRange(1, 2).Draw(rt, "max_parallel"), Canary: rapid.IntRange(0, count).Draw(rt, "canary"),
					AutoRevert: rapid.Bool().Draw(rt, "auto_revert"), AutoPromote: rapid.Bool().Draw(rt, "auto_promote"),
				}
				parallel = max(parallel, u.MaxParallel)
				s.run(v, count, func(have *model.UpdateStrategy) {
					have.MaxParallel, have.Canary, have.AutoRevert, have.AutoPromote = u.MaxParallel, u.Canary, u.AutoRevert, u.AutoPromote
				})
			case 2:
				_ = s.promote()
			case 3:
				_ = s.set(rapid.SampledFrom([]string{model.DeploymentPaused, model.DeploymentRunning}).Draw(rt, "status"))
			case 4:
				s.lead()
			case 5:
				s.look()
			}
			s.pass(time.Duration(rapid.IntRange(0, 20).Draw(rt, "seconds")) * time.Second)
		}
		if !broken && s.least < count-parallel {
			rt.Fatalf("%d of %d were healthy, max_parallel was %d", s.least, count, parallel)
		}
		if d := s.newest(); d.Status == model.DeploymentPaused {
			if err := s.set(model.DeploymentRunning); err != nil {
				rt.Fatal(err)
			}
		}
		s.pass(30 * time.Second)
		_ = s.promote()
		s.lead()
		s.pass(2 * time.Duration(count+1) * deadline)
		for d := range s.Store.Snapshot().Deployments(state.Range{}) {
			if deploy.Active(d) {
				rt.Fatalf("the deployment of version %d has not ended: %s, %s", d.JobVersion, d.StatusDescription, s.what())
			}
		}
	})
}
