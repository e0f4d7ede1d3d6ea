package whatif

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched/advice"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// maxAdvised bounds the groups for which remedies are searched: half a second each.
const maxAdvised = 3

// conclude tells in what the end differs from the beginning.
func (s *stage) conclude(ctx context.Context) error {
	after, err := s.w.Basis(ctx)
	if err != nil {
		return err
	}
	a := s.answer
	a.After = fullness(after.Fleet())
	live := 0
	for x := range s.before.Allocs(state.Range{}) {
		if !x.Terminal() {
			live++
		}
	}
	a.Stays = live
	for _, id := range slices.SortedFunc(maps.Keys(s.touched), compareJobs) {
		s.job(id, after)
	}
	s.stranded(after)
	a.Fates = len(a.Allocs)
	a.Allocs = a.Allocs[:min(len(a.Allocs), insight.MaxFates)]
	s.course(s)
	return s.advise(after)
}

func compareJobs(a, b model.NamespacedID) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.ID, b.ID))
}

// change is what becomes of the instances of one job.
type change struct {
	*stage
	id            model.NamespacedID
	job           *model.Job // in the end; nil: gone
	system        bool
	before, after []*model.Allocation // that live
	heirs         map[string][]*model.Allocation
	groups        map[string]*insight.Outcome
}

// job compares the instances of a job.
func (s *stage) job(id model.NamespacedID, end *fleet.Basis) {
	c := &change{stage: s, id: id, job: end.Job(id.Namespace, id.ID), heirs: make(map[string][]*model.Allocation), groups: make(map[string]*insight.Outcome)}
	c.before, c.after = living(s.before, id), living(end, id)
	for _, list := range [][]*model.Allocation{c.before, c.after} {
		for _, a := range list {
			c.system = a.Job != nil && (a.Job.Type == model.JobTypeSystem || a.Job.Type == model.JobTypeSysbatch)
		}
	}
	old := make(map[string]bool)
	for _, a := range c.before {
		old[a.ID] = true
		c.group(a.TaskGroup).Before++
	}
	for _, a := range c.after {
		c.group(a.TaskGroup).After++
		if !old[a.ID] {
			c.heirs[c.key(a)] = append(c.heirs[c.key(a)], a)
		}
	}
	for _, a := range c.before {
		c.fate(a, end.Alloc(a.ID))
	}
	for _, a := range c.after {
		if h := c.heirs[c.key(a)]; len(h) > 0 && h[0] == a {
			c.heirs[c.key(a)] = h[1:]
			c.tell(&insight.Fate{AllocID: "", What: insight.FateStarts, ToID: a.NodeID, ToName: a.NodeName, After: s.taken[a.ID]}, a)
		}
	}
	c.pending(end)
	for _, name := range slices.Sorted(maps.Keys(c.groups)) {
		g := c.groups[name]
		if c.job != nil && !c.job.Stop {
			if spec := reconcile.Find(c.job, name); spec != nil {
				g.Count = spec.Count
			}
		}
		if g.Move+g.Stop+g.Start+g.Update > 0 || g.Pending != g.Waited {
			s.answer.Groups = append(s.answer.Groups, g)
		}
	}
}

func living(b *fleet.Basis, id model.NamespacedID) []*model.Allocation {
	list := slices.DeleteFunc(b.AllocsByJob(id.Namespace, id.ID), (*model.Allocation).Terminal)
	slices.SortFunc(list, func(a, b *model.Allocation) int {
		return cmp.Or(strings.Compare(a.TaskGroup, b.TaskGroup), cmp.Compare(a.Index(), b.Index()), strings.Compare(a.NodeName, b.NodeName), strings.Compare(a.ID, b.ID))
	})
	return list
}

// key is what an instance and its successor have in common.
func (c *change) key(a *model.Allocation) string {
	if c.system {
		return a.TaskGroup + "/" + a.NodeID
	}
	return a.Name
}

func (c *change) group(name string) *insight.Outcome {
	g := c.groups[name]
	if g == nil {
		g = &insight.Outcome{Namespace: c.id.Namespace, JobID: c.id.ID, Group: name}
		c.groups[name] = g
	}
	return g
}

// fate tells what becomes of an instance.
func (c *change) fate(a, end *model.Allocation) {
	f := &insight.Fate{AllocID: a.ID, NodeID: a.NodeID, NodeName: a.NodeName, After: c.taken[a.ID]}
	g := c.group(a.TaskGroup)
	if end != nil && !end.Terminal() {
		g.Stay++ // perhaps brought to a newer version in place
		return
	}
	c.answer.Stays--
	if end != nil {
		f.Reason = end.DesiredDescription
	}
	switch h := c.heirs[c.key(a)]; {
	case len(h) > 0:
		c.heirs[c.key(a)] = h[1:]
		f.ToID, f.ToName, f.What = h[0].NodeID, h[0].NodeName, insight.FateMoves
		if h[0].JobVersion != a.JobVersion {
			f.What = insight.FateUpdates
		}
	case c.wanted(a):
		f.What = insight.FatePending
	default:
		f.What = insight.FateStops
	}
	c.tell(f, a)
}

// wanted tells whether an instance of that name is still wanted.
func (c *change) wanted(a *model.Allocation) bool {
	if c.job == nil || c.job.Stop || c.system {
		return false
	}
	g := reconcile.Find(c.job, a.TaskGroup)
	return g != nil && a.Index() < g.Count
}

