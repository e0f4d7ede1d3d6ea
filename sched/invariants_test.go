package sched_test

import (
	"fmt"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/sched/place"
)

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check looks at the whole world with code that shares nothing with the
// scheduler: no node oversubscribed, no port twice on an address, no core twice,
// one live allocation per name, and the fleet kept up to date equals a new one.
func (w *world) check(t failer) {
	t.Helper()
	type use struct{ cpu, mem, disk int64 }
	used := map[string]*use{}
	ports, cores, names := map[string]string{}, map[string]string{}, map[string]string{}
	for _, id := range w.names {
		a := w.allocs[id]
		if a.Terminal() {
			continue
		}
		u := used[a.NodeID]
		if u == nil {
			u = &use{}
			used[a.NodeID] = u
		}
		u.disk += a.AllocatedResources.Shared.DiskMB
		for _, r := range a.AllocatedResources.Tasks {
			u.cpu += r.Cpu.CpuShares
			u.mem += r.Memory.MemoryMB
			for _, c := range r.Cpu.ReservedCores {
				once(t, cores, fmt.Sprintf("core %d of %s", c, a.NodeID), id)
			}
			for _, d := range r.Devices {
				for _, one := range d.DeviceIDs {
					once(t, cores, fmt.Sprintf("device %s/%s/%s %s of %s", d.Vendor, d.Type, d.Name, one, a.NodeID), id)
				}
			}
		}
		for _, p := range a.AllocatedResources.Shared.Ports {
			once(t, ports, fmt.Sprintf("port %s:%d", p.HostIP, p.Value), id)
		}
		name := a.Name
		if a.Job.Type == model.JobTypeSystem || a.Job.Type == model.JobTypeSysbatch {
			name += " on " + a.NodeID
		}
		if deploy.Canary(a) {
			name += " canary"
		}
		once(t, names, name, id)
	}
	for id, u := range used {
		n := w.nodes[id]
		if n == nil || n.Status == model.NodeStatusDown {
			continue // an evaluation has yet to give them up
		}
		r := n.NodeResources
		if u.cpu > r.Cpu.CpuShares || u.mem > r.Memory.MemoryMB || u.disk > r.Disk.DiskMB {
			t.Fatalf("node %s is oversubscribed: %+v of %+v", id, *u, r)
		}
	}
	if diff := place.Diff(w.fleet, w.rebuilt()); diff != "" {
		t.Fatalf("the fleet kept up to date differs from a new one: %s", diff)
	}
}

func once(t failer, seen map[string]string, what, by string) {
	t.Helper()
	if other, ok := seen[what]; ok {
		t.Fatalf("%s is held by %s and %s", what, other, by)
	}
	seen[what] = by
}

// rebuilt is the fleet as made from the state at once.
func (w *world) rebuilt() *place.Fleet {
	f := place.NewFleet()
	for _, n := range w.nodes {
		f.UpsertNode(n)
	}
	for _, id := range w.names {
		f.UpsertAlloc(nil, w.allocs[id])
	}
	return f
}
