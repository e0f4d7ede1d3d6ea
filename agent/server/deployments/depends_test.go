package deployments

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/deploy"
)

// groups registers a job of groups, each with what it depends on.
func (s *stage) groups(id, version string, on map[string]*depends.Dependency, names ...string) {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name, j.Datacenters = id, id, []string{"*"}
	for _, name := range names {
		g := model.NewTaskGroup(j)
		g.Name = name
		g.Update.MinHealthyTime, g.Update.ProgressDeadline = healthyAfter, deadline
		task := model.NewTask(g)
		task.Name, task.Driver, task.Env = "t", "mock_driver", map[string]string{"V": version}
		if d := on[name]; d != nil {
			g.DependsOn = []*depends.Dependency{d}
		}
		g.Tasks, j.TaskGroups = append(g.Tasks, task), append(j.TaskGroups, g)
	}
	s.Must(&fsm.RegisterJob{Job: j, Eval: &model.Evaluation{
		ID: uuid.NewString(), Namespace: j.Namespace, JobID: id, Type: j.Type, Priority: 50, Status: model.EvalPending, TriggeredBy: model.TriggerJobRegister,
	}})
	s.settle()
}

// A group that waits for another job has as much time as that needs, and its own from
// then on.
func TestWaitingIsNoLackOfProgress(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := newStage(t)
		s.groups("web", "one", map[string]*depends.Dependency{"h": {Name: "x", Job: "other", Condition: depends.Started}}, "g", "h")
		s.want("running", "one=1")
		s.pass(3 * deadline)
		s.want("running", "one=1")
		s.groups("other", "one", nil, "g")
		for a := range s.Store.Snapshot().AllocsByJob("default", "other") {
			s.Must(&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: a.ID, ClientStatus: model.ClientRunning}}})
		}
		if late { // nobody looks
			s.pass(deadline - time.Second)
			s.want("running", "one=1")
			s.pass(2 * time.Second)
			s.want("failed", "one=2") // and what has no older version goes on
			continue
		}
		s.look()
		s.want("running", "one=2")
		s.pass(6 * time.Second)
		s.want("successful", "one=2")
	}
}

// A job that waits whole has no deployment.
func TestNoDeploymentOfWhatWaits(t *testing.T) {
	s := newStage(t)
	s.groups("web", "one", map[string]*depends.Dependency{"g": {Name: "x", Job: "other"}}, "g")
	s.pass(2 * deadline)
	if d := s.newest(); d != nil {
		t.Errorf("%+v", d)
	}
}

// Both groups change: the dependency is new and healthy before the other one is touched.
func TestUpdatesInOrder(t *testing.T) {
	s := newStage(t)
	on := map[string]*depends.Dependency{"web": {Name: "db"}}
	s.groups("web", "one", on, "web", "db")
	s.pass(20 * time.Second)
	s.want("successful", "one=2")
	s.groups("web", "two", on, "web", "db")
	for range 30 {
		old := false
		for a := range s.Store.Snapshot().AllocsByJob("default", "web") {
			old = old || a.TaskGroup == "db" && version(a) == "two" && deploy.Healthy(a)
		}
		for a := range s.Store.Snapshot().AllocsByJob("default", "web") {
			if a.TaskGroup == "web" && version(a) == "two" && !old {
				t.Fatal("web is updated before db")
			}
		}
		s.pass(time.Second)
	}
	s.want("successful", "two=2")
}
