package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// Targets of the issue; a figure at most as large is good.
const (
	rawP50MS, rawP99MS    = 40, 120
	execP50MS             = 80
	hundredMS             = 2500
	idleMB, idleCPU       = 60, 1
	perTaskMB             = 1.5
	taskMHz, taskMemoryMB = 10, 10
	waitBlock             = 20 * time.Second
	killTimeout           = 50 * time.Millisecond
	warmUps               = 3
	percentOfFullCPU      = 100
	millisecondsPerFloat  = float64(time.Millisecond)
)

type measurer struct {
	agent    *agent
	size     scale
	profiles string
	serial   int
}

// sleeper is a job of count tasks that sleep.
func (m *measurer) sleeper(driver string, count int) *model.Job {
	m.serial++
	id := fmt.Sprintf("bench-%s-%d", driver, m.serial)
	job := model.NewJob(model.JobTypeService)
	job.ID, job.Name, job.Datacenters = id, id, []string{"*"}
	group := model.NewTaskGroup(job)
	group.Name, group.Count = "g", count
	task := model.NewTask(group)
	task.Name, task.Driver = "t", driver
	// sleep as the first process of a pid namespace ignores signals.
	task.KillTimeout = killTimeout
	task.Config = map[string]any{"command": "/bin/sleep", "args": []string{"3600"}}
	task.Resources.CPU, task.Resources.MemoryMB = taskMHz, taskMemoryMB
	group.Tasks = append(group.Tasks, task)
	job.TaskGroups = append(job.TaskGroups, group)
	return job
}

// submit registers a job and waits by blocking queries until all of its tasks
// are reported running. The time counts from before the request.
func (m *measurer) submit(ctx context.Context, job *model.Job) (time.Duration, error) {
	start := time.Now()
	reg, err := m.agent.api.Jobs().Register(ctx, job, nil)
	if err != nil {
		return 0, err
	}
	err = m.until(ctx, job.ID, reg.JobModifyIndex, func(allocs []*model.AllocListStub) (bool, error) {
		n := 0
		for _, a := range allocs {
			switch a.ClientStatus {
			case model.ClientRunning:
				n++
			case model.ClientFailed, model.ClientLost:
				return false, fmt.Errorf("job %s: an allocation is %s: %s", job.ID, a.ClientStatus, a.ClientDescription)
			}
		}
		return n == job.TaskGroups[0].Count, nil
	})
	return time.Since(start), err
}

// until blocks on a job's allocations until they are as wanted.
func (m *measurer) until(ctx context.Context, id string, index uint64, good func([]*model.AllocListStub) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		allocs, meta, err := m.agent.api.Jobs().Allocations(ctx, id, false, &api.Query{Index: index, Wait: waitBlock})
		if err != nil {
			return err
		}
		if done, err := good(allocs); done || err != nil {
			return err
		}
		index = meta.Index
	}
}

// remove stops and forgets a job and waits until its tasks have ended.
func (m *measurer) remove(ctx context.Context, id string) error {
	if _, err := m.agent.api.Jobs().Deregister(ctx, id, false, true, nil); err != nil {
		return err
	}
	err := m.until(ctx, id, 0, func(allocs []*model.AllocListStub) (bool, error) {
		return !slices.ContainsFunc(allocs, func(a *model.AllocListStub) bool {
			return a.ClientStatus == model.ClientPending || a.ClientStatus == model.ClientRunning
		}), nil
	})
	if err != nil {
		return err
	}
	_, err = m.agent.api.Jobs().Deregister(ctx, id, true, true, nil)
	return err
}

// drivers are those to measure.
func (m *measurer) drivers(ctx context.Context) ([]string, error) {
	out := []string{"raw_exec"}
	ok, err := m.agent.driver(ctx, "exec")
	if err != nil {
		return nil, err
	}
	if !ok {
		fmt.Println("| exec | not offered here | | |")
		return out, nil
	}
	return append(out, "exec"), nil
}

