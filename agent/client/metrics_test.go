package client

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/steppe-project/steppe/model"
)

// gather returns the figures by name; each has one metric or more.
func gather(t *testing.T, a *agent) map[string][]*dto.Metric {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(a.Collector()); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]*dto.Metric{}
	for _, f := range families {
		out[f.GetName()] = f.GetMetric()
	}
	return out
}

func labelsOf(m *dto.Metric) map[string]string {
	out := map[string]string{}
	for _, l := range m.GetLabel() {
		out[l.GetName()] = l.GetValue()
	}
	return out
}

func TestFigures(t *testing.T) {
	c := newCluster(t)
	cfg := config(t, c, t.TempDir())
	cfg.PublishNode, cfg.PublishAllocs = true, true
	cfg.Reserved.MemoryMB = 10
	a := start(t, cfg)
	lives, over := shell(1, model.JobTypeService, "sleep 600"), shell(2, model.JobTypeBatch, "true")
	c.assign(lives, over)
	c.await(lives.Alloc.ID, model.ClientRunning)
	c.await(over.Alloc.ID, model.ClientComplete)
	got := gather(t, a)
	for name, want := range map[string]float64{
		"nomad_client_allocations_running": 1, "nomad_client_allocations_terminal": 1, "nomad_client_allocations_pending": 0,
		"nomad_client_allocations_blocked": 0, "nomad_client_allocations_migrating": 0, "nomad_client_allocations_start": 0,
		"nomad_client_allocated_cpu": 100, "nomad_client_allocated_memory": 32, "nomad_client_allocated_disk": 0,
		"nomad_client_unallocated_memory":      float64(c.node.NodeResources.Memory.MemoryMB - 42),
		"nomad_client_unallocated_cpu":         float64(c.node.NodeResources.Cpu.CpuShares - 100),
		"nomad_client_allocs_cpu_allocated":    100,
		"nomad_client_allocs_memory_allocated": 32 << 20,
	} {
		if m := got[name]; len(m) != 1 || m[0].GetGauge().GetValue() != want {
			t.Errorf("%s: %v, want %v", name, m, want)
		}
	}
	for _, name := range []string{"nomad_client_host_memory_total", "nomad_client_host_cpu_idle", "nomad_client_uptime", "nomad_client_allocs_memory_usage", "nomad_client_allocs_cpu_total_percent"} {
		if len(got[name]) == 0 {
			t.Errorf("no %s", name)
		}
	}
	if l := labelsOf(got["nomad_client_allocated_cpu"][0]); l["host"] != "n1" || l["datacenter"] != "dc1" || l["node_id"] != a.NodeID() || l["node_status"] != "ready" {
		t.Errorf("labels of the node: %v", l)
	}
	if l := labelsOf(got["nomad_client_allocs_memory_usage"][0]); l["alloc_id"] != lives.Alloc.ID || l["job"] != "job" || l["task"] != "sh" || l["task_group"] != "g" || l["namespace"] != "default" {
		t.Errorf("labels of the task: %v", l)
	}
}

func TestNothingIsMeasuredThatWasNotAskedFor(t *testing.T) {
	c := newCluster(t)
	got := gather(t, start(t, config(t, c, t.TempDir())))
	if len(got["nomad_client_allocated_cpu"]) != 1 {
		t.Error("no nomad_client_allocated_cpu")
	}
	for name := range got {
		switch name {
		case "nomad_client_host_memory_total", "nomad_client_allocs_memory_usage", "nomad_client_uptime":
			t.Errorf("%s was not asked for", name)
		}
	}
}
