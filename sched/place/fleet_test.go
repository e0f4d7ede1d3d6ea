package place

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/class"
)

func testGrant(cpu, mem int64, ports []int, cores []uint16) *model.AllocatedResources {
	t := &model.AllocatedTaskResources{}
	t.Cpu.CpuShares, t.Cpu.ReservedCores, t.Memory.MemoryMB = cpu, cores, mem
	g := &model.AllocatedResources{Tasks: map[string]*model.AllocatedTaskResources{"t": t}, Shared: model.AllocatedSharedResources{DiskMB: 10}}
	for _, p := range ports {
		g.Shared.Ports = append(g.Shared.Ports, model.PortMapping{Label: "p", Value: p, HostIP: "10.0.0.1"})
	}
	return g
}

// TestFleetFollowsChanges: a fleet kept up to date by any changes equals one
// made anew, and a fork taken on the way stays as it was.
func TestFleetFollowsChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewFleet()
		nodes, allocs := map[string]*model.Node{}, map[string]*model.Allocation{}
		rebuild := func() *Fleet {
			r := NewFleet()
			for _, a := range allocs {
				r.UpsertAlloc(nil, a)
			}
			for _, n := range nodes {
				r.UpsertNode(n)
			}
			return r
		}
		var fork, was *Fleet
		id := func() int { return rapid.IntRange(0, 150).Draw(t, "id") }
		t.Repeat(map[string]func(*rapid.T){
			"node": func(t *rapid.T) {
				n := testNode(id())
				n.NodeResources.Memory.MemoryMB = int64(rapid.IntRange(0, 3).Draw(t, "mem")) * 1000
				if rapid.Bool().Draw(t, "down") {
					n.Status = model.NodeStatusDown
				}
				nodes[n.ID] = n
				f.UpsertNode(n)
			},
			"remove": func(t *rapid.T) {
				n := testNode(id())
				delete(nodes, n.ID)
				f.DeleteNode(n.ID)
			},
			"alloc": func(t *rapid.T) {
				a := &model.Allocation{ID: fmt.Sprint(id()), DesiredStatus: model.DesiredRun, ClientStatus: model.ClientRunning}
				a.NodeID = fmt.Sprintf("node-%05d", id())
				a.AllocatedResources = testGrant(10, 20, rapid.SliceOfN(rapid.IntRange(20000, 20003), 0, 3).Draw(t, "ports"), nil)
				if rapid.Bool().Draw(t, "cores") {
					a.AllocatedResources = testGrant(10, 20, nil, []uint16{uint16(rapid.IntRange(0, 3).Draw(t, "core"))})
				}
				before := allocs[a.ID]
				if before != nil && rapid.Bool().Draw(t, "stays") {
					a.NodeID, a.AllocatedResources = before.NodeID, before.AllocatedResources
				}
				if rapid.IntRange(0, 2).Draw(t, "ends") == 0 {
					a.ClientStatus = model.ClientComplete
				}
				allocs[a.ID] = a
				f.UpsertAlloc(before, a)
			},
			"forget": func(t *rapid.T) {
				k := fmt.Sprint(id())
				f.UpsertAlloc(allocs[k], nil)
				delete(allocs, k)
			},
			"fork": func(t *rapid.T) { fork, was = f.Fork(), rebuild() },
			"swap": func(t *rapid.T) {
				if fork == nil {
					return
				}
				// The owner goes on with a fork; the original must stay.
				f, fork, was = f.Fork(), f, rebuild()
			},
			"": func(t *rapid.T) {
				if d := Diff(f, rebuild()); d != "" {
					t.Fatalf("kept up to date: %s", d)
				}
				if fork != nil {
					if d := Diff(fork, was); d != "" {
						t.Fatalf("the fork changed: %s", d)
					}
				}
			},
		})
	})
}

// TestForksAtOnce: a published fleet may be forked and written by many at once.
func TestForksAtOnce(t *testing.T) {
	published := testFleet(200).Fork()
	done := make(chan int)
	for range 8 {
		go func() {
			f := published.Fork()
			for i := range 200 {
				f.Place(fmt.Sprintf("node-%05d", i), testGrant(1, 1, []int{20000}, nil))
			}
			done <- f.Fork().Len()
		}()
	}
	for range 8 {
		if n := <-done; n != 200 {
			t.Errorf("%d nodes", n)
		}
	}
	if d := Diff(published, testFleet(200)); d != "" {
		t.Error(d)
	}
}

func TestDuplicatePortsAreCounted(t *testing.T) {
	f := testFleet(1)
	g := testGrant(1, 1, []int{80, 80}, []uint16{1, 1})
	f.Place("node-00000", g)
	f.Place("node-00000", g)
	f.Remove("node-00000", g)
	c, i := f.at(0)
	if c.ports[i][0].n != 2 || c.cores(i)[0].N != 2 {
		t.Errorf("ports %v, cores %v", c.ports[i], c.cores(i))
	}
	f.Remove("node-00000", g)
	if d := Diff(f, testFleet(1)); d != "" {
		t.Error(d)
	}
}

func TestReservedIsWithheld(t *testing.T) {
	n := testNode(1)
	n.ReservedResources = &model.NodeReservedResources{
		Cpu:      model.NodeReservedCpuResources{CpuShares: 500, ReservedCpuCores: []uint16{0}},
		Memory:   model.NodeReservedMemoryResources{MemoryMB: 1000},
		Disk:     model.NodeReservedDiskResources{DiskMB: 1},
		Networks: model.NodeReservedNetworkResources{ReservedHostPorts: "22, 8000-8002,nonsense,9-x"},
	}
	n.NodeResources.NodeNetworks[0].Addresses[0].ReservedPorts = "443"
	cpu, mem, disk := totals(n)
	if cpu != 6000 || mem != 15000 || disk != 99999 {
		t.Errorf("%d MHz, %d MB, %d MB", cpu, mem, disk)
	}
	info := newNodeInfo(n)
	if fmt.Sprint(info.cores) != "[1 2 3]" {
		t.Errorf("cores %v", info.cores)
	}
	for port, want := range map[int]bool{22: true, 8001: true, 8003: false, 443: true, 9: false} {
		if got := info.isReserved("10.0.0.1", port); got != want {
			t.Errorf("port %d reserved: %t", port, got)
		}
	}
	if info.isReserved("10.0.0.2", 443) {
		t.Error("443 is reserved on one address only")
	}
}

func BenchmarkFork(b *testing.B) {
	f := testFleet(10000)
	for b.Loop() {
		f.Fork()
	}
}

func BenchmarkUpsertAlloc(b *testing.B) {
	f := testFleet(10000)
	g := testGrant(1, 1, nil, nil)
	allocs := make([]*model.Allocation, 10000)
	ended := make([]*model.Allocation, len(allocs))
	for i := range allocs {
		allocs[i] = &model.Allocation{ID: fmt.Sprint(i), NodeID: fmt.Sprintf("node-%05d", i), AllocatedResources: g}
		e := *allocs[i]
		e.ClientStatus = model.ClientComplete
		ended[i] = &e
	}
	i := 0
	for b.Loop() {
		if i%1000 == 0 {
			f.Fork() // as often as a plan is committed
		}
		k := i % len(allocs)
		f.UpsertAlloc(nil, allocs[k])
		f.UpsertAlloc(allocs[k], ended[k])
		i++
	}
}

func BenchmarkComputedClass(b *testing.B) {
	n := testNode(1)
	for i := range 100 {
		n.Attributes[fmt.Sprintf("attribute.number.%d", i)] = "some value"
	}
	for b.Loop() {
		class.Computed(n)
	}
}
