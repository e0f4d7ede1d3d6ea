package advice

import (
	"cmp"
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched/place"
)

// neighbour is another job that holds what the group lacks.
type neighbour struct {
	job  *model.Job
	held int // its instances on nodes that are exhausted for the group
}

// others looks at the jobs that hold what there is too little of: of a priority that
// is not higher, the lowest first.
func (s *search) others() {
	for _, n := range s.neighbours() {
		step := insight.Step{Group: s.group.Name, Namespace: n.job.Namespace, JobID: n.job.ID, Priority: n.job.Priority}
		rank := 0.002 * float64(n.job.Priority)
		switch n.job.Type {
		case model.JobTypeBatch, model.JobTypeSysbatch:
			step.Do = insight.DoWait
			for _, a := range s.state.AllocsByJob(n.job.Namespace, n.job.ID) {
				if !a.Terminal() {
					step.From++
				}
			}
			if s.try(&step) {
				s.add(costWait+rank, &step)
			}
			continue
		case model.JobTypeService:
			if s.scale(n.job, step, rank) {
				continue
			}
		}
		if step.Do = insight.DoStop; s.try(&step) {
			s.add(costStop+rank, &step)
		}
	}
}

// scale looks for the least by which one group of another job has to be smaller.
func (s *search) scale(job *model.Job, step insight.Step, rank float64) bool {
	step.Do = insight.DoScale
	helps := false
	for _, g := range job.TaskGroups {
		less := func(by int) *insight.Step {
			next := step
			next.Task, next.From, next.To = g.Name, int64(g.Count), int64(g.Count-by)
			return &next
		}
		if by := least(g.Count, func(n int) bool { return s.try(less(n)) }); by > 0 {
			helps = true
			s.add(costScale+rank+float64(by)/float64(g.Count), less(by))
		}
	}
	return helps
}

// neighbours are the jobs that others looks at, bounded.
func (s *search) neighbours() []neighbour {
	var full []string
	s.board().Survey(s.ask, func(o place.Outcome) {
		if o.Kind == place.Exhausted {
			full = append(full, o.Node.ID)
		}
	})
	byJob := make(map[model.NamespacedID]*neighbour)
	for _, id := range full {
		for _, a := range s.state.AllocsByNode(id) {
			if a.Terminal() || a.JobID == s.job.ID && a.Namespace == s.job.Namespace {
				continue
			}
			key := model.NamespacedID{Namespace: a.Namespace, ID: a.JobID}
			if byJob[key] == nil {
				byJob[key] = &neighbour{job: s.state.Job(a.Namespace, a.JobID)}
			}
			byJob[key].held++
		}
	}
	var out []neighbour
	for _, n := range byJob {
		if n.job != nil && !n.job.Stop && n.job.Priority <= s.job.Priority {
			out = append(out, *n)
		}
	}
	slices.SortFunc(out, func(a, b neighbour) int {
		return cmp.Or(cmp.Compare(a.job.Priority, b.job.Priority), cmp.Compare(b.held, a.held),
			cmp.Compare(a.job.Namespace, b.job.Namespace), cmp.Compare(a.job.ID, b.job.ID))
	})
	return out[:min(len(out), maxWhere)]
}
