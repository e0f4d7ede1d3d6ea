package insight

import (
	"fmt"
	"strings"
)

// Remedy is a change that lets all missing instances of a group be placed; all of
// its steps are needed.
type Remedy struct {
	Text  string // the steps in words
	Steps []*Step
	// Tried tells that the scheduler placed them with it, on the state as it was.
	Tried bool
}

// What a Step does, as Step.Do says it.
const (
	DoLower      = "lower"      // what Task, or the group's disk, asks of What: From → To
	DoCount      = "count"      // of the group: From → To
	DoDrop       = "drop"       // constraint Position of Where (job, group, task)
	DoLimit      = "limit"      // of distinct_property, constraint Position of Where: From → To
	DoPort       = "port"       // static port What becomes dynamic
	DoDevice     = "device"     // of What, request Position of Task: From → To, 0 for none
	DoDatacenter = "datacenter" // What is added to the job's datacenters
	DoPool       = "pool"       // the job's node_pool becomes What
	DoDriver     = "driver"     // drivers What are enabled on Nodes
	DoReady      = "ready"      // Nodes take new work again
	DoAdd        = "add"        // To nodes like Nodes[0]; or made for the group, of Size
	DoScale      = "scale"      // another job's group: From → To
	DoWait       = "wait"       // until another job's batch instances have completed
	DoStop       = "stop"       // another job
	DoAvoid      = "avoid"      // the group gets a constraint that keeps it off Nodes
)

// Where a constraint stands.
const (
	InJob   = "job"
	InGroup = "group"
	InTask  = "task"
)

// Step is one change. Which fields count depends on Do.
type Step struct {
	Do        string
	Group     string
	Task      string   `json:",omitempty"`
	What      string   `json:",omitempty"`
	Where     string   `json:",omitempty"`
	Position  int      `json:",omitempty"` // from 1, as they stand in the job
	From      int64    `json:",omitempty"`
	To        int64    `json:",omitempty"`
	Namespace string   `json:",omitempty"` // of another job
	JobID     string   `json:",omitempty"`
	Priority  int      `json:",omitempty"`
	Nodes     []string `json:",omitempty"` // ids
	Names     []string `json:",omitempty"` // of Nodes, with what they are
	Size      *Size    `json:",omitempty"`
}

// Size is what a node that is to be added offers.
type Size struct {
	CPU, Memory, Disk int64 // MHz, MB, MB
	Cores             int
	Datacenter, Pool  string
	Class             string   `json:",omitempty"`
	Drivers           []string `json:",omitempty"`
	Devices           []string `json:",omitempty"` // as many of each as its instances ask for
	Rules             []string `json:",omitempty"` // constraints that it meets
	Apart             []string `json:",omitempty"` // of which each node has a value of its own
}

// maxNames bounds the nodes that a text lists.
const maxNames = 5

// NewRemedy makes one of its steps.
func NewRemedy(tried bool, steps ...*Step) *Remedy {
	var parts []string
	for _, s := range steps {
		parts = append(parts, s.Words())
	}
	return &Remedy{Text: strings.Join(parts, ", and "), Steps: steps, Tried: tried}
}

// Words are the step as people read it.
func (s *Step) Words() string {
	switch s.Do {
	case DoLower:
		return s.lower()
	case DoCount:
		return fmt.Sprintf("lower count from %d to %d", s.From, s.To)
	case DoDrop:
		return fmt.Sprintf("drop constraint %d of the %s: `%s`", s.Position, s.place(), s.What)
	case DoLimit:
		return fmt.Sprintf("raise the limit of constraint %d of the %s (`%s`) from %d to %d", s.Position, s.place(), s.What, s.From, s.To)
	case DoPort:
		return fmt.Sprintf("let port %q be dynamic instead of %d", s.What, s.From)
	case DoDevice:
		if s.To == 0 {
			return fmt.Sprintf("let task %q do without device %s", s.Task, s.What)
		}
		return fmt.Sprintf("let task %q ask for %d instead of %d of device %s", s.Task, s.To, s.From, s.What)
	case DoDatacenter:
		return fmt.Sprintf("add datacenter %q to the job's datacenters", s.What)
	case DoPool:
		return fmt.Sprintf("set node_pool to %q", s.What)
	case DoDriver:
		return fmt.Sprintf("enable driver %s on %s", s.What, s.names())
	case DoReady:
		return s.ready()
	case DoAdd:
		return s.add()
	case DoScale:
		return fmt.Sprintf("lower count of group %q of job %q%s from %d to %d", s.Task, s.JobID, s.rank(), s.From, s.To)
	case DoWait:
		return fmt.Sprintf("wait until batch job %q%s has completed (%s)", s.JobID, s.rank(), count(s.From, "instance"))
	case DoStop:
		return fmt.Sprintf("stop job %q%s", s.JobID, s.rank())
	case DoAvoid:
		return fmt.Sprintf("keep it off %s, with a constraint `${node.unique.id} != ...` for each, or give what it lacks there more room", s.names())
	}
	return s.Do
}

func (s *Step) lower() string {
	unit := map[string]string{"cpu": " MHz", "memory": " MB", "disk": " MB"}[s.What]
	of := ""
	if s.Task != "" {
		of = fmt.Sprintf(" of task %q", s.Task)
	}
	return fmt.Sprintf("lower %s%s from %d%s to %d%s", s.What, of, s.From, unit, s.To, unit)
}

func (s *Step) place() string {
	if s.Where == InTask {
		return fmt.Sprintf("task %q", s.Task)
	}
	return s.Where
}

func (s *Step) rank() string {
	if s.Namespace != "" && s.Namespace != "default" {
		return fmt.Sprintf(" (namespace %s, priority %d)", s.Namespace, s.Priority)
	}
	return fmt.Sprintf(" (priority %d)", s.Priority)
}

func (s *Step) names() string {
	list := s.Names
	if len(list) > maxNames {
		list = append(append([]string{}, list[:maxNames]...), count(int64(len(s.Names)-maxNames), "other"))
	}
	if len(s.Names) == 1 {
		return "node " + list[0]
	}
	return fmt.Sprintf("%d nodes: %s", len(s.Names), strings.Join(list, ", "))
}

func (s *Step) ready() string {
	return fmt.Sprintf("have %s take new work again", s.names())
}

func (s *Step) add() string {
	z := s.Size
	var b strings.Builder
	fmt.Fprintf(&b, "add %s", count(s.To, "node"))
	if len(s.Names) > 0 {
		if z.Class != "" {
			fmt.Fprintf(&b, " of class %s", z.Class)
		}
		fmt.Fprintf(&b, " like %s", s.Names[0])
	}
	fmt.Fprintf(&b, " to datacenter %s and node pool %s: %d MHz, %d MB of memory, %d MB of disk", z.Datacenter, z.Pool, z.CPU, z.Memory, z.Disk)
	if len(s.Names) > 0 {
		return b.String()
	}
	if s.To > 1 {
		b.WriteString(" each")
	}
	if z.Cores > 0 {
		fmt.Fprintf(&b, ", %s to reserve", count(int64(z.Cores), "core"))
	}
	if len(z.Drivers) > 0 {
		fmt.Fprintf(&b, ", driver %s", strings.Join(z.Drivers, ", "))
	}
	if len(z.Devices) > 0 {
		fmt.Fprintf(&b, ", with devices %s", strings.Join(z.Devices, ", "))
	}
	for _, r := range z.Rules {
		fmt.Fprintf(&b, ", `%s`", r)
	}
	for _, a := range z.Apart {
		fmt.Fprintf(&b, ", a value of its own of %s", a)
	}
	return b.String()
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