// latency measures submissions one after the other on an otherwise idle agent.
func (m *measurer) latency(ctx context.Context) error {
	drivers, err := m.drivers(ctx)
	if err != nil {
		return err
	}
	for _, driver := range drivers {
		profile := m.profile(ctx, driver)
		took, err := m.submissions(ctx, driver)
		if err = errors.Join(err, profile()); err != nil {
			return err
		}
		slices.Sort(took)
		at := func(p float64) float64 {
			return float64(took[min(len(took)-1, int(p*float64(len(took))))]) / millisecondsPerFloat
		}
		p50, p99 := float64(rawP50MS), float64(rawP99MS)
		if driver == "exec" {
			p50 = execP50MS
		}
		row(fmt.Sprintf("%s, submit → running, p50 of %d", driver, len(took)), at(0.50), p50, "ms")
		if driver == "exec" {
			fmt.Printf("| %s, submit → running, p99 | %.4g ms | | |\n", driver, at(0.99))
			continue
		}
		row(driver+", submit → running, p99", at(0.99), p99, "ms")
	}
	return nil
}

func (m *measurer) submissions(ctx context.Context, driver string) ([]time.Duration, error) {
	var took []time.Duration
	for i := range m.size.submissions + warmUps {
		job := m.sleeper(driver, 1)
		d, err := m.submit(ctx, job)
		if err != nil {
			return nil, err
		}
		if i >= warmUps {
			took = append(took, d)
		}
		if err := m.remove(ctx, job.ID); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// hundred measures one job of many tasks.
func (m *measurer) hundred(ctx context.Context) error {
	drivers, err := m.drivers(ctx)
	if err != nil {
		return err
	}
	for _, driver := range drivers {
		job := m.sleeper(driver, m.size.tasks)
		d, err := m.submit(ctx, job)
		if err != nil {
			return err
		}
		row(fmt.Sprintf("%s, %d tasks of one job running", driver, m.size.tasks), float64(d)/millisecondsPerFloat, hundredMS, "ms")
		if err := m.remove(ctx, job.ID); err != nil {
			return err
		}
	}
	return nil
}

// memory measures what the agent costs idle, and what each task adds.
func (m *measurer) memory(ctx context.Context) error {
	if err := sleep(ctx, m.size.settle); err != nil {
		return err
	}
	before, err := m.agent.usage()
	if err != nil {
		return err
	}
	if err := sleep(ctx, m.size.idle); err != nil {
		return err
	}
	idle, err := m.agent.usage()
	if err != nil {
		return err
	}
	share := percentOfFullCPU * (idle.cpu - before.cpu).Seconds() / m.size.idle.Seconds()
	row(fmt.Sprintf("idle PSS, %d processes (agent %.1f, drivers %.1f)", idle.processes, idle.agent, idle.drivers), idle.total(), idleMB, "MB")
	row(fmt.Sprintf("idle CPU over %s, share of a core", m.size.idle), share, idleCPU, "%")
	drivers, err := m.drivers(ctx)
	if err != nil {
		return err
	}
	for _, driver := range drivers {
		if err := m.perTask(ctx, driver); err != nil {
			return err
		}
	}
	return nil
}

// perTask compares the memory with one task to that with many.
func (m *measurer) perTask(ctx context.Context, driver string) error {
	first := m.sleeper(driver, 1)
	if _, err := m.submit(ctx, first); err != nil {
		return err
	}
	if err := sleep(ctx, m.size.settle); err != nil {
		return err
	}
	one, err := m.agent.usage()
	if err != nil {
		return err
	}
	more := m.sleeper(driver, m.size.extra)
	if _, err := m.submit(ctx, more); err != nil {
		return err
	}
	if err := sleep(ctx, m.size.settle); err != nil {
		return err
	}
	all, err := m.agent.usage()
	if err != nil {
		return err
	}
	n := float64(m.size.extra)
	row(fmt.Sprintf("%s, PSS per further task, of %d (agent %.2f, drivers %.2f, shims %.2f)", driver, m.size.extra,
		(all.agent-one.agent)/n, (all.drivers-one.drivers)/n, (all.shims-one.shims)/n), (all.total()-one.total())/n, perTaskMB, "MB")
	return errors.Join(m.remove(ctx, first.ID), m.remove(ctx, more.ID))
}

// profile has the agent write a CPU profile while something is measured; the
// returned function waits for it.
func (m *measurer) profile(ctx context.Context, name string) func() error {
	if m.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			in, err := m.agent.api.Stream(ctx, "/debug/pprof/profile?seconds=8", nil)
			if err != nil {
				return err
			}
			defer in.Close()
			out, err := os.Create(filepath.Join(m.profiles, name+".pprof"))
			if err != nil {
				return err
			}
			_, err = io.Copy(out, in)
			return errors.Join(err, out.Close())
		}()
	}()
	return func() error { return <-done }
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
