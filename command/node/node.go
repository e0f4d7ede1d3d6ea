// Package node holds the verbs on nodes.
package node

import (
	"context"
	"flag"
	"fmt"
	"sort"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Status is "node status".
var Status = &base.Command{
	Name: "node status", Synopsis: "List nodes, or show one", Args: "[NODE]", MaxArgs: 1,
	Long:    "Lists nodes, or shows one by its id, the beginning of it, or its name.",
	Example: "steppe node status -allocs",
	New:     func() base.Runner { return &status{} },
}

type status struct {
	base.DataOptions
	self, allocs, stats, short bool
}

func (s *status) Flags(fs *flag.FlagSet) {
	s.DataFlags(fs)
	fs.BoolVar(&s.self, "self", false, "Show the node of the agent that is asked.")
	fs.BoolVar(&s.allocs, "allocs", false, "In the list, count the running allocations of each node.")
	fs.BoolVar(&s.stats, "stats", false, "Show the node's resource usage.")
	fs.BoolVar(&s.short, "short", false, "Show the node without its allocations.")
}

func selfID(ctx context.Context, o *base.IO) (string, error) {
	self, err := o.Client.Cluster().Self(ctx)
	if err != nil {
		return "", err
	}
	stats, _ := self["stats"].(map[string]any)
	client, _ := stats["client"].(map[string]any)
	id, _ := client["node_id"].(string)
	if id == "" {
		return "", model.Errorf(model.CodeNotFound, "the agent that is asked runs no client")
	}
	return id, nil
}

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	if len(args) == 0 && !s.self {
		return s.list(ctx, o)
	}
	var id string
	var err error
	if s.self {
		if id, err = selfID(ctx, o); err != nil {
			return err
		}
	} else {
		id = args[0]
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

func (s *status) list(ctx context.Context, o *base.IO) error {
	nodes, _, err := o.Client.Nodes().List(ctx, nil)
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, nodes); done {
		return err
	}
	if len(nodes) == 0 {
		o.Print("No nodes")
		return nil
	}
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].Name < nodes[j].Name })
	header := []string{"ID", "Node Pool", "DC", "Name", "Class", "Address", "Version", "Drain", "Eligibility", "Status"}
	if s.allocs {
		header = append(header, "Running Allocs")
	}
	var rows [][]string
	for _, n := range nodes {
		row := []string{
			base.ShortID(n.ID, s.Verbose), n.NodePool, n.Datacenter, n.Name, base.Dash(n.NodeClass), n.Address, n.Version,
			base.YesNo(n.Drain), n.SchedulingEligibility, n.Status,
		}
		if s.allocs {
			count, err := running(ctx, o, n.ID)
			if err != nil {
				return err
			}
			row = append(row, fmt.Sprint(count))
		}
		rows = append(rows, row)
	}
	o.Table(header, rows)
	return nil
}

func running(ctx context.Context, o *base.IO, id string) (int, error) {
	all, _, err := o.Client.Nodes().Allocations(ctx, id, nil)
	n := 0
	for _, a := range all {
		if a.ClientStatus == model.ClientRunning {
			n++
		}
	}
	return n, err
}

func (s *status) show(ctx context.Context, o *base.IO, n *model.Node) error {
	o.Fields(
		"ID", n.ID, "Name", n.Name, "Node Pool", n.NodePool, "Class", base.Dash(n.NodeClass), "DC", n.Datacenter,
		"Drain", base.YesNo(n.DrainStrategy != nil), "Eligibility", n.SchedulingEligibility, "Status", n.Status,
		"Address", n.HTTPAddr, "Version", n.Attributes[model.AttrVersion],
	)
	o.Title("Drivers")
	var rows [][]string
	for _, name := range keys(n.Drivers) {
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
		for i := len(n.Events) - 1; i >= 0; i-- {
			rows = append(rows, []string{base.Time(n.Events[i].Timestamp), n.Events[i].Subsystem, n.Events[i].Message})
		}
		o.Table([]string{"Time", "Subsystem", "Message"}, rows)
	}
	if s.stats {
		if err := usage(ctx, o, n.ID); err != nil {
			return err
		}
	}
	if s.Verbose {
		o.Title("Attributes")
		var pairs []string
		for _, k := range keys(n.Attributes) {
			pairs = append(pairs, k, n.Attributes[k])
		}
		o.Fields(pairs...)
		o.Title("Meta")
		pairs = nil
		for _, k := range keys(n.Meta) {
			pairs = append(pairs, k, n.Meta[k])
		}
		o.Fields(pairs...)
	}
	return nil
}

