package advice

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/reconcile"
)

const (
	// maxRuns and minRuns bound how often the scheduler is run for one group, workRows
	// about how many nodes it looks at in all: half a second. An instance that is placed, or
	// looked at, is about as much work as placeRows nodes.
	maxRuns, minRuns = 400, 16
	workRows         = 2_000_000
	placeRows        = 10
)

// Costs order remedies: numbers of the job by how much is lost, then what takes more
// and more of a hand to change.
const (
	costReady      = 0.05 // a node is there already
	costWait       = 0.9
	costAvoid      = 0.92
	costLimit      = 0.95
	costAdd        = 1.0
	costPort       = 1.1
	costConstraint = 1.2
	costDevice     = 1.22 // and by how much is lost
	costScale      = 1.25 // another job
	costDriver     = 1.4
	costDatacenter = 1.5
	costPool       = 1.6
	costCount      = 1.7 // and by how much is lost
	costStop       = 2.8
	costMade       = 3.0
)

// found is a remedy with its cost.
type found struct {
	cost   float64
	remedy *insight.Remedy
}

// search looks for what would let a group be placed.
type search struct {
	*decision
	group   *model.TaskGroup
	ask     *place.Ask
	missing int
	runs    int
	list    []found
}

// Remedies names what would let all that is missing of a group be placed, the
// smallest change first.
func (d *decision) Remedies(group string) []*insight.Remedy {
	g := reconcile.Find(d.job, group)
	if g == nil || d.missing(group) == 0 {
		return nil
	}
	s := &search{decision: d, group: g, ask: place.NewAsk(d.job, g), missing: d.missing(group)}
	s.runs = min(maxRuns, max(minRuns, workRows/(1+d.state.Fleet().Len()+placeRows*(s.missing+d.waiting()+d.live()))))
	s.unready()
	s.amounts()
	s.ports()
	s.devices()
	s.constraints()
	s.drivers()
	s.where()
	s.others()
	s.count()
	if len(s.list) == 0 {
		s.several()
	}
	s.nodes()
	slices.SortStableFunc(s.list, func(a, b found) int { return cmp.Compare(a.cost, b.cost) })
	var out []*insight.Remedy
	for _, f := range s.list[:min(len(s.list), MaxRemedies)] {
		out = append(out, f.remedy)
	}
	return out
}

// Remedies is Explain's for the groups of a plan that could not be placed, on the
// state that it was made on.
func Remedies(s State, job *model.Job, plan *model.Plan, env sched.Env) map[string][]*insight.Remedy {
	d := newDecision(s, job, env)
	out := make(map[string][]*insight.Remedy)
	for group := range plan.Eval.FailedTGAllocs {
		out[group] = d.Remedies(group)
	}
	return out
}

// try runs the scheduler on the state with the steps; false when the budget is spent.
func (s *search) try(steps ...*insight.Step) bool {
	if s.runs <= 0 {
		return false
	}
	s.runs--
	return s.places(s.group.Name, steps)
}

func (s *search) add(cost float64, steps ...*insight.Step) {
	s.list = append(s.list, found{cost, insight.NewRemedy(true, steps...)})
}

// least is the smallest n from 1 to limit for which ok holds, which stays true above;
// 0 when it does not hold for limit.
func least(limit int, ok func(n int) bool) int {
	if limit < 1 || !ok(limit) {
		return 0
	}
	lo, hi := 0, limit // not lo, but hi
	for step := 1; lo+step < hi; step *= 2 {
		if ok(lo + step) {
			hi = lo + step
			break
		}
		lo += step
	}
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; ok(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// prefix finds how many of the first nodes a step must be about.
func (s *search) prefix(nodes []*model.Node, cost float64, step func(nodes []*model.Node) *insight.Step) {
	n := least(min(len(nodes), maxNodes), func(n int) bool { return s.try(step(nodes[:n])) })
	if n > 0 {
		s.add(cost+0.01*float64(n), step(nodes[:n]))
	}
}

// maxNodes bounds the nodes of a step: nobody changes more by hand.
const maxNodes = 100

// candidates are the nodes that are off for a reason of a kind, and that the ask would
// fit on once they are changed; those with the most room first.
func (s *search) candidates(kind string, change func(n *model.Node), rank func(n *model.Node) int) []*model.Node {
	var off []*model.Node
	b := s.board()
	b.Survey(s.ask, func(o place.Outcome) {
		if o.Kind == kind {
			off = append(off, o.Node)
		}
	})
	fits := make(map[string]place.Amounts)
	t := newTrial(s.state, s.job, nil)
	for _, n := range off {
		t.change(n.ID, change)
	}
	changed := *s.decision
	changed.state = t
	changed.board().Survey(s.ask, func(o place.Outcome) {
		if o.Kind == "" {
			fits[o.Node.ID] = o.Free
		}
	})
	off = slices.DeleteFunc(off, func(n *model.Node) bool { _, ok := fits[n.ID]; return !ok })
	slices.SortFunc(off, func(a, b *model.Node) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(fits[b.ID].Memory, fits[a.ID].Memory), strings.Compare(a.ID, b.ID))
	})
	return off
}

