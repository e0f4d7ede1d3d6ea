package agent

import (
	"runtime"
	"sync/atomic"
	"time"

	armon "github.com/armon/go-metrics"
	armonprom "github.com/armon/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/steppe-project/steppe/agent/rpc"
)

// sinkExpiry is when a figure that raft or gossip no longer reports disappears.
const sinkExpiry = 10 * time.Minute

// newRegistry holds the process's own figures and those that raft and memberlist
// write to their global sink.
func newRegistry() (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newRuntimeCollector(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	sink, err := armonprom.NewPrometheusSinkFrom(armonprom.PrometheusOpts{Registerer: reg, Expiration: sinkExpiry})
	if err != nil {
		return nil, err
	}
	conf := armon.DefaultConfig("nomad")
	conf.EnableHostname, conf.EnableRuntimeMetrics = false, false
	if _, err := armon.NewGlobal(conf, sink); err != nil {
		return nil, err
	}
	return reg, nil
}

// rpcFigures count what came over the network to a server.
func rpcFigures(s *rpc.Server) []prometheus.Collector {
	counter := func(name, help string, n *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "nomad_nomad_rpc_" + name, Help: help}, func() float64 { return float64(n.Load()) })
	}
	return []prometheus.Collector{
		counter("request", "Calls and streams that came over the network.", &s.Requests),
		counter("request_error", "Those of them that failed.", &s.Failures),
	}
}

// runtimeCollector gives the figures of the Go runtime under the names that
// dashboards of the Nomad API read. It looks only when asked: a look stops the
// process for some microseconds.
type runtimeCollector []runtimeFigure

type runtimeFigure struct {
	desc *prometheus.Desc
	read func(m *runtime.MemStats) float64
}

func newRuntimeCollector() runtimeCollector {
	figure := func(name, help string, read func(m *runtime.MemStats) float64) runtimeFigure {
		return runtimeFigure{prometheus.NewDesc("nomad_runtime_"+name, help, nil, nil), read}
	}
	return runtimeCollector{
		figure("num_goroutines", "Goroutines.", func(*runtime.MemStats) float64 { return float64(runtime.NumGoroutine()) }),
		figure("alloc_bytes", "Bytes of live and not yet swept objects.", func(m *runtime.MemStats) float64 { return float64(m.Alloc) }),
		figure("sys_bytes", "Bytes taken from the system.", func(m *runtime.MemStats) float64 { return float64(m.Sys) }),
		figure("malloc_count", "Objects ever allocated.", func(m *runtime.MemStats) float64 { return float64(m.Mallocs) }),
		figure("free_count", "Objects ever freed.", func(m *runtime.MemStats) float64 { return float64(m.Frees) }),
		figure("heap_objects", "Objects on the heap.", func(m *runtime.MemStats) float64 { return float64(m.HeapObjects) }),
		figure("total_gc_pause_ns", "Time ever stopped for collections.", func(m *runtime.MemStats) float64 { return float64(m.PauseTotalNs) }),
		figure("total_gc_runs", "Collections ever.", func(m *runtime.MemStats) float64 { return float64(m.NumGC) }),
	}
}

// Describe implements prometheus.Collector.
func (c runtimeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c {
		out <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c runtimeCollector) Collect(out chan<- prometheus.Metric) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	for _, f := range c {
		out <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, f.read(&m))
	}
}
