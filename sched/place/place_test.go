package place

import (
	"fmt"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/class"
)

func testNode(i int) *model.Node {
	n := &model.Node{
		ID: fmt.Sprintf("node-%05d", i), Name: fmt.Sprintf("n%d", i), Datacenter: "dc1", NodePool: "default",
		Status: model.NodeStatusReady, SchedulingEligibility: model.NodeEligible,
		Attributes: map[string]string{"kernel.name": "linux", "driver.raw_exec": "1"},
		NodeResources: &model.NodeResources{
			Cpu:    model.NodeCpuResources{CpuShares: 8000, TotalCpuCores: 4, ReservableCpuCores: []uint16{0, 1, 2, 3}, CoreMHz: 2000},
			Memory: model.NodeMemoryResources{MemoryMB: 16000},
			Disk:   model.NodeDiskResources{DiskMB: 100000},
			NodeNetworks: []*model.NodeNetworkResource{{Mode: "host", Device: "eth0", Addresses: []model.NodeNetworkAddress{
				{Family: "ipv4", Alias: "default", Address: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)}}}},
		},
	}
	n.ComputedClass = class.Computed(n)
	return n
}

func testJob(count int) *model.Job {
	return &model.Job{
		Region: "global", Namespace: "default", ID: "job", Name: "job", Type: model.JobTypeService, Priority: 50,
		Datacenters: []string{"*"}, NodePool: "default",
		TaskGroups: []*model.TaskGroup{{
			Name: "g", Count: count, EphemeralDisk: &model.EphemeralDisk{SizeMB: 300},
			Tasks: []*model.Task{{Name: "t", Driver: "raw_exec", Resources: &model.Resources{CPU: 100, MemoryMB: 64}}},
		}},
	}
}

func testFleet(n int) *Fleet {
	f := NewFleet()
	for i := range n {
		f.UpsertNode(testNode(i))
	}
	return f
}

func TestSixInstancesOnThreeNodes(t *testing.T) {
	f := testFleet(3)
	job := testJob(6)
	b := NewBoard(f.Fork(), Settings{Seed: 3})
	s := b.Select(NewAsk(job, job.TaskGroups[0]))
	got := map[string]int{}
	for range 6 {
		got[s.Next(nil).NodeID]++
	}
	for id, n := range got {
		if n != 2 {
			t.Errorf("%s has %d instances, want 2: %v", id, n, got)
		}
	}
}

func BenchmarkPlace(b *testing.B) {
	f := testFleet(10000)
	job := testJob(1000)
	b.ResetTimer()
	for range b.N {
		s := NewBoard(f.Fork(), Settings{Seed: 3}).Select(NewAsk(job, job.TaskGroups[0]))
		for range 1000 {
			if s.Next(nil) == nil {
				b.Fatal("did not fit")
			}
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "placements/s")
}
