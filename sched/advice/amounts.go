package advice

import (
	"cmp"
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched/place"
)

// minMemoryMB is the least that a task may ask for.
const minMemoryMB = 10

// dimension is an amount that the group asks for.
type dimension struct {
	name  string
	have  int64
	parts []part // largest first
}

// part is a task's, or the group's, share of it.
type part struct {
	task      string
	have, min int64
}

// dimensions are the amounts that can be lowered.
func (s *search) dimensions() []*dimension {
	var out []*dimension
	for _, d := range []struct {
		name string
		of   func(r *model.Resources) (have, min int64)
	}{
		{place.DimMemory, func(r *model.Resources) (int64, int64) { return int64(r.MemoryMB), minMemoryMB }},
		{place.DimCPU, func(r *model.Resources) (int64, int64) {
			if r.Cores > 0 {
				return 0, 0
			}
			return int64(r.CPU), 1
		}},
		{place.DimCores, func(r *model.Resources) (int64, int64) { return int64(r.Cores), min(1, int64(r.Cores)) }},
	} {
		dim := &dimension{name: d.name}
		for _, t := range s.group.Tasks {
			if t.Resources == nil {
				continue
			}
			if have, least := d.of(t.Resources); have > 0 {
				dim.have += have
				dim.parts = append(dim.parts, part{t.Name, have, min(have, least)})
			}
		}
		out = append(out, dim)
	}
	disk := &dimension{name: place.DimDisk, have: s.ask.Disk}
	if disk.have > 0 {
		disk.parts = []part{{"", disk.have, min(disk.have, leastDisk(s.group))}}
	}
	out = append(out, disk)
	for _, d := range out {
		slices.SortStableFunc(d.parts, func(a, b part) int { return cmp.Compare(b.have, a.have) })
	}
	return slices.DeleteFunc(out, func(d *dimension) bool { return d.slack() <= 0 })
}

// leastDisk is what the tasks' log files take.
func leastDisk(g *model.TaskGroup) int64 {
	least := int64(1)
	for _, t := range g.Tasks {
		if l := t.LogConfig; l != nil && !l.Disabled {
			least = max(least, int64(l.MaxFiles)*int64(l.MaxFileSizeMB))
		}
	}
	return least
}

// slack is by how much a dimension can be lowered.
func (d *dimension) slack() int64 {
	total := int64(0)
	for _, p := range d.parts {
		total += p.have - p.min
	}
	return total
}

// lower are the steps that lower a dimension by so much: of the largest task first.
func (s *search) lower(d *dimension, by int64) []*insight.Step {
	var steps []*insight.Step
	for _, p := range d.parts {
		cut := min(by, p.have-p.min)
		if cut > 0 {
			steps = append(steps, &insight.Step{Do: insight.DoLower, Group: s.group.Name, Task: p.task, What: d.name, From: p.have, To: p.have - cut})
		}
		by -= cut
	}
	return steps
}

// amounts looks for the least that each dimension has to be lowered by, alone, and if
// that does not do, for the least of several together.
func (s *search) amounts() {
	dims := s.dimensions()
	alone := false
	for _, d := range dims {
		if by := s.by(d, nil); by > 0 {
			alone = true
			s.add(float64(by)/float64(d.have), s.lower(d, by)...)
		}
	}
	if !alone && len(dims) > 1 {
		s.together(dims)
	}
}

// by is the least by which a dimension has to be lowered, beside other steps; 0 when
// that does not help.
func (s *search) by(d *dimension, beside []*insight.Step) int64 {
	return int64(least(int(d.slack()), func(n int) bool { return s.try(append(slices.Clone(beside), s.lower(d, int64(n))...)...) }))
}

// together lowers several dimensions: all as far as they go, then only those that
// have to be, and each as little as it has to be.
func (s *search) together(dims []*dimension) {
	by := make(map[*dimension]int64)
	for _, d := range dims {
		by[d] = d.slack()
	}
	steps := func(but *dimension) []*insight.Step {
		var out []*insight.Step
		for _, d := range dims {
			if d != but {
				out = append(out, s.lower(d, by[d])...)
			}
		}
		return out
	}
	if !s.try(steps(nil)...) {
		return
	}
	cost := 0.0
	for _, d := range dims {
		if rest := steps(d); s.try(rest...) {
			by[d] = 0
		} else if n := s.by(d, rest); n > 0 {
			by[d] = n
		}
		cost += float64(by[d]) / float64(d.have)
	}
	if cost < costMade {
		s.add(cost, steps(nil)...)
	}
}
