package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// jobCollector gives the figures of jobs that dashboards of the Nomad API read.
// They are derived at each scrape from the state, on the leader only, so that a
// sum over all agents counts each job once.
type jobCollector struct {
	store   *state.Store
	leading func() bool
	summary map[string]*prometheus.Desc
	status  map[string]*prometheus.Desc
}

func newJobCollector(store *state.Store, leading func() bool) *jobCollector {
	c := &jobCollector{store: store, leading: leading, summary: map[string]*prometheus.Desc{}, status: map[string]*prometheus.Desc{}}
	for _, s := range []string{"queued", "complete", "failed", "running", "starting", "lost", "unknown"} {
		c.summary[s] = prometheus.NewDesc("nomad_nomad_job_summary_"+s, "Allocations of a group that are "+s+".",
			[]string{"job", "namespace", "task_group"}, nil)
	}
	for _, s := range []string{model.JobStatusPending, model.JobStatusRunning, model.JobStatusDead} {
		c.status[s] = prometheus.NewDesc("nomad_nomad_job_status_"+s, "Jobs that are "+s+".", nil, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *jobCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.summary {
		out <- d
	}
	for _, d := range c.status {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *jobCollector) Collect(out chan<- prometheus.Metric) {
	if !c.leading() {
		return
	}
	snap := c.store.Snapshot()
	jobs := map[string]int{}
	for j := range snap.Jobs(state.Range{}) {
		jobs[j.Status]++
		s := snap.JobSummary(j.Namespace, j.ID)
		if s == nil {
			continue
		}
		for group, n := range s.Summary {
			for name, count := range map[string]int{
				"queued": n.Queued, "complete": n.Complete, "failed": n.Failed, "running": n.Running,
				"starting": n.Starting, "lost": n.Lost, "unknown": n.Unknown,
			} {
				out <- prometheus.MustNewConstMetric(c.summary[name], prometheus.GaugeValue, float64(count), j.ID, j.Namespace, group)
			}
		}
	}
	for status, d := range c.status {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(jobs[status]))
	}
}
