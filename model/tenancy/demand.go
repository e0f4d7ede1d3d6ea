package tenancy

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
)

// kinds of resources, as the fields of Resources.
const (
	cpu = iota
	cores
	memory
	memoryMax
	disk
	count
	kinds
)

// words are the names that limits have in quota files, and their units.
var words = [kinds]struct{ name, unit string }{
	{"cpu", " MHz"}, {"cores", ""}, {"memory", " MB"}, {"memory_max", " MB"}, {"disk", " MB"}, {"count", ""},
}

// Amount is how much of each kind of resource.
type Amount [kinds]int64

// Resources is the amount in the form that clients read.
func (a Amount) Resources() *Resources {
	return &Resources{
		CPU: int(a[cpu]), Cores: int(a[cores]), MemoryMB: int(a[memory]), MemoryMaxMB: int(a[memoryMax]), DiskMB: int(a[disk]), Count: int(a[count]),
	}
}

func (r *Resources) amount() Amount {
	return Amount{int64(r.CPU), int64(r.Cores), int64(r.MemoryMB), int64(r.MemoryMaxMB), int64(r.DiskMB), int64(r.Count)}
}

// Plus is the sum.
func (a Amount) Plus(b Amount) Amount {
	for i := range a {
		a[i] += b[i]
	}
	return a
}

// times is n of it.
func (a Amount) times(n int) Amount {
	for i := range a {
		a[i] *= int64(n)
	}
	return a
}

// one is what an instance of a group asks for: the sum of its tasks.
func one(g *model.TaskGroup) Amount {
	a := Amount{count: 1}
	if g.EphemeralDisk != nil {
		a[disk] = int64(g.EphemeralDisk.SizeMB)
	}
	for _, t := range g.Tasks {
		r := t.Resources
		if r == nil {
			continue
		}
		a[cores] += int64(r.Cores)
		if r.Cores == 0 {
			a[cpu] += int64(r.CPU)
		}
		a[memory] += int64(r.MemoryMB)
		a[memoryMax] += int64(max(r.MemoryMB, r.MemoryMaxMB))
	}
	return a
}

// Facts are what the demand of a job depends on besides its specification.
type Facts interface {
	// Nodes is how many nodes there are in the pool and the datacenters of a system
	// job, whatever their state.
	Nodes(job *model.Job) int
	// Done is how many instances of a group of a batch job have completed and are
	// not run again.
	Done(job *model.Job, group *model.TaskGroup) int
}

// Demand is what a job asks for: of service jobs count instances of each group, of
// batch jobs those that have not completed, none when nothing is left to do; of system
// jobs one for each node of their pool. What is stopped asks for nothing, and so do
// jobs that only launch others: their children ask.
func Demand(job *model.Job, facts Facts) Amount {
	var sum Amount
	for _, g := range job.TaskGroups {
		sum = sum.Plus(one(g).times(instances(job, g, facts)))
	}
	return sum
}

// instances is how many of a group count.
func instances(job *model.Job, g *model.TaskGroup, facts Facts) int {
	if job.Stop || launch.IsTemplate(job) || g.Count <= 0 {
		return 0
	}
	ends := job.Type == model.JobTypeBatch || job.Type == model.JobTypeSysbatch
	if ends && job.Status == model.JobStatusDead {
		return 0
	}
	n := g.Count
	if job.Type == model.JobTypeSystem || job.Type == model.JobTypeSysbatch {
		n = facts.Nodes(job)
	}
	if ends {
		n -= facts.Done(job, g)
	}
	return max(0, n)
}

// Use is what jobs ask for together.
type Use struct {
	Amount Amount
	Jobs   int // that ask for something
}

// Add counts a job.
func (u *Use) Add(job *model.Job, facts Facts) {
	a := Demand(job, facts)
	if a == (Amount{}) {
		return
	}
	u.Amount = u.Amount.Plus(a)
	u.Jobs++
}

// Child is a job as a job that launches others would launch it.
func Child(job *model.Job) *model.Job {
	child := *job
	child.Periodic, child.Dispatched, child.Stop, child.Status = nil, true, false, model.JobStatusPending
	return &child
}
