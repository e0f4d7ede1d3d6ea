package client

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/agent/client/alloc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

const (
	// scrapePatience bounds what one scrape waits for: scrapers give up after ten
	// seconds.
	scrapePatience = 4 * time.Second
	// scrapeReaders bounds the tasks asked at a time.
	scrapeReaders = 16
)

// nodeLabels and taskLabels are those that dashboards of the Nomad API select by.
var (
	nodeLabels = []string{"datacenter", "host", "node_class", "node_id", "node_pool", "node_scheduling_eligibility", "node_status"}
	taskLabels = []string{"alloc_id", "host", "job", "namespace", "task", "task_group"}
)

// figures is the client's prometheus.Collector. Everything is derived at a
// scrape; an agent that nobody scrapes measures nothing.
type figures struct{ c *Client }

// Collector gives the figures of this node, named as dashboards of the Nomad API
// read them: what is allocated, and as configured what the machine and each task
// use.
func (c *Client) Collector() prometheus.Collector { return &figures{c} }

// Describe implements prometheus.Collector: what there is depends on the machine.
func (f *figures) Describe(chan<- *prometheus.Desc) {}

// scrape is one collection.
type scrape struct {
	out    chan<- prometheus.Metric
	node   *model.Node
	labels []string // values of nodeLabels
}

func (s *scrape) gauge(name, help string, value float64) { s.gaugeOf(name, help, "", "", value) }

// gaugeOf is a gauge of the node with one more label ("" = none).
func (s *scrape) gaugeOf(name, help, label, of string, value float64) {
	names, values := nodeLabels, s.labels
	if label != "" {
		names, values = append([]string{label}, names...), append([]string{of}, values...)
	}
	d := prometheus.NewDesc("nomad_client_"+name, help, names, nil)
	s.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, values...)
}

// Collect implements prometheus.Collector.
func (f *figures) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	n, status := f.c.Node(), model.NodeStatusInit
	if _, server := f.c.Servers(); server != "" {
		status = model.NodeStatusReady
	}
	s := &scrape{out: out, node: n, labels: []string{
		n.Datacenter, n.Name, n.NodeClass, n.ID, n.NodePool, n.SchedulingEligibility, status,
	}}
	runners := f.c.allocs.All()
	s.allocations(runners)
	if f.c.cfg.PublishNode {
		f.host(ctx, s)
	}
	if f.c.cfg.PublishAllocs {
		f.tasks(ctx, s, runners)
	}
}

// allocations counts what is here and what it was given.
func (s *scrape) allocations(runners []*alloc.Runner) {
	var cpu, memory, disk int64
	states := map[string]int{"blocked": 0, "migrating": 0, "pending": 0, "running": 0, "start": 0, "terminal": 0}
	for _, r := range runners {
		states[stateOf(r)]++
		a := r.Assigned().Alloc
		if !r.EndedAt().IsZero() || a.AllocatedResources == nil {
			continue
		}
		disk += a.AllocatedResources.Shared.DiskMB
		for _, t := range a.AllocatedResources.Tasks {
			cpu += t.Cpu.CpuShares
			memory += t.Memory.MemoryMB
		}
	}
	for state, count := range states {
		s.gauge("allocations_"+state, "Allocations on this node: "+state+".", float64(count))
	}
	have, kept := s.node.NodeResources, s.node.ReservedResources
	s.gauge("allocated_cpu", "MHz given to tasks.", float64(cpu))
	s.gauge("allocated_memory", "MB of memory given to tasks.", float64(memory))
	s.gauge("allocated_disk", "MB of disk given to tasks.", float64(disk))
	s.gauge("unallocated_cpu", "MHz that tasks may still get.", float64(have.Cpu.CpuShares-int64(kept.Cpu.CpuShares)-cpu))
	s.gauge("unallocated_memory", "MB of memory that tasks may still get.", float64(have.Memory.MemoryMB-int64(kept.Memory.MemoryMB)-memory))
	s.gauge("unallocated_disk", "MB of disk that tasks may still get.", float64(have.Disk.DiskMB-int64(kept.Disk.DiskMB)-disk))
}

// stateOf names what an allocation counts as.
func stateOf(r *alloc.Runner) string {
	last := r.Status()
	switch {
	case !r.EndedAt().IsZero():
		return "terminal"
	case last == nil || last.ClientStatus == model.ClientPending:
		return "pending"
	case last.ClientStatus == model.ClientRunning:
		return "running"
	}
	return "terminal"
}

