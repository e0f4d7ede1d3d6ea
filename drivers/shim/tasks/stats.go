package tasks

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/plugins"
)

const (
	// minInterval keeps a mistaken interval from burning a core.
	minInterval = 100 * time.Millisecond
	// defaultInterval is used for none.
	defaultInterval = time.Second
	// maxPIDs bounds the processes that one sample lists one by one.
	maxPIDs = 128
)

// SetTopology tells the speed of a core, for the conversion of time into MHz.
func (s *Set) SetTopology(t *plugins.Topology) {
	if t == nil {
		return
	}
	var sum, n uint64
	for _, c := range t.Cores {
		if speed := max(c.BaseSpeed, c.GuessedSpeed); speed > 0 && !c.Disabled {
			sum += speed
			n++
		}
	}
	if t.OverrideTotalMHz > 0 && len(t.Cores) > 0 {
		sum, n = t.OverrideTotalMHz, uint64(len(t.Cores))
	}
	if n > 0 {
		s.mu.Lock()
		s.mhz = float64(sum) / float64(n)
		s.mu.Unlock()
	}
}

func (s *Set) coreMHz() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mhz > 0 {
		return s.mhz
	}
	return kernelMHz()
}

// kernelMHz is the kernel's word on the first core, or 1000 if it says nothing.
var kernelMHz = sync.OnceValue(func() float64 {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return 1000
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if key, value, ok := strings.Cut(in.Text(), ":"); ok && strings.TrimSpace(key) == "cpu MHz" {
			if mhz, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && mhz > 0 {
				return mhz
			}
		}
	}
	return 1000
})

// TaskStats implements plugins.TaskObserver. Rates are those of the time since
// the sample before, so that the first one comes after one interval.
func (s *Set) TaskStats(ctx context.Context, id string, interval time.Duration) (<-chan *plugins.TaskUsage, error) {
	t, err := s.Get(id)
	if err != nil {
		return nil, err
	}
	if interval <= 0 {
		interval = defaultInterval
	}
	out := make(chan *plugins.TaskUsage)
	go func() {
		defer close(out)
		m := meter{mhz: s.coreMHz(), pids: map[int]cpuTime{}}
		m.sample(t)
		tick := time.NewTicker(max(interval, minInterval))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.Shim.Done():
				return
			case <-tick.C:
			}
			select {
			case out <- m.sample(t):
			case <-ctx.Done():
				return
			case <-t.Shim.Done():
				return
			}
		}
	}()
	return out, nil
}

// cpuTime is processor time used until at.
type cpuTime struct {
	total, user, system time.Duration
	start               uint64 // of the process, so that a reused id starts anew
}

// meter turns counters into rates.
type meter struct {
	mhz  float64
	at   time.Time
	all  cpuTime
	pids map[int]cpuTime
}

func (m *meter) sample(t *Task) *plugins.TaskUsage {
	now := time.Now()
	elapsed := now.Sub(m.at)
	processes := taskProcesses(t)
	out := &plugins.TaskUsage{Timestamp: now, ByPID: map[string]plugins.Usage{}}
	seen := make(map[int]cpuTime, len(processes))
	var sum cpuTime
	var rss int64
	for _, p := range processes {
		used := cpuTime{p.User + p.System, p.User, p.System, p.Start}
		sum.total, sum.user, sum.system = sum.total+used.total, sum.user+used.user, sum.system+used.system
		rss += p.RSS
		if len(seen) >= maxPIDs {
			continue
		}
		seen[p.PID] = used
		before := m.pids[p.PID]
		if before.start != p.Start {
			before = cpuTime{}
		}
		out.ByPID[strconv.Itoa(p.PID)] = plugins.Usage{
			CPU:    m.rate(used, before, elapsed),
			Memory: plugins.MemoryUsage{RSS: uint64(p.RSS), Measured: []string{plugins.MeasuredRSS}},
		}
	}
	used, mem, throttle := sum, plugins.MemoryUsage{RSS: uint64(rss), Measured: []string{plugins.MeasuredRSS}}, cgroup.Usage{ThrottledPeriods: -1}
	if u, ok := t.Scope.Usage(); ok {
		throttle = u
		if u.CPUTotal >= 0 {
			used = cpuTime{total: u.CPUTotal, user: max(0, u.CPUUser), system: max(0, u.CPUSystem)}
		}
		mem = memoryOf(u, rss)
	}
	out.Total = plugins.Usage{CPU: m.rate(used, m.all, elapsed), Memory: mem}
	if throttle.ThrottledPeriods >= 0 {
		c := &out.Total.CPU
		c.ThrottledPeriods, c.ThrottledTime = uint64(throttle.ThrottledPeriods), uint64(max(0, throttle.ThrottledTime))
		c.Measured = append(c.Measured, plugins.MeasuredThrottledPeriods, plugins.MeasuredThrottledTime)
	}
	m.at, m.all, m.pids = now, used, seen
	return out
}

// taskProcesses are those of the task's control group, or of its tree.
func taskProcesses(t *Task) []shim.Process {
	if t.Scope.KillDir() == "" {
		return t.Shim.Processes()
	}
	var all []shim.Process
	for _, pid := range t.Scope.PIDs() {
		if p, ok := shim.ReadProcess(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

func (m *meter) rate(now, before cpuTime, elapsed time.Duration) plugins.CPUUsage {
	percent := func(a, b time.Duration) float64 {
		if m.at.IsZero() || elapsed <= 0 || a < b {
			return 0
		}
		return 100 * float64(a-b) / float64(elapsed)
	}
	u := plugins.CPUUsage{
		UserMode: percent(now.user, before.user), SystemMode: percent(now.system, before.system),
		Percent: percent(now.total, before.total),
		Measured: []string{
			plugins.MeasuredSystemMode, plugins.MeasuredUserMode, plugins.MeasuredTotalTicks, plugins.MeasuredPercent,
		},
	}
	u.TotalTicks = u.Percent / 100 * m.mhz
	return u
}

// memoryOf names what the control group measured. A group that does not count
// memory leaves the sum of the processes' resident sets, and so does a young
// one: the kernel updates the group's own figure only every other second.
func memoryOf(u cgroup.Usage, rss int64) plugins.MemoryUsage {
	if u.RSS <= 0 {
		u.RSS = rss
	}
	var m plugins.MemoryUsage
	for _, f := range []struct {
		to   *uint64
		from int64
		name string
	}{
		{&m.RSS, u.RSS, plugins.MeasuredRSS},
		{&m.Cache, u.Cache, plugins.MeasuredCache},
		{&m.Swap, u.Swap, plugins.MeasuredSwap},
		{&m.Usage, u.Usage, plugins.MeasuredUsage},
		{&m.MaxUsage, u.MaxUsage, plugins.MeasuredMaxUsage},
		{&m.KernelUsage, u.Kernel, plugins.MeasuredKernelUsage},
		{&m.KernelMaxUsage, u.KernelMax, plugins.MeasuredKernelMaxUsage},
	} {
		if f.from >= 0 {
			*f.to = uint64(f.from)
			m.Measured = append(m.Measured, f.name)
		}
	}
	return m
}
