package server

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/agent/loop"
	"github.com/steppe-project/steppe/agent/server/broker"
	"github.com/steppe-project/steppe/agent/server/planner"
	"github.com/steppe-project/steppe/agent/server/query"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// metrics are named as dashboards for the API's reference server have them,
// where the same thing is counted.
type metrics struct {
	queue      atomic.Pointer[broker.Queue] // of the latest term
	planner    atomic.Pointer[planner.Planner]
	decisions  *prometheus.HistogramVec
	invoked    map[string]prometheus.Summary // by type of job, in ms
	evaluated  prometheus.Summary            // in ms
	verifying  prometheus.Histogram
	plans      prometheus.Counter
	placements prometheus.Counter
	refused    prometheus.Counter
	steps      *prometheus.HistogramVec
	proposing  *prometheus.HistogramVec
	commands   *prometheus.CounterVec
}

// quantiles are those that dashboards read, with how exact they are.
var quantiles = map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001}

// seconds are the buckets of durations: 100 µs to 13 s.
var seconds = prometheus.ExponentialBuckets(0.0001, 2, 18)

func newMetrics() *metrics {
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}, labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	summary := func(name, help string) prometheus.Summary {
		return prometheus.NewSummary(prometheus.SummaryOpts{Name: name, Help: help, Objectives: quantiles})
	}
	invoked := make(map[string]prometheus.Summary)
	for _, t := range []string{model.JobTypeService, model.JobTypeBatch, model.JobTypeSystem, model.JobTypeSysbatch} {
		invoked[t] = summary("nomad_nomad_worker_invoke_scheduler_"+t, "Milliseconds of one scheduling decision.")
	}
	return &metrics{
		invoked:   invoked,
		evaluated: summary("nomad_nomad_plan_evaluate", "Milliseconds to verify one batch of plans."),
		decisions: histogram("nomad_nomad_worker_invoke_scheduler_seconds", "Time of one scheduling decision.", "type"),
		verifying: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nomad_nomad_plan_evaluate_seconds", Help: "Time to verify one batch of plans.", Buckets: seconds,
		}),
		plans:      counter("nomad_nomad_plan_total", "Plans committed or proposed."),
		placements: counter("nomad_nomad_plan_placements_total", "Placements in plans after verification."),
		refused:    counter("nomad_nomad_plan_node_rejected_total", "Nodes refused by plan verification."),
		steps:      histogram("steppe_component_step_seconds", "Time a component thought in one step.", "component"),
		proposing:  histogram("steppe_component_propose_seconds", "Time of a component's proposals.", "component"),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "steppe_component_commands_total", Help: "Commands that components proposed.",
		}, []string{"component"}),
	}
}

func (m *metrics) decision(jobType string, took time.Duration) {
	m.decisions.WithLabelValues(jobType).Observe(took.Seconds())
	if s := m.invoked[jobType]; s != nil {
		s.Observe(took.Seconds() * 1e3)
	}
}

// plansWaiting is the length of the latest term's queue of plans.
func (m *metrics) plansWaiting() int {
	if p := m.planner.Load(); p != nil {
		return p.Waiting()
	}
	return 0
}

func (m *metrics) batch(b planner.Batch) {
	m.verifying.Observe(b.Verifying.Seconds())
	m.evaluated.Observe(b.Verifying.Seconds() * 1e3)
	m.plans.Add(float64(b.Plans))
	m.placements.Add(float64(b.Placements))
	m.refused.Add(float64(b.RefusedNodes))
}

func (m *metrics) step(s loop.Step) {
	m.steps.WithLabelValues(s.Component).Observe(s.Thinking.Seconds())
	if s.Commands > 0 {
		m.proposing.WithLabelValues(s.Component).Observe(s.Proposing.Seconds())
		m.commands.WithLabelValues(s.Component).Add(float64(s.Commands))
	}
}

// register registers everything, with gauges that read the server's state.
func (m *metrics) register(r prometheus.Registerer, s *Server) error {
	all := []prometheus.Collector{
		m.decisions, m.verifying, m.plans, m.placements, m.refused, m.steps, m.proposing, m.commands, m.evaluated,
	}
	for _, s := range m.invoked {
		all = append(all, s)
	}
	gauge := func(name, help string, read func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	sizes := func(read func(broker.Counts) int) func() float64 {
		return func() float64 {
			q := m.queue.Load()
			if q == nil || !s.deps.Host.Leadership().Self {
				return 0
			}
			return float64(read(q.Sizes()))
		}
	}
	gauge("nomad_nomad_broker_total_ready", "Evaluations ready for a worker.", sizes(func(c broker.Counts) int { return c.Ready }))
	gauge("nomad_nomad_broker_total_unacked", "Evaluations being decided.", sizes(func(c broker.Counts) int { return c.Running }))
	gauge("nomad_nomad_broker_total_pending", "Evaluations behind another one of their job.", sizes(func(c broker.Counts) int { return c.Waiting }))
	gauge("nomad_nomad_broker_total_waiting", "Evaluations that wait for a time.", sizes(func(c broker.Counts) int { return c.Delayed }))
	gauge("nomad_nomad_blocked_evals_total_blocked", "Evaluations that wait for room.", sizes(func(c broker.Counts) int { return c.Blocked }))
	gauge("nomad_nomad_plan_queue_depth", "Plans that wait to be verified.", func() float64 { return float64(m.plansWaiting()) })
	gauge("nomad_nomad_heartbeat_active", "Nodes connected to this server.", func() float64 { return float64(s.hub.Len()) })
	for name, table := range map[string]state.Table{
		"jobs": state.TableJobs, "nodes": state.TableNodes, "allocs": state.TableAllocs, "evals": state.TableEvals,
	} {
		gauge("nomad_nomad_state_"+name, "Rows in the state.", func() float64 {
			return float64(s.deps.Store.Snapshot().Count(table))
		})
	}
	gauge("steppe_brake_engaged", "1 while nodes that vanished together are held back from being given up.", func() float64 {
		if query.Brake(s.deps.Store.Snapshot()).Engaged {
			return 1
		}
		return 0
	})
	gauge("steppe_brake_held_nodes", "Nodes that the brake holds.", func() float64 {
		return float64(len(query.Brake(s.deps.Store.Snapshot()).Held))
	})
	gauge("steppe_feature_level", "Feature level of the cluster.", func() float64 { return float64(s.deps.Store.Snapshot().FeatureLevel()) })
	gauge("steppe_feature_level_understood", "Newest feature level that this server's binary understands.", func() float64 { return float64(s.cfg.Understands) })
	gauge("nomad_nomad_leader", "1 on the leader.", func() float64 {
		if s.deps.Host.Leadership().Self {
			return 1
		}
		return 0
	})
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return model.Errorf(model.CodeInternal, "%w", err)
		}
	}
	return nil
}
