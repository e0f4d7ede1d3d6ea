package server_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/model"
)

// big is a node with room for many small instances.
func big(name string) *model.Node {
	n := newNode(name)
	n.NodeResources.Cpu = model.NodeCpuResources{CpuShares: 1 << 24, TotalCpuCores: 64}
	n.NodeResources.Memory.MemoryMB = 1 << 24
	n.NodeResources.Disk.DiskMB = 1 << 30
	return n
}

// BenchmarkPlacements measures placements a second through the whole durable
// server: registered, decided, verified, committed to disk, told to the nodes,
// and reported running by them, with reports committed too.
//
//	jobs x count    what it stands for
//	10 x 1000       a few large jobs
//	500 x 10        many small ones at once
func BenchmarkPlacements(b *testing.B) {
	for _, size := range []struct{ nodes, jobs, count int }{{1000, 10, 1000}, {1000, 500, 10}, {10_000, 10, 1000}} {
		b.Run(fmt.Sprintf("nodes=%d/jobs=%d/count=%d", size.nodes, size.jobs, size.count), func(b *testing.B) {
			c := start(b, server.Config{})
			var wg sync.WaitGroup
			for i := range size.nodes {
				wg.Go(func() { c.connect(big(fmt.Sprintf("n%d", i))) })
			}
			wg.Wait()
			round := 0
			for b.Loop() {
				round++
				want := size.jobs * size.count
				for i := range size.jobs {
					wg.Go(func() { c.register(job(fmt.Sprintf("job-%d-%d", round, i), size.count)) })
				}
				placed := func() int {
					n := 0
					snap := c.store.Snapshot()
					for i := range size.jobs {
						if s := snap.JobSummary(model.DefaultNamespace, fmt.Sprintf("job-%d-%d", round, i)); s != nil {
							g := s.Summary["web"]
							n += g.Starting + g.Running
						}
					}
					return n
				}
				c.until("all placed", func() bool { return placed() == want })
				b.StopTimer()
				wg.Wait()
				c.until("all running", func() bool {
					n := 0
					snap := c.store.Snapshot()
					for i := range size.jobs {
						n += snap.JobSummary(model.DefaultNamespace, fmt.Sprintf("job-%d-%d", round, i)).Summary["web"].Running
					}
					return n == want
				})
				b.StartTimer()
			}
			b.ReportMetric(float64(size.jobs*size.count*b.N)/b.Elapsed().Seconds(), "placements/s")
		})
	}
}
