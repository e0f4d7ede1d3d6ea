package faults

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
)

// Script is a job of count tasks that run a shell script and carry the site's
// mark. Its tasks are restarted and replaced by nobody, unless the job is
// changed.
func (s *Site) Script(id, kind, driver string, count int, script string) *model.Job {
	job := model.NewJob(kind)
	job.ID, job.Name, job.Datacenters = id, id, []string{"*"}
	g := model.NewTaskGroup(job)
	g.Name, g.Count = "g", count
	g.RestartPolicy.Attempts, g.RestartPolicy.Mode = 0, "fail"
	if g.ReschedulePolicy != nil {
		g.ReschedulePolicy = &model.ReschedulePolicy{}
	}
	t := model.NewTask(g)
	t.Name, t.Driver = "t", driver
	t.Config = map[string]any{"command": "/bin/sh", "args": []string{"-c", script}}
	t.Env = map[string]string{Mark: s.tag}
	t.KillTimeout = 200 * time.Millisecond
	t.Resources.CPU, t.Resources.MemoryMB = 20, 16
	t.LogConfig.MaxFiles, t.LogConfig.MaxFileSizeMB = 1, 1
	g.EphemeralDisk.SizeMB = 10
	g.Tasks = append(g.Tasks, t)
	job.TaskGroups = append(job.TaskGroups, g)
	return job
}

// Forever is a script that runs until it is ended.
const Forever = "exec sleep 100000"

// Register registers a job through a.
func (a *Agent) Register(job *model.Job) {
	a.site.t.Helper()
	if _, err := a.API.Jobs().Register(short(), job, nil); err != nil {
		a.site.t.Fatalf("register %s through %s: %v", job.ID, a.Name, err)
	}
}

// Stop stops a job through a.
func (a *Agent) Stop(id string) {
	a.site.t.Helper()
	if _, err := a.API.Jobs().Deregister(short(), id, false, true, nil); err != nil {
		a.site.t.Fatalf("stop %s through %s: %v", id, a.Name, err)
	}
}

// Allocs lists a job's allocations that should run.
func (a *Agent) Allocs(job string) ([]*model.AllocListStub, error) {
	all, _, err := a.API.Jobs().Allocations(short(), job, true, nil)
	var out []*model.AllocListStub
	for _, x := range all {
		if x.DesiredStatus == model.DesiredRun {
			out = append(out, x)
		}
	}
	return out, err
}

// Running counts a job's running allocations by node, if there are count of
// them in all.
func (a *Agent) Running(job string, count int) (map[string]int, error) {
	allocs, err := a.Allocs(job)
	if err != nil {
		return nil, err
	}
	nodes, n := map[string]int{}, 0
	for _, x := range allocs {
		if x.ClientStatus == model.ClientRunning {
			nodes[x.NodeName]++
			n++
		}
	}
	if n != count {
		return nil, fmt.Errorf("%d of %d run: %v", n, count, nodes)
	}
	return nodes, nil
}

// AwaitRunning waits until count allocations of a job run, each with a process
// that Tasks finds: a task counts as running before it has replaced its shim.
// It returns how many run on which node.
func (a *Agent) AwaitRunning(job string, count int) (nodes map[string]int) {
	a.site.t.Helper()
	a.site.Await(fmt.Sprintf("job %s runs", job), Patience, func() (err error) {
		if nodes, err = a.Running(job, count); err == nil {
			err = a.haveProcesses(job)
		}
		return err
	})
	return nodes
}

// haveProcesses checks that each running allocation of a job has a process.
func (a *Agent) haveProcesses(job string) error {
	allocs, err := a.Allocs(job)
	if err != nil {
		return err
	}
	found := map[string]bool{}
	for task := range a.site.Tasks() {
		id, _, _ := strings.Cut(task, "/")
		found[id] = true
	}
	for _, x := range allocs {
		if x.ClientStatus == model.ClientRunning && !found[string(x.ID)] {
			return fmt.Errorf("allocation %s runs without a process", x.ID)
		}
	}
	return nil
}

// AwaitGone stops jobs and waits until nothing of them is left.
func (a *Agent) AwaitGone(jobs ...string) {
	a.site.t.Helper()
	for _, id := range jobs {
		a.Stop(id)
	}
	a.site.Await("all tasks have ended", Patience, a.site.Left)
}

// ExitCode is the exit code that the only allocation of a job reports.
func (a *Agent) ExitCode(job string) (int, error) {
	allocs, _, err := a.API.Jobs().Allocations(short(), job, true, nil)
	if err != nil {
		return 0, err
	}
	if len(allocs) != 1 {
		return 0, fmt.Errorf("job %s has %d allocations", job, len(allocs))
	}
	st := allocs[0].TaskStates["t"]
	if st == nil || st.State != model.TaskDead {
		return 0, fmt.Errorf("job %s: the task has not ended: %s", job, allocs[0].ClientStatus)
	}
	for _, e := range st.Events {
		if e.Type == model.EventTerminated {
			return e.ExitCode, nil
		}
	}
	return 0, errors.New("no event tells the exit code")
}