func usage(ctx context.Context, o *base.IO, id string) error {
	var st struct {
		Memory struct{ Total, Used uint64 }
		CPU    []struct{ TotalPercent float64 }
	}
	if _, err := o.Client.Get(ctx, "/v1/client/stats?node_id="+id, nil, &st); err != nil {
		return err
	}
	var cpu float64
	for _, c := range st.CPU {
		cpu += c.TotalPercent
	}
	o.Title("Usage of the machine")
	o.Print("CPU %.1f %% of a core, memory %d of %d MB", cpu, st.Memory.Used>>20, st.Memory.Total>>20)
	return nil
}

// work shows what is granted of the node's resources, and to whom.
func (s *status) work(ctx context.Context, o *base.IO, n *model.Node) error {
	all, _, err := o.Client.Nodes().Allocations(ctx, n.ID, nil)
	if err != nil {
		return err
	}
	var cpu, mem, disk int64
	var rows [][]string
	sort.Slice(all, func(i, j int) bool { return all[i].CreateIndex > all[j].CreateIndex })
	for _, a := range all {
		if !a.Terminal() && a.AllocatedResources != nil {
			for _, t := range a.AllocatedResources.Tasks {
				cpu += t.Cpu.CpuShares
				mem += t.Memory.MemoryMB
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
			fmt.Sprintf("%d/%d MHz", cpu, r.Cpu.CpuShares), fmt.Sprintf("%d/%d MB", mem, r.Memory.MemoryMB), fmt.Sprintf("%d/%d MB", disk, r.Disk.DiskMB),
		}})
	}
	o.Title("Allocations")
	if len(rows) == 0 {
		o.Print("No allocations placed")
		return nil
	}
	o.Table([]string{"ID", "Job ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"}, rows)
	return nil
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// Eligibility is "node eligibility".
var Eligibility = &base.Command{
	Name: "node eligibility", Synopsis: "Open or close a node for new work", Args: "[NODE]", MaxArgs: 1,
	Long:    "Work that runs on the node goes on. Give -enable or -disable.",
	Example: "steppe node eligibility -disable node-3",
	New:     func() base.Runner { return &eligibility{} },
}

type eligibility struct{ enable, disable, self bool }

func (e *eligibility) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&e.enable, "enable", false, "Open the node for new work.")
	fs.BoolVar(&e.disable, "disable", false, "Close the node for new work.")
	fs.BoolVar(&e.self, "self", false, "The node of the agent that is asked.")
}

func (e *eligibility) Run(ctx context.Context, o *base.IO, args []string) error {
	if e.enable == e.disable {
		return model.Errorf(model.CodeInvalid, "give either -enable or -disable")
	}
	if e.self == (len(args) == 1) {
		return model.Errorf(model.CodeInvalid, "give either a node or -self")
	}
	id := ""
	if e.self {
		var err error
		if id, err = selfID(ctx, o); err != nil {
			return err
		}
	} else {
		n, err := o.Node(ctx, args[0])
		if err != nil {
			return err
		}
		id = n.ID
	}
	if err := o.Client.Nodes().SetEligibility(ctx, id, e.enable); err != nil {
		return err
	}
	word := "closed"
	if e.enable {
		word = "open"
	}
	o.Say("Node %s is %s for new work", base.ShortID(id, false), word)
	return nil
}
