package metricsjson

import "testing"

func TestDottedNames(t *testing.T) {
	for name, want := range map[string]string{
		"nomad_client_allocated_cpu":                  "nomad.client.allocated.cpu",
		"nomad_client_host_disk_used_percent":         "nomad.client.host.disk.used_percent",
		"nomad_client_allocs_memory_kernel_max_usage": "nomad.client.allocs.memory.kernel_max_usage",
		"nomad_client_allocs_memory_max_usage":        "nomad.client.allocs.memory.max_usage",
		"nomad_nomad_broker_total_ready":              "nomad.nomad.broker.total_ready",
		"nomad_nomad_job_summary_running":             "nomad.nomad.job_summary.running",
		"nomad_nomad_blocked_evals_total_blocked":     "nomad.nomad.blocked_evals.total_blocked",
		"nomad_nomad_worker_invoke_scheduler_service": "nomad.nomad.worker.invoke_scheduler.service",
		"nomad_runtime_total_gc_pause_ns":             "nomad.runtime.total_gc_pause_ns",
		"nomad_raft_leader_lastContact":               "nomad.raft.leader.lastContact",
		"nomad_nomad_rpc_request_error":               "nomad.nomad.rpc.request_error",
	} {
		if got := dotted(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