// host gives the use of the machine.
func (f *figures) host(ctx context.Context, s *scrape) {
	h, err := f.c.host.Read(ctx)
	if err != nil {
		f.c.log.Warn("the machine is not measured", "error", err)
		return
	}
	s.gauge("uptime", "Seconds since the machine started.", float64(h.Uptime))
	s.gauge("host_memory_total", "Bytes of memory.", float64(h.Memory.Total))
	s.gauge("host_memory_available", "Bytes of memory that processes may still get.", float64(h.Memory.Available))
	s.gauge("host_memory_used", "Bytes of memory in use.", float64(h.Memory.Used))
	s.gauge("host_memory_free", "Bytes of memory that nothing uses.", float64(h.Memory.Free))
	for _, c := range h.CPU {
		s.gaugeOf("host_cpu_total", "Percent of a core's time in use.", "cpu", c.CPU, c.Total)
		s.gaugeOf("host_cpu_total_percent", "Percent of a core's time in use.", "cpu", c.CPU, c.TotalPercent)
		s.gaugeOf("host_cpu_user", "Percent of a core's time in user space.", "cpu", c.CPU, c.User)
		s.gaugeOf("host_cpu_system", "Percent of a core's time in the kernel.", "cpu", c.CPU, c.System)
		s.gaugeOf("host_cpu_idle", "Percent of a core's time idle.", "cpu", c.CPU, c.Idle)
	}
	s.gauge("host_cpu_total_ticks", "MHz of all cores in use.", h.CPUTicksConsumed)
	for _, d := range h.DiskStats {
		s.gaugeOf("host_disk_size", "Bytes of a file system.", "disk", d.Device, float64(d.Size))
		s.gaugeOf("host_disk_used", "Bytes in use.", "disk", d.Device, float64(d.Used))
		s.gaugeOf("host_disk_available", "Bytes available.", "disk", d.Device, float64(d.Available))
		s.gaugeOf("host_disk_used_percent", "Percent of the bytes in use.", "disk", d.Device, d.UsedPercent)
		s.gaugeOf("host_disk_inodes_percent", "Percent of the inodes in use.", "disk", d.Device, d.InodesUsedPercent)
	}
}

// tasks gives the use of every running task; one that its driver does not
// measure is left out.
func (f *figures) tasks(ctx context.Context, s *scrape, runners []*alloc.Runner) {
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, scrapeReaders)
	for _, r := range runners {
		if !r.EndedAt().IsZero() {
			continue
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			live, err := r.Live(ctx, "")
			if err != nil {
				return
			}
			for _, l := range live {
				d, err := r.Driver(ctx, l)
				if err != nil {
					continue
				}
				if usage, err := f.c.tasks.Read(ctx, d, l.ID); err == nil {
					s.task(r.Assigned().Alloc, l.Task, usage.ResourceUsage)
				}
			}
		})
	}
}

// task gives the figures of one task.
func (s *scrape) task(a *model.Allocation, task string, u *msg.ResourceUsage) {
	values := []string{a.ID, s.node.Name, a.JobID, a.Namespace, task, a.TaskGroup}
	gauge := func(name, help string, value float64) {
		d := prometheus.NewDesc("nomad_client_allocs_"+name, help, taskLabels, nil)
		s.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, values...)
	}
	c, m := u.CpuStats, u.MemoryStats
	gauge("cpu_total_percent", "Percent of a core in use.", c.Percent)
	gauge("cpu_total_ticks", "MHz in use.", c.TotalTicks)
	gauge("cpu_user", "Percent of a core in user space.", c.UserMode)
	gauge("cpu_system", "Percent of a core in the kernel.", c.SystemMode)
	gauge("cpu_throttled_time", "Nanoseconds the task was throttled.", float64(c.ThrottledTime))
	gauge("cpu_throttled_periods", "Periods in which the task was throttled.", float64(c.ThrottledPeriods))
	gauge("memory_usage", "Bytes of memory in use.", float64(m.Usage))
	gauge("memory_max_usage", "Most bytes of memory ever in use.", float64(m.MaxUsage))
	gauge("memory_rss", "Bytes of memory that are not backed by files.", float64(m.RSS))
	gauge("memory_cache", "Bytes of memory that are backed by files.", float64(m.Cache))
	gauge("memory_swap", "Bytes swapped out.", float64(m.Swap))
	gauge("memory_kernel_usage", "Bytes of memory that the kernel uses for the task.", float64(m.KernelUsage))
	gauge("memory_kernel_max_usage", "Most bytes that the kernel ever used for the task.", float64(m.KernelMaxUsage))
	if a.AllocatedResources == nil || a.AllocatedResources.Tasks[task] == nil {
		return
	}
	given := a.AllocatedResources.Tasks[task]
	gauge("cpu_allocated", "MHz given to the task.", float64(given.Cpu.CpuShares))
	gauge("memory_allocated", "Bytes of memory given to the task.", float64(given.Memory.MemoryMB<<20))
}
