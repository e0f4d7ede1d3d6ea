package readiness

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// world is a State made by hand.
type world struct {
	jobs   map[string]*model.Job
	allocs map[string][]*model.Allocation
}

func (w *world) Job(_, id string) *model.Job                  { return w.jobs[id] }
func (w *world) AllocsByJob(_, id string) []*model.Allocation { return w.allocs[id] }
func (w *world) add(a *model.Allocation) *model.Allocation {
	w.allocs[a.JobID] = append(w.allocs[a.JobID], a)
	return a
}
func (w *world) wait(job string, now time.Time) map[string]*Wait { return Of(w, w.jobs[job], now) }
func newWorld() *world                                           { return &world{map[string]*model.Job{}, map[string][]*model.Allocation{}} }
func (w *world) put(j *model.Job) *model.Job                     { w.jobs[j.ID] = j; return j }
func say(healthy bool) *model.AllocDeploymentStatus {
	return &model.AllocDeploymentStatus{Healthy: &healthy}
}

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func job(id, kind string, count int, on *depends.Dependency) *model.Job {
	j := model.NewJob(kind)
	j.ID, j.Name = id, id
	g := model.NewTaskGroup(j)
	g.Name, g.Count = "g", count
	t := model.NewTask(g)
	t.Name, t.Config = "t", map[string]any{"v": "1"}
	g.Tasks = []*model.Task{t}
	if on != nil {
		g.DependsOn = []*depends.Dependency{on}
	}
	j.TaskGroups = []*model.TaskGroup{g}
	return j
}

