// Package node holds the verbs on nodes.
package node

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Status is "node status".
var Status = &base.Command{
	Name: "node status", Synopsis: "List nodes, or show one", Args: "[NODE]", MaxArgs: 1,
	Long:    "NODE is a node's id, the beginning of it, or its name. With -verbose the attributes are shown that constraints refer to.",
	Example: "steppe node status -allocs\nsteppe node status -stats node-3",
	New:     func() base.Runner { return &status{} },
}

type status struct {
	base.DataOptions
	self, allocs, stats, short bool
	filter                     string
}

func (s *status) Flags(fs *flag.FlagSet) {
	s.DataFlags(fs)
	fs.BoolVar(&s.self, "self", false, "Show the node of the agent that is asked.")
	fs.BoolVar(&s.allocs, "allocs", false, "In the list, count the running allocations of each node.")
	fs.StringVar(&s.filter, "filter", "", "In the list, only those that an `expression` selects.")
	fs.BoolVar(&s.stats, "stats", false, "Show what is in use of the machine.")
	fs.BoolVar(&s.short, "short", false, "Show the node without its allocations.")
}

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	if len(args) == 0 && !s.self {
		return s.list(ctx, o)
	}
	id, err := chosen(ctx, o, s.self, args)
	if err != nil {
		return err
	}
	n, err := o.Node(ctx, id)
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, n); done {
		return err
	}
	return s.show(ctx, o, n)
}

func (s *status) show(ctx context.Context, o *base.IO, n *model.Node) error {
	o.Fields(
		"ID", n.ID, "Name", n.Name, "Node Pool", n.NodePool, "Class", base.Dash(n.NodeClass), "DC", n.Datacenter,
		"Drain", base.YesNo(n.DrainStrategy != nil), "Eligibility", n.SchedulingEligibility, "Status", n.Status,
		"Status Description", base.Dash(n.StatusDescription), "Address", base.Dash(n.HTTPAddr), "Version", n.Attributes[model.AttrVersion],
	)
	o.Title("Drivers")
	var rows [][]string
	for _, name := range base.Keys(n.Drivers) {
		d := n.Drivers[name]
		rows = append(rows, []string{name, base.YesNo(d.Detected), base.YesNo(d.Healthy), base.Dash(d.HealthDescription)})
	}
	o.Table([]string{"Driver", "Detected", "Healthy", "Message"}, rows)
	if !s.short {
		if err := s.work(ctx, o, n); err != nil {
			return err
		}
	}
	if len(n.Events) > 0 {
		o.Title("Node Events")
		rows = nil
		for _, e := range slices.Backward(n.Events) {
			rows = append(rows, []string{base.Time(e.Timestamp), e.Subsystem, e.Message})
		}
		o.Table([]string{"Time", "Subsystem", "Message"}, rows)
	}
	if s.stats {
		if err := usage(ctx, o, n.ID); err != nil {
			return err
		}
	}
	if s.Verbose {
		pairs(o, "Attributes", n.Attributes)
		pairs(o, "Meta", n.Meta)
	}
	return nil
}

// pairs prints a map under a heading.
func pairs(o *base.IO, title string, m map[string]string) {
	o.Title(title)
	var out []string
	for _, k := range base.Keys(m) {
		out = append(out, base.Clean(k), m[k])
	}
	o.Fields(out...)
}

func usage(ctx context.Context, o *base.IO, id string) error {
	st, err := o.Client.Nodes().Stats(ctx, id)
	if err != nil {
		return err
	}
	var cpu float64
	for _, c := range st.CPU {
		cpu += c.TotalPercent
	}
	o.Title("Usage of the machine")
	o.Print("CPU %.1f %% of %d cores, memory %d of %d MB", cpu/float64(max(len(st.CPU), 1)), len(st.CPU), st.Memory.Used>>20, st.Memory.Total>>20)
	return nil
}

// work shows what is granted of the node's resources, and to whom.
func (s *status) work(ctx context.Context, o *base.IO, n *model.Node) error {
	all, _, err := o.Client.Nodes().Allocations(ctx, n.ID, &api.Query{Namespace: model.AllNamespaces})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b *model.Allocation) int { return cmp.Compare(b.CreateIndex, a.CreateIndex) })
	var cpu, memory, disk int64
	var rows [][]string
	for _, a := range all {
		if !a.ClientTerminal() && a.AllocatedResources != nil {
			for _, t := range a.AllocatedResources.Tasks {
				cpu += t.Cpu.CpuShares
				memory += t.Memory.MemoryMB
			}
			disk += a.AllocatedResources.Shared.DiskMB
		}
		rows = append(rows, []string{
			base.ShortID(a.ID, s.Verbose), a.JobID, a.TaskGroup, fmt.Sprint(a.JobVersion), a.DesiredStatus, a.ClientStatus,
			base.Ago(a.CreateTime), base.Ago(a.ModifyTime),
		})
	}
	if r := n.NodeResources; r != nil {
		o.Title("Allocated Resources")
		o.Table([]string{"CPU", "Memory", "Disk"}, [][]string{{
			fmt.Sprintf("%d/%d MHz", cpu, r.Cpu.CpuShares), fmt.Sprintf("%d/%d MB", memory, r.Memory.MemoryMB), fmt.Sprintf("%d/%d MB", disk, r.Disk.DiskMB),
		}})
	}
	o.Title("Allocations")
	if len(rows) == 0 {
		o.Print("No allocations")
		return nil
	}
	o.Table([]string{"ID", "Job ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"}, rows)
	return nil
}
