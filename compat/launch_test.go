package compat

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// quick is a batch job that ends at once.
func quick(id string) *api.Job {
	job := api.NewBatchJob(id, id, "global", 50)
	job.Datacenters = []string{"*"}
	task := api.NewTask("main", "raw_exec").SetConfig("command", "/bin/true").Require(&api.Resources{CPU: ptr(20), MemoryMB: ptr(16)})
	return job.AddTaskGroup(api.NewTaskGroup("g", 1).AddTask(task))
}

// template registers a job that only launches others, as soon as the cluster has the level.
func template(t *testing.T, c *api.Client, job *api.Job) {
	t.Helper()
	until(t, "registered", func() (bool, error) {
		resp, _, err := c.Jobs().Register(job, nil)
		if err == nil && resp.EvalID != "" {
			t.Errorf("evaluation %s", resp.EvalID)
		}
		return err == nil, err
	})
	purge(t, c, *job.ID)
}

func dead(t *testing.T, c *api.Client, id string) {
	t.Helper()
	until(t, id+" is dead", func() (bool, error) {
		job, _, err := c.Jobs().Info(id, nil)
		return err == nil && *job.Status == "dead", err
	})
}

func TestDispatch(t *testing.T) {
	c := client(t)
	job := quick("param")
	job.ParameterizedJob = &api.ParameterizedJobConfig{Payload: "required", MetaRequired: []string{"user"}}
	job.TaskGroups[0].Tasks[0].DispatchPayload = &api.DispatchPayloadConfig{File: "in"}
	template(t, c, job)
	if _, _, err := c.Jobs().Dispatch("param", nil, []byte("hi"), "", nil); err == nil || !strings.Contains(err.Error(), `"user"`) {
		t.Errorf("without meta: %v", err)
	}
	q := &api.WriteOptions{IdempotencyToken: "once"}
	first, _, err := c.Jobs().Dispatch("param", map[string]string{"user": "x"}, []byte("hi"), "pre", q)
	if err != nil || !strings.HasPrefix(first.DispatchedJobID, "param/dispatch-pre-") || first.EvalID == "" || first.JobCreateIndex == 0 {
		t.Fatal(first, err)
	}
	again, _, err := c.Jobs().Dispatch("param", map[string]string{"user": "x"}, []byte("hi"), "pre", q)
	if err != nil || again.DispatchedJobID != first.DispatchedJobID {
		t.Errorf("again: %+v, %v", again, err)
	}
	dead(t, c, first.DispatchedJobID)
	child, _, err := c.Jobs().Info(first.DispatchedJobID, nil)
	if err != nil || *child.ParentID != "param" || !child.Dispatched || string(child.Payload) != "hi" || child.Meta["user"] != "x" {
		t.Errorf("child %+v, %v", child, err)
	}
	summary, _, err := c.Jobs().Summary("param", nil)
	if err != nil || summary.Children == nil || summary.Children.Dead != 1 {
		t.Errorf("summary %+v, %v", summary, err)
	}
	list, _, err := c.Jobs().ListOptions(nil, &api.QueryOptions{Filter: `ParentID == "" and ParameterizedJob is not nil`})
	if err != nil || len(list) != 1 || list[0].ID != "param" || !list[0].ParameterizedJob || list[0].JobSummary.Children.Dead != 1 {
		t.Errorf("list %v, %v", list, err)
	}
}

func TestPeriodic(t *testing.T) {
	c := client(t)
	job := quick("cron")
	job.AddPeriodicConfig(&api.PeriodicConfig{Enabled: ptr(true), Specs: []string{"* * * * * * *"}, SpecType: ptr("cron")})
	template(t, c, job)
	until(t, "launched", func() (bool, error) {
		s, _, err := c.Jobs().Summary("cron", nil)
		return err == nil && s.Children != nil && s.Children.Dead >= 2, err
	})
	read, _, err := c.Jobs().Info("cron", nil)
	if err != nil || !read.IsPeriodic() {
		t.Fatal(read, err)
	}
	if next, err := read.Periodic.Next(time.Now()); err != nil || time.Until(next) > 2*time.Second {
		t.Errorf("next launch %v, %v", next, err)
	}
	slow := quick("yearly")
	slow.AddPeriodicConfig(&api.PeriodicConfig{Enabled: ptr(true), Spec: ptr("@yearly"), SpecType: ptr("cron")})
	template(t, c, slow)
	eval, _, err := c.Jobs().PeriodicForce("yearly", nil)
	if err != nil || eval == "" {
		t.Fatal(eval, err)
	}
	e, _, err := c.Evaluations().Info(eval, nil)
	if err != nil || !strings.HasPrefix(e.JobID, "yearly/periodic-") || e.TriggeredBy != "periodic-job" {
		t.Fatal(e, err)
	}
	dead(t, c, e.JobID)
}
