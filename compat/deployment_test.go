package compat

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// steady is a service that stays, in a version of its own.
func steady(version string, change func(u *api.UpdateStrategy)) *api.Job {
	job := api.NewServiceJob("deployed", "deployed", "global", 50)
	job.Datacenters = []string{"*"}
	u := &api.UpdateStrategy{MaxParallel: ptr(1), MinHealthyTime: ptr(300 * time.Millisecond)}
	if change != nil {
		change(u)
	}
	task := api.NewTask("main", "raw_exec").SetConfig("command", "/bin/sleep").SetConfig("args", []string{"1000"}).Require(&api.Resources{CPU: ptr(20), MemoryMB: ptr(16)})
	task.Env = map[string]string{"VERSION": version}
	group := api.NewTaskGroup("g", 2).AddTask(task)
	group.Update = u
	return job.AddTaskGroup(group)
}

// deployed waits until the job's newest deployment is in a status.
func deployed(t *testing.T, c *api.Client, version uint64, status string) *api.Deployment {
	t.Helper()
	var d *api.Deployment
	until(t, "deployment "+status, func() (bool, error) {
		var err error
		d, _, err = c.Jobs().LatestDeployment("deployed", nil)
		return err == nil && d != nil && d.JobVersion == version && d.Status == status, err
	})
	return d
}

func TestDeployments(t *testing.T) {
	c := client(t)
	until(t, "registered", func() (bool, error) { // as soon as the cluster has the level
		_, _, err := c.Jobs().Register(steady("one", func(u *api.UpdateStrategy) { u.AutoRevert = ptr(true) }), nil)
		return err == nil, err
	})
	purge(t, c, "deployed")
	deployed(t, c, 0, api.DeploymentStatusSuccessful)
	if _, err := c.Jobs().TagVersion("deployed", 0, "golden", "the first", nil); err != nil {
		t.Error(err)
	}
	canary := func(u *api.UpdateStrategy) { u.Canary = ptr(1) }
	if _, _, err := c.Jobs().Register(steady("two", canary), nil); err != nil {
		t.Fatal(err)
	}
	d := deployed(t, c, 1, api.DeploymentStatusRunning)
	until(t, "a healthy canary", func() (bool, error) {
		allocs, _, err := c.Deployments().Allocations(d.ID, nil)
		return err == nil && len(allocs) == 1 && allocs[0].DeploymentStatus != nil && allocs[0].DeploymentStatus.Canary &&
			allocs[0].DeploymentStatus.Healthy != nil && *allocs[0].DeploymentStatus.Healthy, err
	})
	if _, _, err := c.Deployments().Pause(d.ID, true, nil); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Deployments().Pause(d.ID, false, nil); err != nil {
		t.Error(err)
	}
	up, _, err := c.Deployments().PromoteAll(d.ID, nil)
	if err != nil || up.EvalID == "" || up.DeploymentModifyIndex == 0 {
		t.Fatalf("%+v, %v", up, err)
	}
	deployed(t, c, 1, api.DeploymentStatusSuccessful)
	if _, _, err := c.Deployments().PromoteAll(d.ID, nil); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("promoted twice: %v", err)
	}
	if job, _, err := c.Jobs().Info("deployed", nil); err != nil || !*job.Stable || *job.Version != 1 {
		t.Errorf("%+v, %v", job, err)
	}
	revert, _, err := c.Jobs().Revert("deployed", 0, ptr(uint64(1)), nil, "", "")
	if err != nil || revert.EvalID == "" {
		t.Fatal(revert, err)
	}
	d = deployed(t, c, 2, api.DeploymentStatusSuccessful)
	if _, _, err := c.Jobs().Stable("deployed", 2, false, nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Jobs().UntagVersion("deployed", "golden", nil); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Deployments().Unblock(d.ID, nil); err == nil {
		t.Error("unblocked")
	}
	list, _, err := c.Deployments().List(nil)
	if err != nil || len(list) < 3 || list[0].ID != d.ID {
		t.Errorf("%d listed, %v", len(list), err)
	}
	// An operator's word, and the end that one makes.
	if _, _, err := c.Jobs().Register(steady("three", func(u *api.UpdateStrategy) { u.HealthCheck = ptr("manual"); u.AutoRevert = ptr(true) }), nil); err != nil {
		t.Fatal(err)
	}
	d = deployed(t, c, 3, api.DeploymentStatusRunning)
	until(t, "an instance", func() (bool, error) {
		allocs, _, err := c.Deployments().Allocations(d.ID, nil)
		if err != nil || len(allocs) == 0 {
			return false, err
		}
		_, _, err = c.Deployments().SetAllocHealth(d.ID, []string{allocs[0].ID}, nil, nil)
		return err == nil, err
	})
	up, _, err = c.Deployments().Fail(d.ID, nil)
	if err != nil || up.RevertedJobVersion == nil || *up.RevertedJobVersion != 1 {
		t.Errorf("%+v, %v", up, err)
	}
	deployed(t, c, 4, api.DeploymentStatusSuccessful)
}
