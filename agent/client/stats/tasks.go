package stats

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

const (
	// Linger is how long a task is measured after the last question.
	Linger = 30 * time.Second
	// interval is the pace of measurements while someone asks.
	interval = time.Second
	// patience bounds the wait for a first measurement.
	patience = 3 * time.Second
)

// Source sends a task's usage; *driverset.Driver is one.
type Source interface {
	TaskStats(ctx context.Context, id string, interval time.Duration) (<-chan *plugins.TaskUsage, error)
}

// Tasks measures tasks while someone asks.
type Tasks struct {
	mu     sync.Mutex
	probes map[string]*probe
	wg     sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
}

// probe is the measurement of one task.
type probe struct {
	first chan struct{} // closed when latest or err is set
	once  sync.Once

	mu     sync.Mutex
	latest *plugins.TaskUsage
	err    error
	idle   *time.Timer
	cancel context.CancelFunc
}

// NewTasks measures nothing yet.
func NewTasks() *Tasks {
	ctx, cancel := context.WithCancel(context.Background())
	return &Tasks{probes: map[string]*probe{}, ctx: ctx, cancel: cancel}
}

// Close ends all measurements.
func (t *Tasks) Close() {
	t.cancel()
	t.wg.Wait()
}

// Read is the usage of a task, by its driver's id.
func (t *Tasks) Read(ctx context.Context, source Source, id string) (*msg.TaskResourceUsage, error) {
	p := t.probe(source, id)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.first:
	case <-ctx.Done():
		return nil, model.Errorf(model.CodeUnavailable, "the driver does not measure task %s", id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest == nil {
		return nil, model.Errorf(model.CodeUnavailable, "task %s is not measured: %w", id, p.err)
	}
	return usageOf(p.latest), nil
}

// probe is the running measurement of a task; a new one if there is none.
func (t *Tasks) probe(source Source, id string) *probe {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.probes[id]; p != nil && p.idle.Reset(Linger) {
		return p
	}
	ctx, cancel := context.WithCancel(t.ctx)
	p := &probe{first: make(chan struct{}), cancel: cancel, idle: time.AfterFunc(Linger, cancel)}
	t.probes[id] = p
	t.wg.Go(func() {
		defer cancel()
		p.run(ctx, source, id)
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.probes[id] == p {
			delete(t.probes, id)
		}
	})
	return p
}

func (p *probe) run(ctx context.Context, source Source, id string) {
	defer p.once.Do(func() { close(p.first) })
	defer p.idle.Stop()
	usages, err := source.TaskStats(ctx, id, interval)
	if err != nil {
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		return
	}
	for u := range usages {
		p.mu.Lock()
		p.latest = u
		p.mu.Unlock()
		p.once.Do(func() { close(p.first) })
	}
}

// usageOf is a driver's word in the form of the API.
func usageOf(u *plugins.TaskUsage) *msg.TaskResourceUsage {
	out := &msg.TaskResourceUsage{
		ResourceUsage: resourceUsage(u.Total), Timestamp: u.Timestamp.UnixNano(), Pids: make(map[string]*msg.ResourceUsage, len(u.ByPID)),
	}
	for pid, usage := range u.ByPID {
		out.Pids[pid] = resourceUsage(usage)
	}
	return out
}

func resourceUsage(u plugins.Usage) *msg.ResourceUsage {
	return &msg.ResourceUsage{
		CpuStats: &msg.CpuStats{
			SystemMode: number(u.CPU.SystemMode), UserMode: number(u.CPU.UserMode), TotalTicks: number(u.CPU.TotalTicks),
			Percent: number(u.CPU.Percent), ThrottledPeriods: u.CPU.ThrottledPeriods, ThrottledTime: u.CPU.ThrottledTime, Measured: u.CPU.Measured,
		},
		MemoryStats: &msg.MemoryStats{
			RSS: u.Memory.RSS, Cache: u.Memory.Cache, Swap: u.Memory.Swap, Usage: u.Memory.Usage, MaxUsage: u.Memory.MaxUsage,
			KernelUsage: u.Memory.KernelUsage, KernelMaxUsage: u.Memory.KernelMaxUsage, Measured: u.Memory.Measured,
		},
		DeviceStats: []map[string]any{},
	}
}

// number is v, or 0 for what JSON cannot carry: third parties send NaN.
func number(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// Sum adds up the usage of an allocation's tasks.
func Sum(tasks map[string]*msg.TaskResourceUsage, at time.Time) *msg.AllocResourceUsage {
	sum := resourceUsage(plugins.Usage{})
	for _, t := range tasks {
		c, m := t.ResourceUsage.CpuStats, t.ResourceUsage.MemoryStats
		addCPU(sum.CpuStats, c)
		addMemory(sum.MemoryStats, m)
	}
	return &msg.AllocResourceUsage{ResourceUsage: sum, Tasks: tasks, Timestamp: at.UnixNano()}
}

func addCPU(to, c *msg.CpuStats) {
	to.SystemMode += c.SystemMode
	to.UserMode += c.UserMode
	to.TotalTicks += c.TotalTicks
	to.Percent += c.Percent
	to.ThrottledPeriods += c.ThrottledPeriods
	to.ThrottledTime += c.ThrottledTime
	if len(to.Measured) == 0 {
		to.Measured = c.Measured
	}
}

func addMemory(to, m *msg.MemoryStats) {
	to.RSS += m.RSS
	to.Cache += m.Cache
	to.Swap += m.Swap
	to.Usage += m.Usage
	to.MaxUsage += m.MaxUsage
	to.KernelUsage += m.KernelUsage
	to.KernelMaxUsage += m.KernelMaxUsage
	if len(to.Measured) == 0 {
		to.Measured = m.Measured
	}
}
