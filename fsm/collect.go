package fsm

import (
	"github.com/steppe-project/steppe/model"
)

// Collect removes what has ended, as the garbage collector chose it some time
// ago. What is not (any more) at its end stays: evaluations and deployments
// that are not final, allocations whose node has not said that they ended, jobs
// that are not dead or have live allocations or open evaluations, nodes that are
// not down or have live allocations. Rows that are gone are fine. The order is
// that of the fields. Value: *Collected.
type Collect struct {
	Evals       []string
	Allocs      []string
	Deployments []string
	Jobs        []model.NamespacedID
	Nodes       []string
}

// Collected counts what was removed and names what was kept.
type Collected struct {
	Evals       int
	Allocs      int
	Deployments int
	Jobs        int
	Nodes       int
	Kept        []string // ids
}

// Kind is KindCollect.
func (*Collect) Kind() Kind { return KindCollect }

func (c *Collect) apply(x *tx) (result, error) {
	out := &Collected{}
	for _, id := range c.Evals {
		if e := x.Eval(id); e != nil {
			x.collect(e, id, e.Terminal(), &out.Evals, out)
		}
	}
	for _, id := range c.Allocs {
		if a := x.Alloc(id); a != nil {
			x.collect(a, id, a.ClientTerminal(), &out.Allocs, out)
		}
	}
	for _, id := range c.Deployments {
		if d := x.Deployment(id); d != nil {
			final := d.Status != model.DeploymentRunning && d.Status != model.DeploymentPaused
			x.collect(d, id, final, &out.Deployments, out)
		}
	}
	for _, id := range c.Jobs {
		x.collectJob(id, out)
	}
	for _, id := range c.Nodes {
		if n := x.Node(id); n != nil {
			x.collect(n, id, n.Status == model.NodeStatusDown && !x.liveOnNode(id), &out.Nodes, out)
		}
	}
	return out, nil
}

// collect removes a row when it may go.
func (x *tx) collect(row any, id string, ended bool, count *int, out *Collected) {
	if !ended {
		out.Kept = append(out.Kept, id)
		return
	}
	x.Delete(row)
	*count++
}

// collectJob removes a dead job with everything of it.
func (x *tx) collectJob(id model.NamespacedID, out *Collected) {
	job := x.Job(id.Namespace, id.ID)
	if job == nil {
		return
	}
	if job.Status != model.JobStatusDead || x.busy(job) {
		out.Kept = append(out.Kept, id.ID)
		return
	}
	x.purgeJob(job)
	out.Jobs++
}

// busy tells whether something of the job still goes on. The status may lag
// within the command: it is settled at its end.
func (x *tx) busy(job *model.Job) bool {
	for a := range x.AllocsByJob(job.Namespace, job.ID) {
		if !a.Terminal() {
			return true
		}
	}
	for e := range x.EvalsByJob(job.Namespace, job.ID) {
		if !e.Terminal() {
			return true
		}
	}
	return false
}

func (x *tx) liveOnNode(id string) bool {
	for a := range x.AllocsByNode(id) {
		if !a.ClientTerminal() {
			return true
		}
	}
	return false
}
