package place

import (
	"fmt"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/class"
)

func spreadOver(attribute string, weight int8, shares ...any) *model.Spread {
	s := &model.Spread{Attribute: attribute, Weight: weight}
	for i := 0; i < len(shares); i += 2 {
		s.SpreadTarget = append(s.SpreadTarget, &model.SpreadTarget{Value: shares[i].(string), Percent: uint8(shares[i+1].(int))})
	}
	return s
}

// benchFleet is nodes in three datacenters and fifty racks, two of five with fast
// disks, and none as full as the next one.
func benchFleet(nodes int) *Fleet {
	f := NewFleet()
	for i := range nodes {
		n := testNode(i)
		n.Datacenter = fmt.Sprintf("dc%d", i%3+1)
		n.Meta = map[string]string{"rack": fmt.Sprintf("r%d", i%50)}
		if i%5 < 2 {
			n.Attributes["disk"] = "ssd"
		}
		n.ComputedClass = class.Computed(n)
		f.UpsertNode(n)
		f.Place(n.ID, testGrant(int64(i%31)*100, int64(i%17)*100, nil, nil))
	}
	return f
}

func benchmarkSpread(b *testing.B, spreads ...*model.Spread) {
	f := benchFleet(5000)
	job := testJob(8000)
	job.Affinities = []*model.Affinity{affinity("${attr.disk}", "=", "ssd", 60)}
	job.Spreads = spreads
	b.ResetTimer()
	for range b.N {
		s := NewBoard(f.Fork(), Settings{Seed: 3}).Select(NewAsk(job, job.TaskGroups[0]))
		for range 8000 {
			if s.Next(nil) == nil {
				b.Fatal("did not fit")
			}
		}
	}
	b.ReportMetric(float64(b.N)*8000/b.Elapsed().Seconds(), "placements/s")
}

// BenchmarkSpread: a job of 8,000 with an affinity on 5,000 nodes.
func BenchmarkSpread(b *testing.B) {
	dc, rack := spreadOver("${node.datacenter}", 50), spreadOver("${meta.rack}", 50)
	targets := spreadOver("${node.datacenter}", 50, "dc1", 50, "dc2", 30)
	name := spreadOver("${node.unique.name}", 50)
	b.Run("none", func(b *testing.B) { benchmarkSpread(b) })
	b.Run("datacenters", func(b *testing.B) { benchmarkSpread(b, dc) })
	b.Run("targets", func(b *testing.B) { benchmarkSpread(b, targets) })
	b.Run("datacenters-and-racks", func(b *testing.B) { benchmarkSpread(b, dc, rack) })
	b.Run("nodes", func(b *testing.B) { benchmarkSpread(b, name) })
	b.Run("datacenters-and-nodes", func(b *testing.B) { benchmarkSpread(b, dc, name) })
}