// tell adds a fate to the answer.
func (c *change) tell(f *insight.Fate, a *model.Allocation) {
	f.Name, f.Namespace, f.JobID, f.Group = a.Name, a.Namespace, a.JobID, a.TaskGroup
	g := c.group(a.TaskGroup)
	switch f.What {
	case insight.FateMoves:
		g.Move++
	case insight.FateStarts:
		g.Start++
	case insight.FateStops:
		g.Stop++
	case insight.FateUpdates:
		g.Update++
	case insight.FatePending:
		g.Pending++
	}
	c.answer.Allocs = append(c.answer.Allocs, f)
}

// pending says what of the job waits in the end, and why, and what did before.
func (c *change) pending(end *fleet.Basis) {
	for name, m := range blocked(c.stage.before, c.id) {
		c.group(name).Waited = 1 + m.CoalescedFailures
	}
	for name, m := range blocked(end, c.id) {
		g := c.group(name)
		g.Why = m
		g.Pending = max(g.Pending, 1+m.CoalescedFailures)
	}
}

// blocked are the groups of a job that wait for a place.
func blocked(b *fleet.Basis, id model.NamespacedID) map[string]*model.AllocationMetric {
	out := make(map[string]*model.AllocationMetric)
	for _, e := range b.EvalsByJob(id.Namespace, id.ID) {
		if e.Status == model.EvalBlocked {
			maps.Copy(out, e.FailedTGAllocs)
		}
	}
	return out
}

// stranded are instances on lost nodes that the brake has not given up as far as was
// looked ahead: nobody replaces them.
func (s *stage) stranded(end *fleet.Basis) {
	for _, n := range s.answer.Lost {
		now := end.Node(n.ID)
		if now == nil || now.Status == model.NodeStatusDown {
			continue
		}
		for _, a := range end.AllocsByNode(n.ID) {
			if a.Terminal() {
				continue
			}
			s.answer.Stays--
			s.answer.Allocs = append(s.answer.Allocs, &insight.Fate{
				AllocID: a.ID, Name: a.Name, Namespace: a.Namespace, JobID: a.JobID, Group: a.TaskGroup,
				What: insight.FatePending, NodeID: n.ID, NodeName: n.Name, Reason: "its node is held by the brake, and nothing replaces it",
			})
		}
	}
}

// advise searches for what would let be placed what waits in the end, of the groups
// that lack most.
func (s *stage) advise(end *fleet.Basis) error {
	groups := slices.DeleteFunc(slices.Clone(s.answer.Groups), func(g *insight.Outcome) bool { return g.Why == nil })
	slices.SortStableFunc(groups, func(a, b *insight.Outcome) int { return cmp.Compare(b.Pending, a.Pending) })
	for _, g := range groups[:min(len(groups), maxAdvised)] {
		env := end.Env(&model.Evaluation{ID: "what if", Namespace: g.Namespace, JobID: g.JobID}, s.w.Now())
		if e := advice.Explain(end, g.Namespace, g.JobID, env); e != nil {
			for _, x := range e.Groups {
				if x.Name == g.Group {
					g.Remedies = x.Remedies
				}
			}
		}
	}
	return nil
}

// fullness is how full the nodes of each datacenter and pool are.
func fullness(f *place.Fleet) []*insight.Fullness {
	type sum struct {
		*insight.Fullness
		total, used place.Amounts
	}
	sums := make(map[[2]string]*sum)
	f.Rooms(func(r place.Room) {
		if r.Node.Status != model.NodeStatusReady {
			return
		}
		key := [2]string{r.Node.Datacenter, r.Node.NodePool}
		x := sums[key]
		if x == nil {
			x = &sum{Fullness: &insight.Fullness{Datacenter: key[0], Pool: key[1]}}
			sums[key] = x
		}
		x.Nodes++
		used := place.Amounts{CPU: r.Total.CPU - r.Free.CPU, Memory: r.Total.Memory - r.Free.Memory, Disk: r.Total.Disk - r.Free.Disk}
		x.total.CPU, x.total.Memory, x.total.Disk = x.total.CPU+r.Total.CPU, x.total.Memory+r.Total.Memory, x.total.Disk+r.Total.Disk
		x.used.CPU, x.used.Memory, x.used.Disk = x.used.CPU+used.CPU, x.used.Memory+used.Memory, x.used.Disk+used.Disk
		worst(&x.CPU, r.Node.Name, used.CPU, r.Total.CPU)
		worst(&x.Memory, r.Node.Name, used.Memory, r.Total.Memory)
		worst(&x.Disk, r.Node.Name, used.Disk, r.Total.Disk)
	})
	out := []*insight.Fullness{}
	for _, x := range sums {
		x.CPU.Average, x.Memory.Average, x.Disk.Average = percent(x.used.CPU, x.total.CPU), percent(x.used.Memory, x.total.Memory), percent(x.used.Disk, x.total.Disk)
		out = append(out, x.Fullness)
	}
	slices.SortFunc(out, func(a, b *insight.Fullness) int {
		return cmp.Or(strings.Compare(a.Datacenter, b.Datacenter), strings.Compare(a.Pool, b.Pool))
	})
	return out
}

func worst(f *insight.Fill, name string, used, total int64) {
	if p := percent(used, total); f.On == "" || p > f.Worst || p == f.Worst && name < f.On {
		f.Worst, f.On = p, name
	}
}

// percent is a share with one decimal.
func percent(part, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return float64(part*1000/of) / 10
}
