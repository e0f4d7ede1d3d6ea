package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// startPatience bounds how long the servers may take to lead.
const startPatience = 20 * time.Second

// group is the measured servers.
type group struct {
	cmds   []*exec.Cmd
	addrs  []string
	pools  []*rpc.Pool
	leader string
}

// startGroup runs the servers and waits for a leader.
func startGroup(ctx context.Context, o options) (g *group, err error) {
	g = &group{}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	for range o.servers {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		g.addrs = append(g.addrs, ln.Addr().String())
		if err := ln.Close(); err != nil {
			return nil, err
		}
	}
	for i := range o.servers {
		cmd := exec.Command("/proc/self/exe", "-dir", o.dir, "-serve", fmt.Sprintf("%d,%s", i, strings.Join(g.addrs, ",")))
		cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		g.cmds = append(g.cmds, cmd)
	}
	for range max(1, o.conns) {
		g.pools = append(g.pools, rpc.NewPool(port.Plaintext(), slog.New(slog.DiscardHandler)))
	}
	return g, g.await(ctx)
}

func (g *group) await(ctx context.Context) error {
	for began := time.Now(); time.Since(began) < startPatience && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		for _, addr := range g.addrs {
			soon, cancel := context.WithTimeout(ctx, time.Second)
			r, err := leadsMethod.Call(soon, g.pools[0].At(addr), &msg.Empty{})
			cancel()
			if err == nil && r.Value {
				g.leader = addr
				return nil
			}
		}
	}
	return fmt.Errorf("no server leads after %s", startPatience)
}

func (g *group) stop() {
	for _, p := range g.pools {
		p.Close()
	}
	for _, cmd := range g.cmds {
		_ = cmd.Process.Kill() // only its figures counted
		_ = cmd.Wait()
	}
}

// fill places n allocations, as plans of a thousand on ten thousand nodes.
func (g *group) fill(ctx context.Context, n int) (time.Duration, error) {
	const perPlan, nodes, perJob = 1000, 10_000, 10_000
	began, to := time.Now(), g.pools[0].At(g.leader)
	put := func(body fsm.Body) error {
		data, err := command(body)
		if err == nil {
			_, err = fillMethod.Call(ctx, to, &msg.Chunk{Data: data})
		}
		return err
	}
	ids := make([]string, nodes)
	for i := range ids {
		ids[i] = uuid.NewString()
		node := &model.Node{ID: ids[i], SecretID: ids[i], Name: fmt.Sprint("n", i), Datacenter: "dc1", NodePool: model.DefaultNodePool, Status: model.NodeStatusReady}
		if err := put(&fsm.RegisterNode{Node: node}); err != nil {
			return 0, err
		}
	}
	for at := 0; at < n; at += perPlan {
		job := fmt.Sprint("job-", at/perJob)
		if at%perJob == 0 {
			if err := put(&fsm.RegisterJob{Job: benchJob(job, perJob)}); err != nil {
				return 0, err
			}
		}
		if err := put(&fsm.ApplyPlan{Plan: benchPlan(job, at%perJob, perPlan, ids)}); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func benchJob(id string, count int) *model.Job {
	j := model.NewJob(model.JobTypeBatch)
	j.ID, j.Name, j.Datacenters = id, id, []string{"dc1"}
	t := model.NewTaskGroup(j)
	t.Name, t.Count = "web", count
	task := model.NewTask(t)
	task.Name, task.Driver = "main", "mock"
	t.Tasks = append(t.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, t)
	return j
}

func benchPlan(job string, from, n int, nodes []string) *model.Plan {
	eval := &model.Evaluation{
		ID: uuid.NewString(), Namespace: model.DefaultNamespace, JobID: job, Type: model.JobTypeBatch, Status: model.EvalComplete,
	}
	g := &model.PlanGroup{
		TaskGroup: "web", Metrics: &model.AllocationMetric{NodesEvaluated: len(nodes)},
		Resources: &model.AllocatedResources{Tasks: map[string]*model.AllocatedTaskResources{"main": {
			Cpu: model.AllocatedCpuResources{CpuShares: 100}, Memory: model.AllocatedMemoryResources{MemoryMB: 128},
		}}},
	}
	for i := range n {
		g.Placements = append(g.Placements, &model.Placement{ID: uuid.NewString(), Index: from + i, NodeID: nodes[(from+i)%len(nodes)]})
	}
	return &model.Plan{EvalID: eval.ID, Namespace: eval.Namespace, JobID: job, Groups: []*model.PlanGroup{g}, Eval: eval}
}

// result is what writing showed.
type result struct {
	rate                 float64
	p50, p99, worst, gap time.Duration
	snapshot             string
}

// idsPerWriter is how many rows each writer writes in turn.
const idsPerWriter = 50

// write has the writers write for the time that o says.
func (g *group) write(ctx context.Context, o options) (*result, error) {
	deadline := time.Now().Add(o.length)
	took, at := make([][]time.Duration, o.writers), make([][]time.Time, o.writers)
	errs := make([]error, o.writers+1)
	var wg sync.WaitGroup
	began := time.Now()
	for w := range o.writers {
		wg.Go(func() {
			took[w], at[w], errs[w] = writeUntil(ctx, g.pools[w%len(g.pools)].At(g.leader), deadline)
		})
	}
	r := &result{}
	if o.allocs > 0 {
		time.Sleep(o.length / 4)
		start := time.Now()
		_, errs[o.writers] = snapshotMethod.Call(ctx, g.pools[0].At(g.leader), &msg.Empty{})
		r.snapshot = fmt.Sprintf(" (snapshot of %d allocations meanwhile: %.1f s, %.1f of them while writing)",
			o.allocs, time.Since(start).Seconds(), min(time.Since(start), deadline.Sub(start)).Seconds())
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all, times := slices.Concat(took...), slices.Concat(at...)
	slices.Sort(all)
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		r.gap = max(r.gap, times[i].Sub(times[i-1]))
	}
	r.rate = float64(len(all)) / time.Since(began).Seconds()
	r.p50, r.p99, r.worst = all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
	return r, nil
}

// writeUntil writes one command after the other.
func writeUntil(ctx context.Context, to rpc.Caller, deadline time.Time) (took []time.Duration, at []time.Time, err error) {
	var bodies [][]byte
	for range idsPerWriter {
		body, err := evalCommand(uuid.NewString())
		if err != nil {
			return nil, nil, err
		}
		bodies = append(bodies, body)
	}
	for i := 0; ; i++ {
		began := time.Now()
		if began.After(deadline) {
			return took, at, nil
		}
		if _, err := writeMethod.Call(ctx, to, &msg.Chunk{Data: bodies[i%len(bodies)]}); err != nil {
			return nil, nil, err
		}
		now := time.Now()
		took, at = append(took, now.Sub(began)), append(at, now)
	}
}
