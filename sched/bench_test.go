package sched_test

import (
	"fmt"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/verify"
)

// benchWorld has 10,000 nodes that a few running allocations make different.
func benchWorld(nodes int) *world {
	w := newWorld()
	for i := range nodes {
		n := buildNode(fmt.Sprintf("node-%05d", i), map[string]string{"mem": "16000", "cpu": "16000"}, i)
		n.NodeResources.NodeNetworks[0].Addresses[0].Address = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
		w.setNode(n)
		if i%3 == 0 {
			w.occupy(n.ID, int64(i%7)*1000, 0)
		}
	}
	return w
}

func benchmarkProcess(b *testing.B, args map[string]string, constraints string) {
	w := benchWorld(10000)
	w.setJob(buildJob("j", args, constraints))
	e := w.newEval("j", model.TriggerJobRegister)
	placed := 0
	for b.Loop() {
		placed += placements(w.process(e))
	}
	b.ReportMetric(float64(placed)/b.Elapsed().Seconds(), "placements/s")
}

func BenchmarkProcess1000(b *testing.B) {
	benchmarkProcess(b, map[string]string{"count": "1000"}, "")
}

func BenchmarkProcess1000Ports(b *testing.B) {
	benchmarkProcess(b, map[string]string{"count": "1000", "ports": "http,admin"}, "")
}

func BenchmarkProcess1000DistinctHosts(b *testing.B) {
	benchmarkProcess(b, map[string]string{"count": "1000"}, "distinct_hosts")
}

func BenchmarkProcess1(b *testing.B) {
	benchmarkProcess(b, map[string]string{"count": "1"}, "")
}

func BenchmarkProcessSystem(b *testing.B) {
	benchmarkProcess(b, map[string]string{"type": "system"}, "")
}

// BenchmarkProcessFailing: what does not fit anywhere, with its remedies.
func BenchmarkProcessFailing(b *testing.B) {
	benchmarkProcess(b, map[string]string{"mem": "90000"}, "${attr.kernel.name} = linux")
}

func BenchmarkVerify1000(b *testing.B) {
	w := benchWorld(10000)
	w.setJob(buildJob("j", map[string]string{"count": "1000"}, ""))
	plan := w.process(w.newEval("j", model.TriggerJobRegister))
	checked := 0
	for b.Loop() {
		kept, _ := verify.Check(w, plan)
		checked += placements(kept)
	}
	b.ReportMetric(float64(checked)/b.Elapsed().Seconds(), "placements/s")
}

func BenchmarkVerify1000Ports(b *testing.B) {
	w := benchWorld(10000)
	w.setJob(buildJob("j", map[string]string{"count": "1000", "ports": "http,admin"}, ""))
	plan := w.process(w.newEval("j", model.TriggerJobRegister))
	checked := 0
	for b.Loop() {
		kept, _ := verify.Check(w, plan)
		checked += placements(kept)
	}
	b.ReportMetric(float64(checked)/b.Elapsed().Seconds(), "placements/s")
}