// alloc is an instance whose tasks began at noon.
func alloc(j *model.Job, i int, status string) *model.Allocation {
	a := &model.Allocation{
		ID: fmt.Sprint(j.ID, i), Namespace: j.Namespace, JobID: j.ID, Job: j, JobVersion: j.Version, TaskGroup: "g", Name: model.AllocName(j.ID, "g", i),
		NodeID: fmt.Sprint("n", i), DesiredStatus: model.DesiredRun, ClientStatus: status, ModifyTime: noon.UnixNano(),
	}
	s := &model.TaskState{State: model.TaskPending}
	switch status {
	case model.ClientRunning:
		s.State, s.StartedAt = model.TaskRunning, noon
	case model.ClientComplete, model.ClientFailed:
		s.State, s.Failed = model.TaskDead, status == model.ClientFailed
	}
	a.TaskStates = map[string]*model.TaskState{"t": s}
	return a
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind string // of the other job; "" for none
		d    depends.Dependency
		edit func(w *world, other *model.Job)
		now  time.Duration // since noon
		want string        // "" for nothing
	}{
		{"no job", "", depends.Dependency{}, nil, 0, "waits until job pg is healthy: there is no such job yet"},
		{"no instance", "service", depends.Dependency{}, nil, 0, "waits until group g of job pg is healthy: 0 of 2"},
		{"no group", "service", depends.Dependency{Group: "x"}, nil, 0, "waits until group x of job pg is healthy: the job has no such group"},
		{"stopped", "service", depends.Dependency{Group: "g"}, func(_ *world, o *model.Job) { o.Stop = true }, 0, "waits until group g of job pg is healthy: the job is stopped"},
		{"a template", "batch", depends.Dependency{Condition: "completed"}, func(_ *world, o *model.Job) { o.Periodic = &model.PeriodicConfig{} }, 0, "only launches others"},
		{"unfit", "batch", depends.Dependency{}, nil, 0, "nothing of a batch job is ever called healthy"},
		{"one runs", "service", depends.Dependency{Condition: "started"}, func(w *world, o *model.Job) { w.add(alloc(o, 0, "running")) }, 0, "is started: 1 of 2"},
		{"two run", "service", depends.Dependency{Condition: "started"}, func(w *world, o *model.Job) {
			w.add(alloc(o, 0, "running"))
			w.add(alloc(o, 1, "running"))
		}, 0, ""},
		{"two of a name run", "service", depends.Dependency{Condition: "started"}, func(w *world, o *model.Job) {
			w.add(alloc(o, 0, "running"))
			w.add(alloc(o, 0, "running"))
		}, 0, "is started: 1 of 2"},
		{"too short", "service", depends.Dependency{}, both("running"), 9 * time.Second, "is healthy: 0 of 2"},
		{"long enough", "service", depends.Dependency{}, both("running"), 10 * time.Second, ""},
		{"said to be healthy", "service", depends.Dependency{}, func(w *world, o *model.Job) {
			for _, a := range twice(w, o, "running") {
				a.DeploymentID, a.DeploymentStatus = "d", say(true)
			}
		}, 0, ""},
		{"said to be unhealthy", "service", depends.Dependency{}, func(w *world, o *model.Job) {
			for _, a := range twice(w, o, "running") {
				a.DeploymentID, a.DeploymentStatus = "d", say(false)
			}
		}, time.Hour, "0 of 2"},
		{"not said yet", "service", depends.Dependency{}, func(w *world, o *model.Job) {
			for _, a := range twice(w, o, "running") {
				a.DeploymentID = "d"
			}
		}, time.Minute, "0 of 2"},
		{"done", "batch", depends.Dependency{Condition: "completed"}, both("complete"), 0, ""},
		{"done counts as started", "batch", depends.Dependency{Condition: "started"}, both("complete"), 0, ""},
		{"failed", "batch", depends.Dependency{Condition: "completed"}, both("failed"), 0, "0 of 2"},
		{"done by an older version", "batch", depends.Dependency{Condition: "completed"}, func(w *world, o *model.Job) {
			twice(w, o, "complete")
			next := o.Copy()
			next.Version++
			next.TaskGroups[0].Tasks[0].Config["v"] = "2"
			w.put(next)
		}, 0, "0 of 2"},
		{"of an earlier job", "batch", depends.Dependency{Condition: "completed"}, func(w *world, o *model.Job) {
			twice(w, o, "complete")
			next := o.Copy()
			next.CreateIndex = 9
			w.put(next)
		}, 0, "0 of 2"},
		{"on every node", "system", depends.Dependency{Condition: "started"}, both("running"), 0, ""},
		{"on one of two nodes", "system", depends.Dependency{Condition: "started"}, func(w *world, o *model.Job) {
			w.add(alloc(o, 0, "running"))
			w.add(alloc(o, 1, "pending"))
		}, 0, "1 of 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.kind != "" {
				other := w.put(job("pg", tt.kind, 2, nil))
				if tt.kind == "system" {
					other.TaskGroups[0].Count = 1
				}
				if tt.edit != nil {
					tt.edit(w, other)
				}
			}
			tt.d.Name, tt.d.Job = "pg", "pg"
			w.put(job("web", "service", 1, &tt.d))
			got := ""
			if wait := w.wait("web", noon.Add(tt.now))["g"]; wait != nil {
				got = strings.Join(wait.For, "; ")
			}
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func both(status string) func(*world, *model.Job) {
	return func(w *world, o *model.Job) { twice(w, o, status) }
}

func twice(w *world, o *model.Job, status string) []*model.Allocation {
	return []*model.Allocation{w.add(alloc(o, 0, status)), w.add(alloc(o, 1, status))}
}

// TestProperties: of any state,
//   - a group of which something lives does not wait to start;
//   - one that waits says for what, and does not once all of its dependency does well;
//   - where time is all that is missing, At is when it is over, and not before.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		kind := rapid.SampledFrom([]string{"service", "batch"}).Draw(t, "kind")
		condition := rapid.SampledFrom([]string{depends.Started, map[string]string{"service": depends.Healthy, "batch": depends.Completed}[kind]}).Draw(t, "condition")
		other := w.put(job("pg", kind, rapid.IntRange(0, 3).Draw(t, "count"), nil))
		web := w.put(job("web", "service", 1, &depends.Dependency{Name: "pg", Job: "pg", Condition: condition}))
		statuses := []string{model.ClientPending, model.ClientRunning, model.ClientComplete, model.ClientFailed, model.ClientLost}
		for i := range rapid.IntRange(0, 5).Draw(t, "instances") {
			a := w.add(alloc(other, i%4, rapid.SampledFrom(statuses).Draw(t, "status")))
			if rapid.Bool().Draw(t, "stopped") {
				a.DesiredStatus = model.DesiredStop
			}
		}
		now := noon.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "since")) * time.Second)
		wait := w.wait("web", now)["g"]
		if wait != nil && (wait.Kind != reconcile.ToStart || len(wait.For) == 0) {
			t.Fatalf("%+v", wait)
		}
		if wait != nil && !wait.At.IsZero() {
			if !wait.At.After(now) {
				t.Fatalf("waits until %s, and it is %s", wait.At, now)
			}
			before := w.wait("web", wait.At.Add(-1))["g"]
			after := w.wait("web", wait.At)["g"]
			if before == nil || after != nil && after.For[0] == before.For[0] {
				t.Fatalf("at %s nothing changes: %v, %v", wait.At, before, after)
			}
		}
		mine := w.add(alloc(web, 0, model.ClientPending))
		if got := w.wait("web", now); got != nil {
			t.Fatalf("it lives, and waits: %v", got["g"].For)
		}
		mine.ClientStatus = model.ClientFailed
		if got := w.wait("web", now)["g"]; (got == nil) != (wait == nil) {
			t.Fatalf("it does not live any more: %v, before %v", got, wait)
		}
		status := map[bool]string{true: model.ClientComplete, false: model.ClientRunning}[condition == depends.Completed]
		w.allocs["pg"] = nil
		for i := range other.TaskGroups[0].Count {
			w.add(alloc(other, i, status))
		}
		if got := w.wait("web", noon.Add(time.Minute))["g"]; got != nil {
			t.Fatalf("all do well: %v", got.For)
		}
	})
}

