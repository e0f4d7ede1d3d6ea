package place

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
	"github.com/steppe-project/steppe/sched/place/device"
	"github.com/steppe-project/steppe/sched/place/rank"
)

// Ask is what one instance of a group needs of its node, compiled once for many
// instances. It is immutable; the With functions return changed copies.
type Ask struct {
	Job   *model.Job
	Group *model.TaskGroup

	CPU       int64 // MHz, beside those of reserved cores
	Memory    int64 // MB
	Disk      int64 // MB
	Cores     int   // to be reserved
	Devices   []device.Ask
	Ports     []PortAsk
	Drivers   []string // sorted, each once
	Pool      string
	DCs       []string // globs; none = all
	rules     []*predicate
	escaped   bool // a rule looks at what tells single nodes apart
	jobHosts  bool // no two instances of the job on a node
	hosts     bool // no two instances of the group on a node
	distinct  []*distinct
	likings   []liking
	prefers   bool // there are likings, or devices have some
	likesIDs  bool // a liking looks at what tells single nodes apart
	spreads   []*rank.Block
	spreadBy  []operand // attribute of each
	spreadIDs bool      // a spread does
	mean      rank.Mean // of what it prefers
}

// PortAsk is one port of the group's networks; Value 0 asks for any.
type PortAsk struct {
	model.Port
	network int // index of the network in the group
}

// distinct is a compiled distinct_property: at most limit instances on nodes of
// one value.
type distinct struct {
	text  string
	value operand
	limit int
	job   bool // counts all groups of the job
}

// NewAsk compiles what a group of a job needs.
func NewAsk(job *model.Job, group *model.TaskGroup) *Ask {
	a := &Ask{Job: job, Group: group, Pool: job.NodePool, DCs: job.Datacenters}
	if a.Pool == "" {
		a.Pool = model.DefaultNodePool
	}
	a.addConstraints(job.Constraints, true)
	a.addConstraints(group.Constraints, false)
	a.addAffinities(job.Affinities)
	a.addAffinities(group.Affinities)
	a.addSpreads(job.Spreads, group.Spreads)
	a.Disk = diskOf(group)
	for _, t := range group.Tasks {
		a.addConstraints(t.Constraints, false)
		a.addAffinities(t.Affinities)
		if t.Driver != "" {
			a.Drivers = append(a.Drivers, t.Driver)
		}
		if r := t.Resources; r != nil {
			a.Memory += int64(r.MemoryMB)
			a.Cores += r.Cores
			if r.Cores == 0 {
				a.CPU += int64(r.CPU)
			}
		}
	}
	a.addDevices()
	if a.prefers {
		a.mean++
	}
	if len(a.spreads) > 0 {
		a.mean += rank.SpreadFactor
	}
	slices.Sort(a.Drivers)
	a.Drivers = slices.Compact(a.Drivers)
	for i, n := range group.Networks {
		for _, p := range n.ReservedPorts {
			a.Ports = append(a.Ports, PortAsk{Port: p, network: i})
		}
		for _, p := range n.DynamicPorts {
			p.Value = 0
			a.Ports = append(a.Ports, PortAsk{Port: p, network: i})
		}
	}
	return a
}

func (a *Ask) addDevices() {
	a.prefers = len(a.likings) > 0
	a.Devices = device.Asks(a.Group)
	for i := range a.Devices {
		d := &a.Devices[i]
		a.prefers, a.escaped, a.likesIDs = a.prefers || d.Prefers(), a.escaped || d.Unique, a.likesIDs || d.LikesUnique
	}
}

// diskOf is the size of a group's allocation directory in MB.
func diskOf(g *model.TaskGroup) int64 {
	if g.EphemeralDisk == nil {
		return 0
	}
	return int64(g.EphemeralDisk.SizeMB)
}

func (a *Ask) addConstraints(list []*model.Constraint, job bool) {
	for _, c := range list {
		switch c.Operand {
		case relation.DistinctHosts:
			if on, err := strconv.ParseBool(c.RTarget); err == nil && !on {
				continue
			}
			a.jobHosts = a.jobHosts || job
			a.hosts = a.hosts || !job
		case relation.DistinctProperty:
			limit, err := strconv.Atoi(strings.TrimSpace(c.RTarget))
			if err != nil || limit < 1 {
				limit = 1
			}
			a.distinct = append(a.distinct, &distinct{
				text: relation.DistinctProperty + ": " + c.LTarget, value: parseOperand(c.LTarget), limit: limit, job: job,
			})
		default:
			r := newPredicate(c)
			a.rules = append(a.rules, r)
			a.escaped = a.escaped || r.escaped()
		}
	}
}

// inDC tells whether the job may run in a datacenter. Patterns were checked when
// the job was submitted; a malformed one matches nothing.
func (a *Ask) inDC(dc string) bool {
	for _, glob := range a.DCs {
		if glob == "*" {
			return true
		}
		if ok, err := path.Match(glob, dc); ok && err == nil {
			return true
		}
	}
	return len(a.DCs) == 0
}

// inPool tells whether the job may run in a node pool.
func (a *Ask) inPool(pool string) bool {
	if pool == "" {
		pool = model.DefaultNodePool
	}
	return a.Pool == model.AllNodePool || a.Pool == pool
}

// own tells whether each instance has a grant of its own.
func (a *Ask) own() bool { return len(a.Ports) > 0 || a.Cores > 0 || len(a.Devices) > 0 }

// LimitsPeers tells whether instances restrict where others may run.
func (a *Ask) LimitsPeers() bool { return a.jobHosts || a.hosts || len(a.distinct) > 0 }

// Constraints are the texts of the constraints on the node alone.
func (a *Ask) Constraints() []string {
	var out []string
	for _, r := range a.rules {
		out = append(out, r.text)
	}
	return out
}

// WithoutConstraint is the ask without constraint i of Constraints.
func (a *Ask) WithoutConstraint(i int) *Ask {
	next := *a
	next.rules = slices.Delete(slices.Clone(a.rules), i, i+1)
	return &next
}

// WithoutPeerLimits is the ask without distinct_hosts and distinct_property.
func (a *Ask) WithoutPeerLimits() *Ask {
	next := *a
	next.jobHosts, next.hosts, next.distinct = false, false, nil
	return &next
}

// OncePerNode is the ask of a system job, which never runs twice on a node.
func (a *Ask) OncePerNode() *Ask {
	next := *a
	next.hosts = true
	return &next
}

// WithoutDrivers is the ask of a node that lacks drivers.
func (a *Ask) WithoutDrivers() *Ask {
	next := *a
	next.Drivers = nil
	return &next
}

// WithoutDevice is the ask without device i of Devices.
func (a *Ask) WithoutDevice(i int) *Ask {
	next := *a
	next.Devices = slices.Delete(slices.Clone(a.Devices), i, i+1)
	return &next
}

// WithoutPort is the ask without port i of Ports.
func (a *Ask) WithoutPort(i int) *Ask {
	next := *a
	next.Ports = slices.Delete(slices.Clone(a.Ports), i, i+1)
	return &next
}

// WithDatacenters is the ask of a job with other datacenters.
func (a *Ask) WithDatacenters(list ...string) *Ask {
	next := *a
	next.DCs = list
	return &next
}

// WithPool is the ask of a job with another node pool.
func (a *Ask) WithPool(pool string) *Ask {
	next := *a
	next.Pool = pool
	return &next
}
