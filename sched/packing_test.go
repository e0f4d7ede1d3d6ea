package sched_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place"
)

var packingFlag = flag.Int("packing", 4, "how many workloads TestPacking places")

// largest is how many machines a job takes at most: about a twentieth of the cell.
const largest = 60

// workload is one in the shape of what was published of Google's cells (Reiss and
// others 2012, Verma and others 2015): most jobs have few tasks and a few have very
// many; most tasks ask for some hundredths of a machine and a few for half of one;
// processor and memory go together only loosely.
type workload struct{ dice *rand.Rand }

// lognormal draws with a median and a spread, within bounds.
func (m workload) lognormal(median, sigma, lo, hi float64) float64 {
	return min(hi, max(lo, median*math.Exp(sigma*m.dice.NormFloat64())))
}

func (m workload) job(i int) *model.Job {
	j := buildJob(fmt.Sprint("job-", i), map[string]string{"count": fmt.Sprint(int(m.lognormal(4, 1.6, 1, 2000)))}, "")
	cpu := m.lognormal(0.03, 1, 0.0025, 0.5)
	memory := min(0.5, max(0.0025, cpu*m.lognormal(1, 0.7, 0.1, 10)))
	j.TaskGroups[0].Count = max(1, min(j.TaskGroups[0].Count, int(largest/max(cpu, memory))))
	r := j.TaskGroups[0].Tasks[0].Resources
	r.CPU, r.MemoryMB = int(cpu*8000), int(memory*16000)
	return j
}

// pack places jobs one after the other on share times as many machines as they need
// at least, however they are placed; it returns that number, and how many instances
// there are and were not placed.
func pack(seed uint64, jobs int, share float64) (bound, instances, unplaced int) {
	m := workload{rand.New(rand.NewPCG(seed, 1))}
	list := make([]*model.Job, jobs)
	var cpu, memory float64
	for i := range list {
		list[i] = m.job(i)
		r, n := list[i].TaskGroups[0].Tasks[0].Resources, float64(list[i].TaskGroups[0].Count)
		cpu, memory = cpu+n*float64(r.CPU), memory+n*float64(r.MemoryMB)
	}
	bound = int(math.Ceil(max(cpu/8000, memory/16000)))
	fleet := place.NewFleet()
	for i := range int(share * float64(bound)) {
		fleet.UpsertNode(buildNode(fmt.Sprintf("node-%05d", i), map[string]string{"cpu": "8000", "mem": "16000", "disk": "1000000000"}, i))
	}
	for _, j := range list {
		s := place.NewBoard(fleet, place.Settings{Seed: seed}).Select(place.NewAsk(j, j.TaskGroups[0]))
		for range j.TaskGroups[0].Count {
			instances++
			if s.Next(nil) == nil {
				unplaced++
			}
		}
	}
	return bound, instances, unplaced
}

// TestPacking: a mix of jobs as large clusters have, in any order, fits on a
// twentieth more machines than it needs at least.
func TestPacking(t *testing.T) {
	for seed := range uint64(*packingFlag) {
		bound, instances, unplaced := pack(seed, 1500, 1.05)
		t.Logf("seed %d: at least %d machines for %d instances; with a twentieth more %d are not placed", seed, bound, instances, unplaced)
		if unplaced > 0 {
			t.Errorf("seed %d: %d of %d instances are not placed", seed, unplaced, instances)
		}
	}
}
