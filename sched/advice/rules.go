package advice

import (
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/model/relation"
	"github.com/steppe-project/steppe/sched/place"
)

// rule is a constraint with where it stands.
type rule struct {
	step *insight.Step
	c    *model.Constraint
}

// rules are all constraints that the group is under.
func rules(job *model.Job, g *model.TaskGroup) []rule {
	var out []rule
	list := func(where, task string, list []*model.Constraint) {
		for i, c := range list {
			out = append(out, rule{&insight.Step{
				Do: insight.DoDrop, Group: g.Name, Task: task, Where: where, Position: i + 1, What: place.ConstraintText(c),
			}, c})
		}
	}
	list(insight.InJob, "", job.Constraints)
	list(insight.InGroup, "", g.Constraints)
	for _, t := range g.Tasks {
		list(insight.InTask, t.Name, t.Constraints)
	}
	return out
}

// constraints looks at each constraint alone: dropped, or its limit raised.
func (s *search) constraints() {
	for _, r := range rules(s.job, s.group) {
		if !s.try(r.step) {
			continue
		}
		s.add(costConstraint, r.step)
		if r.c.Operand != relation.DistinctProperty {
			continue
		}
		from := limitOf(r.c)
		raise := func(by int) *insight.Step {
			step := *r.step
			step.Do, step.From, step.To = insight.DoLimit, int64(from), int64(from+by)
			return &step
		}
		if by := least(s.group.Count, func(n int) bool { return s.try(raise(n)) }); by > 0 {
			s.add(costLimit, raise(by))
		}
	}
}

func limitOf(c *model.Constraint) int {
	limit, err := strconv.Atoi(strings.TrimSpace(c.RTarget))
	if err != nil || limit < 1 {
		return 1
	}
	return limit
}

// several are for what no single change helps: two of the coarse ones, else as few of
// all as are needed.
func (s *search) several() {
	coarse := s.coarse()
	for i := range coarse {
		for k := range i {
			// Of two constraints of a list the later goes first, so that both keep their number.
			if pair := [][]*insight.Step{coarse[i], coarse[k]}; s.try(flat(pair)...) {
				s.add(costMade-0.5, s.fine(pair)...)
				return
			}
		}
	}
	slices.Reverse(coarse)
	if !s.try(flat(coarse)...) {
		return
	}
	for i := 0; i < len(coarse); {
		rest := slices.Delete(slices.Clone(coarse), i, i+1)
		if s.try(flat(rest)...) {
			coarse = rest
		} else {
			i++
		}
	}
	s.add(costMade-0.3, s.fine(coarse)...)
}

func flat(list [][]*insight.Step) []*insight.Step { return slices.Concat(list...) }

// coarse are the changes that go as far as they can.
func (s *search) coarse() [][]*insight.Step {
	var out [][]*insight.Step
	for _, d := range s.dimensions() {
		out = append(out, s.lower(d, d.slack()))
	}
	for _, p := range s.ask.Ports {
		if p.Value != 0 {
			out = append(out, []*insight.Step{{Do: insight.DoPort, Group: s.group.Name, What: p.Label, From: int64(p.Value)}})
		}
	}
	for _, r := range rules(s.job, s.group) {
		out = append(out, []*insight.Step{r.step})
	}
	dcs, pools := make(map[string]bool), make(map[string]bool)
	for _, n := range s.state.AllNodes() {
		dcs[n.Datacenter], pools[n.NodePool] = true, true
	}
	for _, dc := range sorted(dcs) {
		out = append(out, []*insight.Step{{Do: insight.DoDatacenter, Group: s.group.Name, What: dc}})
	}
	for _, pool := range sorted(pools) {
		if pool != s.ask.Pool {
			out = append(out, []*insight.Step{{Do: insight.DoPool, Group: s.group.Name, What: pool}})
		}
	}
	return out
}

// fine lowers amounts no further than they have to be.
func (s *search) fine(list [][]*insight.Step) []*insight.Step {
	for i := range list {
		for _, d := range s.dimensions() {
			if list[i][0].Do != insight.DoLower || list[i][0].What != d.name {
				continue
			}
			rest := slices.Delete(slices.Clone(list), i, i+1)
			if by := s.by(d, flat(rest)); by > 0 {
				list[i] = s.lower(d, by)
			}
		}
	}
	return flat(list)
}