// unready looks at nodes that take no work: those that an operator only has to make
// eligible come before those that are drained, and these before those that are down.
func (s *search) unready() {
	rank := func(n *model.Node) int {
		switch {
		case n.Status != model.NodeStatusReady:
			return 2
		case n.DrainStrategy != nil:
			return 1
		}
		return 0
	}
	nodes := s.candidates(place.NotReady, revive, rank)
	s.prefix(nodes, costReady, func(nodes []*model.Node) *insight.Step {
		step := &insight.Step{Do: insight.DoReady, Group: s.group.Name}
		for _, n := range nodes {
			step.Nodes, step.Names = append(step.Nodes, n.ID), append(step.Names, n.Name+" ("+unready(n)+")")
		}
		return step
	})
}

func unready(n *model.Node) string {
	switch {
	case n.Status != model.NodeStatusReady:
		return "it is " + n.Status
	case n.DrainStrategy != nil:
		return "it is being drained: wait until that is done, or call it off"
	}
	return "it is not eligible"
}

// drivers looks at nodes that lack a driver.
func (s *search) drivers() {
	nodes := s.candidates(place.LacksDriver, func(n *model.Node) { equip(n, s.job, s.group.Name) }, func(*model.Node) int { return 0 })
	s.prefix(nodes, costDriver, func(nodes []*model.Node) *insight.Step {
		step := &insight.Step{Do: insight.DoDriver, Group: s.group.Name, What: strings.Join(s.ask.Drivers, ", ")}
		for _, n := range nodes {
			step.Nodes, step.Names = append(step.Nodes, n.ID), append(step.Names, n.Name)
		}
		return step
	})
}

// ports lets static ports be dynamic.
func (s *search) ports() {
	for _, p := range s.ask.Ports {
		if p.Value == 0 {
			continue
		}
		step := &insight.Step{Do: insight.DoPort, Group: s.group.Name, What: p.Label, From: int64(p.Value)}
		if s.try(step) {
			s.add(costPort, step)
		}
	}
}

// devices lets tasks ask for fewer devices, or for none.
func (s *search) devices() {
	for _, t := range s.group.Tasks {
		if t.Resources == nil {
			continue
		}
		for i, d := range t.Resources.Devices {
			step := func(by int) *insight.Step {
				return &insight.Step{
					Do: insight.DoDevice, Group: s.group.Name, Task: t.Name, What: d.Name, Position: i + 1,
					From: int64(d.Count), To: int64(d.Count) - int64(by),
				}
			}
			if by := least(int(min(d.Count, math.MaxInt32)), func(n int) bool { return s.try(step(n)) }); by > 0 {
				s.add(costDevice+float64(by)/float64(d.Count), step(by))
			}
		}
	}
}

// where looks at other datacenters and pools.
func (s *search) where() {
	dcs, pools := make(map[string]bool), make(map[string]bool)
	s.board().Survey(s.ask, func(o place.Outcome) {
		switch o.Kind {
		case place.OutOfDatacenter:
			dcs[o.Node.Datacenter] = true
		case place.OutOfPool:
			pools[o.Node.NodePool] = true
		}
	})
	for _, dc := range sorted(dcs) {
		if step := (&insight.Step{Do: insight.DoDatacenter, Group: s.group.Name, What: dc}); s.try(step) {
			s.add(costDatacenter, step)
		}
	}
	for _, pool := range sorted(pools) {
		if step := (&insight.Step{Do: insight.DoPool, Group: s.group.Name, What: pool}); s.try(step) {
			s.add(costPool, step)
		}
	}
}

// maxWhere bounds the datacenters, pools and jobs that are tried.
const maxWhere = 8

func sorted(set map[string]bool) []string {
	var out []string
	for v := range set {
		out = append(out, v)
	}
	slices.Sort(out)
	return out[:min(len(out), maxWhere)]
}

// count looks for how many instances there is room.
func (s *search) count() {
	if s.system() {
		s.avoid()
	}
	if s.group.Count < 2 || s.system() {
		return
	}
	step := func(less int) *insight.Step {
		return &insight.Step{Do: insight.DoCount, Group: s.group.Name, From: int64(s.group.Count), To: int64(s.group.Count - less)}
	}
	if less := least(s.group.Count-1, func(n int) bool { return s.try(step(n)) }); less > 0 {
		s.add(costCount+float64(less)/float64(s.group.Count), step(less))
	}
}

// avoid keeps a system job off the nodes that have too little room.
func (s *search) avoid() {
	step := &insight.Step{Do: insight.DoAvoid, Group: s.group.Name}
	s.board().Survey(s.ask, func(o place.Outcome) {
		if o.Kind == place.Exhausted {
			step.Nodes, step.Names = append(step.Nodes, o.Node.ID), append(step.Names, o.Node.Name)
		}
	})
	if n := len(step.Nodes); n > 0 && n <= maxNodes && s.try(step) {
		s.add(costAvoid, step)
	}
}

func (s *search) system() bool {
	return s.job.Type == model.JobTypeSystem || s.job.Type == model.JobTypeSysbatch
}
