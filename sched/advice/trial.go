package advice

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/place/class"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// trial is the state with some steps taken.
type trial struct {
	State
	job    *model.Job
	edited bool // job is the trial's own
	fleet  *place.Fleet
	nodes  map[string]*model.Node // that are new, or not as they are
}

func newTrial(s State, job *model.Job, steps []*insight.Step) *trial {
	t := &trial{State: s, job: job, fleet: s.Fleet().Fork(), nodes: make(map[string]*model.Node)}
	for _, step := range steps {
		t.take(step)
	}
	return t
}

// Job implements sched.State.
func (t *trial) Job(namespace, id string) *model.Job {
	if namespace == t.job.Namespace && id == t.job.ID {
		return t.job
	}
	return t.State.Job(namespace, id)
}

// Node implements sched.State.
func (t *trial) Node(id string) *model.Node {
	if n := t.nodes[id]; n != nil {
		return n
	}
	return t.State.Node(id)
}

// AllocsByJob implements sched.State: what was to leave a node that takes work again
// stays.
func (t *trial) AllocsByJob(namespace, id string) []*model.Allocation {
	list := t.State.AllocsByJob(namespace, id)
	for i, a := range list {
		if m := a.DesiredTransition.Migrate; m != nil && *m && !a.Terminal() && t.nodes[a.NodeID] != nil {
			next, no := *a, false
			next.DesiredTransition.Migrate = &no
			list[i] = &next
		}
	}
	return list
}

// Fleet implements sched.State.
func (t *trial) Fleet() *place.Fleet { return t.fleet }

// take takes one step.
func (t *trial) take(s *insight.Step) {
	switch s.Do {
	case insight.DoReady:
		for _, id := range s.Nodes {
			t.change(id, revive)
		}
	case insight.DoDriver:
		for _, id := range s.Nodes {
			t.change(id, func(n *model.Node) { equip(n, t.job, s.Group) })
		}
	case insight.DoAdd:
		for i := range s.To {
			n := clone(t.model(s), fmt.Sprintf("advice-%d", i))
			for _, a := range s.Size.Apart {
				give(n, a, n.ID)
			}
			t.set(n)
		}
	case insight.DoScale, insight.DoWait, insight.DoStop:
		for _, a := range t.AllocsByJob(s.Namespace, s.JobID) {
			if s.Do != insight.DoScale || a.TaskGroup == s.Task && a.Index() >= int(s.To) {
				t.fleet.UpsertAlloc(a, nil)
			}
		}
	default:
		if !t.edited {
			next := t.job.Copy()
			next.Version, next.JobModifyIndex = next.Version+1, next.JobModifyIndex+1
			t.job, t.edited = next, true
		}
		edit(t.job, s)
	}
}

// model is the node that others are made like.
func (t *trial) model(s *insight.Step) *model.Node {
	if len(s.Nodes) > 0 {
		return t.Node(s.Nodes[0])
	}
	return made(t.job, reconcile.Find(t.job, s.Group), s.Size)
}

func (t *trial) change(id string, f func(n *model.Node)) {
	now := t.Node(id)
	if now == nil {
		return
	}
	next := *now
	f(&next)
	t.set(&next)
}

func (t *trial) set(n *model.Node) {
	n.ComputedClass = class.Computed(n)
	t.nodes[n.ID] = n
	t.fleet.UpsertNode(n)
}

// revive has a node take work.
func revive(n *model.Node) {
	n.Status, n.SchedulingEligibility = model.NodeStatusReady, model.NodeEligible
	n.Drain, n.DrainStrategy = false, nil
}

// equip gives a node the drivers that a group needs.
func equip(n *model.Node, job *model.Job, group string) {
	drivers := make(map[string]*model.DriverInfo, len(n.Drivers))
	for name, d := range n.Drivers {
		drivers[name] = d
	}
	for _, name := range place.NewAsk(job, reconcile.Find(job, group)).Drivers {
		drivers[name] = &model.DriverInfo{Detected: true, Healthy: true}
	}
	n.Drivers = drivers
}

// clone is a new node like another one, with nothing on it.
func clone(like *model.Node, id string) *model.Node {
	n := *like
	n.ID, n.Name = id, id
	revive(&n)
	return &n
}

// edit changes a job, which is the trial's own.
func edit(job *model.Job, s *insight.Step) {
	g := reconcile.Find(job, s.Group)
	switch s.Do {
	case insight.DoLower:
		lower(g, s)
	case insight.DoCount:
		g.Count = int(s.To)
	case insight.DoDrop:
		list := constraints(job, g, s)
		*list = slices.Delete(slices.Clone(*list), s.Position-1, s.Position)
	case insight.DoLimit:
		(*constraints(job, g, s))[s.Position-1].RTarget = strconv.FormatInt(s.To, 10)
	case insight.DoPort:
		for _, n := range g.Networks {
			for i, p := range n.ReservedPorts {
				if p.Label == s.What {
					p.Value = 0
					n.DynamicPorts = append(slices.Clone(n.DynamicPorts), p)
					n.ReservedPorts = slices.Delete(slices.Clone(n.ReservedPorts), i, i+1)
					break
				}
			}
		}
	case insight.DoDevice:
		r := taskOf(g, s.Task).Resources
		if r.Devices[s.Position-1].Count = uint64(s.To); s.To == 0 {
			r.Devices = slices.Delete(slices.Clone(r.Devices), s.Position-1, s.Position)
		}
	case insight.DoDatacenter:
		job.Datacenters = append(slices.Clone(job.Datacenters), s.What)
	case insight.DoPool:
		job.NodePool = s.What
	case insight.DoAvoid:
		for _, id := range s.Nodes {
			g.Constraints = append(slices.Clone(g.Constraints), &model.Constraint{LTarget: "${node.unique.id}", Operand: "!=", RTarget: id})
		}
	}
}

// constraints is the list that a step is about.
func constraints(job *model.Job, g *model.TaskGroup, s *insight.Step) *[]*model.Constraint {
	switch s.Where {
	case insight.InJob:
		return &job.Constraints
	case insight.InTask:
		return &taskOf(g, s.Task).Constraints
	}
	return &g.Constraints
}

func taskOf(g *model.TaskGroup, name string) *model.Task {
	return g.Tasks[slices.IndexFunc(g.Tasks, func(t *model.Task) bool { return t.Name == name })]
}

func lower(g *model.TaskGroup, s *insight.Step) {
	if s.What == place.DimDisk {
		g.EphemeralDisk.SizeMB = int(s.To)
		return
	}
	r := taskOf(g, s.Task).Resources
	switch s.What {
	case place.DimCPU:
		r.CPU = int(s.To)
	case place.DimMemory:
		r.MemoryMB = int(s.To)
	case place.DimCores:
		r.Cores = int(s.To)
	}
}

// places tells whether the group is placed whole with the steps, and the others no
// less than now.
func (d *decision) places(group string, steps []*insight.Step) bool {
	t := newTrial(d.state, d.job, steps)
	eval := *d.eval
	plan := sched.Process(t, &eval, d.env).Plan
	if plan.Eval.Status == model.EvalFailed || plan.Eval.FailedTGAllocs[group] != nil {
		return false
	}
	for name, m := range plan.Eval.FailedTGAllocs {
		if 1+m.CoalescedFailures > d.missing(name) {
			return false
		}
	}
	return true
}
