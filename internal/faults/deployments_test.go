package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// service is a version of a job of six whose update goes by health.
func (s *Site) service(script string, change func(u *model.UpdateStrategy)) *model.Job {
	job := s.Script("rolls", model.JobTypeService, "raw_exec", 6, script)
	u := model.NewUpdateStrategy()
	u.MinHealthyTime, u.HealthyDeadline, u.ProgressDeadline = time.Second, 15*time.Second, 20*time.Second
	if change != nil {
		change(u)
	}
	job.Update, job.TaskGroups[0].Update = nil, u
	return job
}

// behead kills the leader, and returns an agent that answers, and a function that starts
// the dead one again.
func behead(t *testing.T, s *Site, servers []*Agent) (api *Agent, raise func()) {
	t.Helper()
	leader, err := servers[0].Leader()
	if err != nil {
		t.Fatal(err)
	}
	leader.Signal(syscall.SIGKILL)
	for _, a := range servers {
		if a != leader {
			api = a
		}
	}
	return api, func() {
		leader.Start()
		s.Await("the killed server is back", Patience, func() error { _, _, err := leader.API.Jobs().List(short(), nil); return err })
	}
}

// deployed waits until the deployment of a version has a status. At no time are fewer
// than least instances to be seen.
func deployed(s *Site, api *Agent, version uint64, status string, least int) {
	s.t.Helper()
	fewest := 6
	took := s.Await(fmt.Sprintf("the deployment of version %d is %s", version, status), 2*Patience, func() error {
		list, _, err := api.API.Jobs().Deployments(short(), "rolls", false, nil)
		if err != nil {
			return err
		}
		n := 0
		allocs, err := api.Allocs("rolls")
		if err != nil {
			return err
		}
		for _, a := range allocs {
			if well(a) {
				n++
			}
		}
		fewest = min(fewest, n)
		for _, d := range list {
			if d.JobVersion == version {
				if d.Status == status {
					return nil
				}
				return fmt.Errorf("it is %s: %s; %d are healthy", d.Status, d.StatusDescription, n)
			}
		}
		return fmt.Errorf("there is none")
	})
	s.t.Logf("version %d: %s after %v, at least %d healthy", version, status, took.Round(time.Millisecond), fewest)
	if fewest < least {
		s.t.Errorf("only %d of 6 were healthy during the update, want %d", fewest, least)
	}
}

// well tells whether an instance is healthy, or was before a deployment took it over as
// it runs, of which nothing is said yet.
func well(a *model.AllocListStub) bool {
	if a.ClientStatus != model.ClientRunning {
		return false
	}
	if h := a.DeploymentStatus; h != nil && h.Healthy != nil {
		return *h.Healthy
	}
	st := a.TaskStates["t"]
	return st != nil && st.State == model.TaskRunning && time.Since(st.StartedAt) > 2*time.Second
}

// TestDeployments: a rolling update, one with canaries, and one that crashes and goes
// back, each with its leader killed in the middle: what is promised is kept, and the end
// reached.
func TestDeployments(t *testing.T) {
	t.Parallel()
	s, servers, _ := cluster(t)
	first := s.service(Forever, nil)
	s.Await("the first version is registered", Patience, func() error { // as soon as the level is there
		_, err := servers[0].API.Jobs().Register(short(), first, nil)
		return err
	})
	servers[0].AwaitRunning("rolls", 6)
	deployed(s, servers[0], 0, model.DeploymentSuccessful, 0)

	servers[0].Register(s.service("VERSION=2; "+Forever, nil))
	s.Await("the update has begun", Patience, func() error { return replaced(servers[0], 1) })
	api, raise := behead(t, s, servers)
	deployed(s, api, 1, model.DeploymentSuccessful, 5)
	raise()

	servers[0].Register(s.service("VERSION=3; "+Forever, func(u *model.UpdateStrategy) { u.Canary, u.MaxParallel = 2, 2 }))
	s.Await("the canaries run", Patience, func() error { return replaced(servers[0], 2) })
	api, raise = behead(t, s, servers)
	s.Await("the canaries are promoted", Patience, func() error {
		d, _, err := api.API.Jobs().Deployment(short(), "rolls", nil)
		if err == nil {
			_, err = api.API.Deployments().Promote(short(), d.ID, nil, nil)
		}
		return err
	})
	deployed(s, api, 2, model.DeploymentSuccessful, 4)
	raise()

	servers[0].Register(s.service("exit 1", func(u *model.UpdateStrategy) { u.AutoRevert = true }))
	s.Await("an instance has crashed", Patience, func() error {
		d, _, err := servers[0].API.Jobs().Deployment(short(), "rolls", nil)
		if err == nil && d.TaskGroups["g"].UnhealthyAllocs == 0 {
			err = fmt.Errorf("nothing is unhealthy")
		}
		return err
	})
	api, raise = behead(t, s, servers)
	deployed(s, api, 4, model.DeploymentSuccessful, 5)
	raise()
	deployed(s, servers[0], 3, model.DeploymentFailed, 0)
	servers[0].AwaitRunning("rolls", 6)
	servers[0].AwaitGone("rolls")
}

// replaced tells whether some instances are of the newest version.
func replaced(api *Agent, n int) error {
	job, _, err := api.API.Jobs().Get(short(), "rolls", nil)
	if err != nil {
		return err
	}
	allocs, err := api.Allocs("rolls")
	if err != nil {
		return err
	}
	have := 0
	for _, a := range allocs {
		if a.JobVersion == job.Version && a.ClientStatus == model.ClientRunning {
			have++
		}
	}
	if have < n {
		return fmt.Errorf("%d of version %d run", have, job.Version)
	}
	return nil
}
