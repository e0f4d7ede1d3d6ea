package gc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// world is a log with a job of each kind of fate.
type world struct {
	*memlog.Log
	t *testing.T
}

func (w *world) job(id, jobType string) *model.Job {
	j := model.NewJob(jobType)
	j.ID, j.Name = id, id
	g := model.NewTaskGroup(j)
	g.Name = "g"
	j.TaskGroups = append(j.TaskGroups, g)
	w.Must(&fsm.RegisterJob{Job: j})
	return w.Store.Snapshot().Job(j.Namespace, id)
}

// place commits a decision that placed one instance.
func (w *world) place(j *model.Job, allocID string) {
	e := &model.Evaluation{
		ID: "eval-of-" + allocID, Namespace: j.Namespace, JobID: j.ID, Type: j.Type, Status: model.EvalComplete,
	}
	w.Must(&fsm.ApplyPlan{Plan: &model.Plan{
		EvalID: e.ID, Namespace: j.Namespace, JobID: j.ID, JobVersion: j.Version, Eval: e,
		Groups: []*model.PlanGroup{{TaskGroup: "g", Resources: &model.AllocatedResources{},
			Placements: []*model.Placement{{ID: allocID, NodeID: "n1"}}}},
	}})
}

func (w *world) report(allocID, status string) {
	w.Must(&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: allocID, ClientStatus: status}}})
}

func (w *world) collect(now time.Time, cfg Config) {
	w.t.Helper()
	for _, c := range Collect(w.Store.Snapshot(), now, cfg) {
		outcomes, err := w.Propose(w.t.Context(), c)
		if err != nil || outcomes[0].Err != nil {
			w.t.Fatal(err, outcomes)
		}
		if kept := outcomes[0].Value.(*fsm.Collected).Kept; len(kept) > 0 {
			w.t.Errorf("the state machine kept %v: chosen although needed", kept)
		}
	}
}

func (w *world) left() []string {
	var out []string
	snap := w.Store.Snapshot()
	for j := range snap.Jobs(state.Range{}) {
		out = append(out, "job "+j.ID)
	}
	for a := range snap.Allocs(state.Range{}) {
		out = append(out, "alloc "+a.ID)
	}
	for n := range snap.Nodes(state.Range{}) {
		out = append(out, "node "+n.ID)
	}
	slices.Sort(out)
	return out
}

func newWorld(t *testing.T) *world {
	w := &world{memlog.New(), t}
	w.Must(&fsm.RegisterNode{Node: &model.Node{ID: "n1", Status: model.NodeStatusReady}})
	w.Must(&fsm.RegisterNode{Node: &model.Node{ID: "n2", Status: model.NodeStatusDown}})

	live := w.job("live", model.JobTypeService)
	w.place(live, "live-running")
	w.report("live-running", model.ClientRunning)
	w.place(live, "live-failed") // not replaced yet: the scheduler needs to know
	w.report("live-failed", model.ClientFailed)
	w.place(live, "live-stopped")
	w.report("live-stopped", model.ClientRunning)
	w.Must(&fsm.ApplyPlan{Plan: &model.Plan{EvalID: "stop", Namespace: live.Namespace, JobID: live.ID, JobVersion: live.Version,
		Stops: []*model.PlanStop{{ID: "live-stopped"}}}})
	w.report("live-stopped", model.ClientComplete)

	done := w.job("done", model.JobTypeBatch)
	w.place(done, "done-complete")
	w.report("done-complete", model.ClientComplete)

	half := w.job("half", model.JobTypeBatch) // one instance done, one running
	w.place(half, "half-complete")
	w.report("half-complete", model.ClientComplete)
	w.place(half, "half-running")
	w.report("half-running", model.ClientRunning)

	gone := w.job("gone", model.JobTypeService)
	w.place(gone, "gone-complete")
	w.report("gone-complete", model.ClientComplete)
	w.Must(&fsm.DeregisterJob{Namespace: gone.Namespace, ID: gone.ID})

	ending := w.job("ending", model.JobTypeService) // stopped, but its node has not said so
	w.place(ending, "ending-running")
	w.report("ending-running", model.ClientRunning)
	w.Must(&fsm.DeregisterJob{Namespace: ending.Namespace, ID: ending.ID})
	return w
}