// TestUpdates: a group waits with its update only for what changed with it.
func TestUpdates(t *testing.T) {
	for _, tt := range []struct {
		web, db bool // changed
		ready   string
		want    string
	}{
		{true, false, "old", ""}, {false, true, "old", ""},
		{true, true, "old", "is updated after group db, until that is started in its new version: 0 of 1"},
		{true, true, "pending", "0 of 1"}, {true, true, "running", ""},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			w := newWorld()
			old := job("j", "service", 1, &depends.Dependency{Name: "db", Condition: depends.Started})
			db := old.TaskGroups[0].Copy()
			db.Name, db.DependsOn = "db", nil
			old.TaskGroups = append(old.TaskGroups, db)
			next := w.put(old.Copy())
			next.Version++
			if tt.web {
				next.TaskGroups[0].Tasks[0].Config["v"] = "2"
			}
			if tt.db {
				next.TaskGroups[1].Tasks[0].Config["v"] = "2"
			}
			w.add(alloc(old, 0, model.ClientRunning))
			a := w.add(alloc(old, 1, model.ClientRunning))
			if tt.ready != "old" {
				a.DesiredStatus = model.DesiredStop
				w.add(alloc(next, 1, tt.ready))
			}
			for _, a := range w.allocs["j"][1:] {
				a.TaskGroup, a.Name = "db", model.AllocName("j", "db", 0)
			}
			got := ""
			if wait := w.wait("j", noon)["g"]; wait != nil {
				got = wait.For[0]
				if wait.Kind != reconcile.ToUpdate {
					t.Errorf("kind %d", wait.Kind)
				}
			}
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestClockBehind: what an instance's node says of the time is not believed where it was
// not even placed yet.
func TestClockBehind(t *testing.T) {
	w := newWorld()
	w.put(job("web", "service", 1, &depends.Dependency{Name: "pg", Job: "pg"}))
	a := w.add(alloc(w.put(job("pg", "service", 1, nil)), 0, model.ClientRunning))
	a.CreateTime = noon.UnixNano()
	a.TaskStates["t"].StartedAt = noon.Add(-time.Hour)
	if wait := w.wait("web", noon.Add(time.Second)); wait == nil {
		t.Error("it is healthy at once")
	}
	if wait := w.wait("web", noon.Add(10*time.Second)); wait != nil {
		t.Errorf("%v", wait["g"].For)
	}
}

// What is blocked for room, too, is woken by room: for another group, or for an instance of
// the same one that is replaced while the rest is not begun, were there nodes or not.
func TestOnly(t *testing.T) {
	waits := &model.AllocationMetric{Waits: []string{"waits until group db is healthy: 0 of 1"}}
	lacks := &model.AllocationMetric{NodePool: "default"} // no node was there to look at
	both := &model.AllocationMetric{NodePool: "default", Waits: waits.Waits}
	for _, tt := range []struct {
		name        string
		failed      map[string]*model.AllocationMetric
		waits, only bool
	}{
		{"nothing", nil, false, false},
		{"one waits", map[string]*model.AllocationMetric{"a": waits}, true, true},
		{"one lacks room", map[string]*model.AllocationMetric{"a": lacks}, false, false},
		{"one waits, another lacks room", map[string]*model.AllocationMetric{"a": waits, "b": lacks}, true, false},
		{"one waits and lacks room", map[string]*model.AllocationMetric{"a": both}, true, false},
	} {
		e := &model.Evaluation{FailedTGAllocs: tt.failed}
		if Waits(e) != tt.waits || Only(e) != tt.only {
			t.Errorf("%s: waits %v, only %v", tt.name, Waits(e), Only(e))
		}
	}
}
