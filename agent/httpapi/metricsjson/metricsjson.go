// Package metricsjson writes Prometheus' figures in the shape and with the names of the
// JSON that Nomad's clients read.
//
// Example:
//
//	families, err := gatherer.Gather()
//	out := metricsjson.Of(families, time.Now())
package metricsjson

import (
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Of is the shape that clients of go-metrics read.
func Of(families []*dto.MetricFamily, now time.Time) any {
	type gauge struct {
		Name   string
		Value  float64
		Labels map[string]string
	}
	type sample struct {
		Name             string
		Count            int
		Sum, Rate, Mean  float64
		Min, Max, Stddev float64
		Labels           map[string]string
	}
	out := struct {
		Timestamp string
		Gauges    []gauge
		Points    []any
		Counters  []sample
		Samples   []sample
	}{Timestamp: now.UTC().Format("2006-01-02 15:04:05 -0700 MST"), Gauges: []gauge{}, Points: []any{}, Counters: []sample{}, Samples: []sample{}}
	for _, f := range families {
		name := dotted(f.GetName())
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				v := m.GetCounter().GetValue()
				out.Counters = append(out.Counters, sample{Name: name, Count: int(v), Sum: v, Labels: labels})
			case dto.MetricType_GAUGE:
				out.Gauges = append(out.Gauges, gauge{name, m.GetGauge().GetValue(), labels})
			case dto.MetricType_SUMMARY:
				n, sum := m.GetSummary().GetSampleCount(), m.GetSummary().GetSampleSum()
				out.Samples = append(out.Samples, sample{Name: name, Count: int(n), Sum: sum, Mean: mean(sum, n), Labels: labels})
			case dto.MetricType_HISTOGRAM:
				n, sum := m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
				out.Samples = append(out.Samples, sample{Name: name, Count: int(n), Sum: sum, Mean: mean(sum, n), Labels: labels})
			}
		}
	}
	return out
}

func mean(sum float64, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

// joined are the parts of names that have an underscore in them also where the
// others are joined by dots: a Prometheus name does not tell.
var joined = strings.NewReplacer(joinedPairs(
	"alloc_bytes", "blocked_evals", "free_count", "heap_objects", "inodes_percent", "invoke_scheduler", "job_status",
	"job_summary", "kernel_max_usage", "kernel_usage", "malloc_count", "max_usage", "node_rejected", "num_goroutines",
	"queue_depth", "request_error", "sys_bytes", "throttled_periods", "throttled_time", "total_blocked", "total_gc_pause_ns",
	"total_gc_runs", "total_pending", "total_percent", "total_ready", "total_ticks", "total_unacked", "total_waiting",
	"used_percent",
)...)

func joinedPairs(names ...string) []string {
	var pairs []string
	for _, n := range names {
		pairs = append(pairs, "."+strings.ReplaceAll(n, "_", "."), "."+n)
	}
	return pairs
}

// dotted is the name of a figure as clients of go-metrics know it.
func dotted(name string) string { return joined.Replace(strings.ReplaceAll(name, "_", ".")) }
