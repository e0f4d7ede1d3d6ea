package agent

import (
	"time"

	armon "github.com/armon/go-metrics"
	armonprom "github.com/armon/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// sinkExpiry is when a figure that raft or gossip no longer reports disappears.
const sinkExpiry = 10 * time.Minute

// newRegistry holds the process's own figures and those that raft and memberlist
// write to their global sink.
func newRegistry() (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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
