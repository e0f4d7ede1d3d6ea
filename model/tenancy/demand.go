package tenancy

import (
	"math"

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

// Plus is the sum. What is beyond all numbers stays there: it must not come round.
func (a Amount) Plus(b Amount) Amount {
	for i := range a {
		a[i] = plus(a[i], b[i])
	}
	return a
}

// times is n of it.
func (a Amount) times(n int) Amount {
	for i := range a {
		if n > 0 && a[i] > math.MaxInt64/int64(n) {
			a[i] = math.MaxInt64
		} else {
			a[i] *= int64(n)
		}
	}
	return a
}

// plus adds what is not negative.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
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
	// Done are the instances of a group of a batch job, by index, that have completed
	// and are not run again; of a sysbatch job one index for each node.
	Done(job *model.Job, group *model.TaskGroup) []int
}

// Demand is what a job asks for: of service jobs count instances of each group, of
// batch jobs those that have not completed, none when nothing is left to do; of system
// jobs one for each node of their pool. What is stopped asks for nothing, and so do
// jobs that only launch others: their children ask.
func Demand(job *model.Job, facts Facts) Amount {
	var sum Amount
	if asksNothing(job) {
		return sum
	}
	for _, g := range job.TaskGroups {
		if n := partOf(job, g, facts).instances(g.Count); n > 0 {
			sum = sum.Plus(one(g).times(n))
		}
	}
	return sum.capped()
}

// capped is the amount, of each kind at most as much as counts.
func (a Amount) capped() Amount {
	for i := range a {
		a[i] = min(a[i], most)
	}
	return a
}

func ends(job *model.Job) bool {
	return job.Type == model.JobTypeBatch || job.Type == model.JobTypeSysbatch
}

func system(job *model.Job) bool {
	return job.Type == model.JobTypeSystem || job.Type == model.JobTypeSysbatch
}

func asksNothing(job *model.Job) bool {
	return job.Stop || ends(job) && job.Status == model.JobStatusDead || launch.IsTemplate(job)
}

// part is a group of a job, by what its number of instances follows from.
type part struct {
	nodes   int // of a system job
	perNode bool
	done    []int
}

func partOf(job *model.Job, g *model.TaskGroup, facts Facts) part {
	p := part{perNode: system(job)}
	if p.perNode {
		p.nodes = facts.Nodes(job)
	}
	if ends(job) {
		p.done = facts.Done(job, g)
	}
	return p
}

// instances is how many of the group count when its count is that.
func (p part) instances(count int) int {
	if count <= 0 {
		return 0
	}
	if p.perNode {
		return max(0, p.nodes-len(p.done))
	}
	n := count
	for _, i := range p.done {
		if i < count {
			n--
		}
	}
	return n
}

// Use is what jobs ask for together.
type Use struct {
	Amount Amount
	Jobs   int // that ask for something
}

// Add counts a job.
func (u *Use) Add(job *model.Job, facts Facts) { u.Count(job, facts, 1) }

// most bounds what counts of one job, so that sums of all jobs are numbers, and can be
// taken apart again. It is beyond every limit, see MaxLimit.
const most = 1 << 41

// Count counts a job by times; -1 takes back what 1 counted.
func (u *Use) Count(job *model.Job, facts Facts, by int) {
	a := Demand(job, facts)
	if a == (Amount{}) {
		return
	}
	for i := range a {
		u.Amount[i] += int64(by) * a[i]
	}
	u.Jobs += by
}

// Child is a job as a job that launches others would launch it.
func Child(job *model.Job) *model.Job {
	child := *job
	child.Periodic, child.Dispatched, child.Stop, child.Status = nil, true, false, model.JobStatusPending
	return &child
}
