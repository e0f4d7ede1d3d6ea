package server_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/model"
)

// machine is a node with room for 128 of the benchmarks' instances, in one of
// three datacenters.
func machine(i int) *model.Node {
	n := newNode(fmt.Sprintf("n%d", i))
	n.Datacenter = fmt.Sprintf("dc%d", 1+i%3)
	n.Meta = map[string]string{"rack": fmt.Sprintf("r%d", i%50)}
	n.NodeResources.Cpu = model.NodeCpuResources{CpuShares: 64_000, TotalCpuCores: 64}
	n.NodeResources.Memory.MemoryMB = 128 * 256
	n.NodeResources.Disk.DiskMB = 1 << 24
	return n
}

// small is a job of instances that take a hundred and twenty-eighth of a machine.
func small(id string, count int) *model.Job {
	j := job(id, count)
	j.Datacenters = []string{"*"}
	j.TaskGroups[0].EphemeralDisk.SizeMB = 10
	t := j.TaskGroups[0].Tasks[0]
	t.LogConfig.MaxFiles, t.LogConfig.MaxFileSizeMB = 1, 1
	t.Resources.CPU, t.Resources.MemoryMB = 500, 256
	return j
}

// choosy is small with an affinity and a spread.
func choosy(id string, count int) *model.Job {
	j := small(id, count)
	j.Affinities = []*model.Affinity{{LTarget: "${meta.rack}", RTarget: "r7", Operand: "=", Weight: 50}}
	j.Spreads = []*model.Spread{{Attribute: "${node.datacenter}", Weight: 100}}
	return j
}

// machines connects n of them.
func (c *cluster) machines(n int) []*node {
	c.t.Helper()
	out := make([]*node, n)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i] = c.connect(machine(i)) })
	}
	wg.Wait()
	return out
}

// counts is how many instances of jobs are placed, and how many of these run.
func (c *cluster) counts(ids []string) (placed, running int) {
	snap := c.store.Snapshot()
	for _, id := range ids {
		if s := snap.JobSummary(model.DefaultNamespace, id); s != nil {
			g := s.Summary["web"]
			placed, running = placed+g.Starting+g.Running, running+g.Running
		}
	}
	return placed, running
}

// place registers jobs all at once and returns how long it took until everything
// was placed. It waits until everything runs.
func (c *cluster) place(b *testing.B, jobs []*model.Job, limit time.Duration) time.Duration {
	b.Helper()
	var ids []string
	want := 0
	for _, j := range jobs {
		ids, want = append(ids, j.ID), want+j.TaskGroups[0].Count
	}
	began := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		for some := range slices.Chunk(jobs, 1+len(jobs)/16) {
			wg.Go(func() {
				for _, j := range some {
					c.register(j)
				}
			})
		}
	})
	var took time.Duration
	for {
		placed, running := c.counts(ids)
		if placed == want && took == 0 {
			took = time.Since(began)
		}
		if running == want {
			wg.Wait()
			return took
		}
		if time.Since(began) > limit {
			b.Fatalf("%d of %d placed and %d running after %s", placed, want, running, limit)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// BenchmarkPlacements measures placements a second through the whole durable
// server: registered, decided, verified, committed to disk, told to the nodes,
// and reported running by them, with reports committed too.
func BenchmarkPlacements(b *testing.B) {
	for _, size := range []struct {
		what               string
		nodes, jobs, count int
		job                func(string, int) *model.Job
	}{
		{"large", 1000, 10, 1000, small},
		{"large", 5000, 10, 1000, small},
		{"large", 10_000, 10, 1000, small},
		{"one", 5000, 1, 50_000, small},
		{"many", 5000, 500, 100, small},
		{"choosy", 5000, 50, 200, choosy},
	} {
		b.Run(fmt.Sprintf("%s/nodes=%d/jobs=%d/count=%d", size.what, size.nodes, size.jobs, size.count), func(b *testing.B) {
			var took time.Duration
			for range b.N {
				c := start(b, server.Config{})
				nodes := c.machines(size.nodes)
				var jobs []*model.Job
				for i := range size.jobs {
					jobs = append(jobs, size.job(fmt.Sprintf("job-%d", i), size.count))
				}
				took += c.place(b, jobs, 5*time.Minute)
				for _, n := range nodes {
					n.stop()
				}
				c.stop()
			}
			b.ReportMetric(float64(size.jobs*size.count*b.N)/took.Seconds(), "placements/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMillionPlacements places a million instances of a thousand jobs on ten
// thousand nodes: how long it takes, and the most memory that the process took,
// with the simulated nodes in it.
func BenchmarkMillionPlacements(b *testing.B) {
	c := start(b, server.Config{})
	c.machines(10_000)
	b.ResetTimer()
	for round := range b.N {
		var jobs []*model.Job
		for i := range 1000 {
			jobs = append(jobs, small(fmt.Sprintf("job-%d-%d", round, i), 1000))
		}
		b.ReportMetric(c.place(b, jobs, 20*time.Minute).Seconds(), "s/million")
	}
	b.ReportMetric(float64(status(b, "VmHWM"))/1e6, "GB")
}

// status reads a figure of this process, in bytes.
func status(b *testing.B, name string) int {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatalf("no %s", name)
	return 0
}

// BenchmarkDecision measures one small job after the other on ten thousand nodes
// that are four fifths full: from sending its registration until it is placed,
// both committed to disk.
func BenchmarkDecision(b *testing.B) {
	c := start(b, server.Config{})
	c.machines(10_000)
	var jobs []*model.Job
	for i := range 1000 {
		jobs = append(jobs, small(fmt.Sprintf("fill-%d", i), 1024))
	}
	c.place(b, jobs, 20*time.Minute)
	var took []time.Duration
	b.ResetTimer()
	for i := range b.N {
		id := fmt.Sprintf("job-%d", i)
		began := time.Now()
		c.register(small(id, 1))
		for placed := 0; placed == 0; placed, _ = c.counts([]string{id}) {
			time.Sleep(50 * time.Microsecond)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
}