func TestCollect(t *testing.T) {
	needed := []string{
		"alloc ending-running", "alloc half-complete", "alloc half-running", "alloc live-failed", "alloc live-running",
		"job ending", "job half", "job live", "node n1",
	}
	t.Run("young things stay", func(t *testing.T) {
		w := newWorld(t)
		before := w.left()
		w.collect(w.Now().Add(59*time.Minute), Defaults())
		if got := w.left(); !slices.Equal(got, before) {
			t.Errorf("left %v\nwant %v", got, before)
		}
	})
	t.Run("by age", func(t *testing.T) {
		w := newWorld(t)
		w.collect(w.Now().Add(61*time.Minute), Defaults())
		if got := w.left(); slices.Contains(got, "alloc live-stopped") || !slices.Contains(got, "job done") {
			t.Errorf("after an hour: %v", got)
		}
		w.collect(w.Now().Add(25*time.Hour), Defaults())
		if got := w.left(); !slices.Equal(got, needed) {
			t.Errorf("after a day: left %v\nwant %v", got, needed)
		}
	})
	t.Run("forced", func(t *testing.T) {
		w := newWorld(t)
		w.collect(w.Now(), Config{})
		if got := w.left(); !slices.Equal(got, needed) {
			t.Errorf("left %v\nwant %v", got, needed)
		}
		for e := range w.Store.Snapshot().Evals(state.Range{}) {
			if e.JobID == "done" || e.JobID == "gone" || e.ID == "eval-of-live-stopped" {
				t.Errorf("evaluation %s is left", e.ID)
			}
		}
	})
}

func TestInterval(t *testing.T) {
	w := newWorld(t)
	c := New(Defaults())
	snap := w.Store.Snapshot()
	c.Reset(snap)
	now := w.Now().Add(48 * time.Hour)
	if cmds, wake := c.Step(now, snap); len(cmds) > 0 || wake.Sub(now) != Defaults().Interval {
		t.Errorf("a new leader collects at once: %d commands, wake %s", len(cmds), wake)
	}
	if cmds, _ := c.Step(now.Add(Defaults().Interval), snap); len(cmds) == 0 {
		t.Error("nothing is collected after the interval")
	}
}

// How the present version of a job was rolled out is known as long as the job is: a
// deployment that failed must not begin again. Those of older versions go.
func TestDeployments(t *testing.T) {
	w := &world{Log: memlog.New(), t: t}
	w.Must(&fsm.FeatureLevel{Level: feature.Newest})
	for range 2 {
		j := w.job("web", model.JobTypeService)
		d := &model.Deployment{
			ID: fmt.Sprint("d", j.Version), Namespace: j.Namespace, JobID: j.ID, JobVersion: j.Version, JobCreateIndex: j.CreateIndex, Status: model.DeploymentRunning,
		}
		w.Must(&fsm.ApplyPlan{Plan: &model.Plan{EvalID: "none", Namespace: j.Namespace, JobID: j.ID, JobVersion: j.Version, Deployment: d}})
		w.Must(&fsm.DeploymentStatus{ID: d.ID, Status: model.DeploymentFailed})
		next := *j
		next.Priority++
		next.Meta = map[string]string{"v": d.ID}
		if j.Version == 0 {
			w.Must(&fsm.RegisterJob{Job: &next})
		}
	}
	snap := w.Store.Snapshot()
	later := w.Now().Add(1000 * time.Hour)
	for _, cmd := range Collect(snap, later, Defaults()) {
		if out, err := w.Propose(t.Context(), cmd); err != nil || out[0].Err != nil {
			t.Fatal(err, out)
		}
	}
	var left []string
	for d := range w.Store.Snapshot().Deployments(state.Range{}) {
		left = append(left, d.ID)
	}
	job := w.Store.Snapshot().Job("default", "web")
	if len(left) != 1 || left[0] != fmt.Sprint("d", job.Version) {
		t.Errorf("left are %v, the job has version %d", left, job.Version)
	}
}
