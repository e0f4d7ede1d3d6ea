// Package nodepool holds the verbs on node pools.
package nodepool

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/api/tenantspec"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Apply is "node pool apply".
var Apply = &base.Command{
	Name: "node pool apply", Synopsis: "Create or change a node pool", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long:    "Takes a file in HCL or JSON; - is standard input. A pool that a node names is there without it.",
	Example: "steppe node pool init && steppe node pool apply pool.hcl",
	New:     func() base.Runner { return &apply{} },
}

type apply struct{ json bool }

func (a *apply) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&a.json, "json", false, "The file is JSON. It need not be said.")
}

func (a *apply) Run(ctx context.Context, o *base.IO, args []string) error {
	src, err := o.ReadFile(args[0], tenantspec.MaxFileBytes)
	if err != nil {
		return err
	}
	p, err := tenantspec.NodePool(args[0], src)
	if err != nil {
		return err
	}
	if err := o.Client.NodePools().Apply(ctx, p); err != nil {
		return err
	}
	o.Say("Node pool %s is applied", base.Clean(p.Name))
	return nil
}

// Delete is "node pool delete".
var Delete = &base.Command{
	Name: "node pool delete", Synopsis: "Delete a node pool", Args: "POOL", MinArgs: 1, MaxArgs: 1,
	Long:    "Refused while nodes or jobs that have not ended are in the pool, or it is the default of a namespace.",
	Example: "steppe node pool delete gpu",
	New:     func() base.Runner { return &remove{} },
}

type remove struct{}

func (*remove) Flags(*flag.FlagSet) {}

func (*remove) Run(ctx context.Context, o *base.IO, args []string) error {
	if err := o.Client.NodePools().Delete(ctx, args[0]); err != nil {
		return err
	}
	o.Say("Node pool %s is deleted", base.Clean(args[0]))
	return nil
}

// Init is "node pool init".
var Init = &base.Command{
	Name: "node pool init", Synopsis: "Write an example node pool file", Args: "[FILE]", MaxArgs: 1, Offline: true,
	Long:    "The default name is pool.hcl; a file that exists is left alone.",
	Example: "steppe node pool init gpu.hcl",
	New:     func() base.Runner { return &initCmd{} },
}

const example = `node_pool "gpu" {
  description = "Machines with graphics cards"

  meta {
    owner = "team-a"
  }

  # What is not said here is as the cluster has it (steppe operator scheduler get-config).
  scheduler_config {
    scheduler_algorithm             = "spread"
    memory_oversubscription_enabled = false
  }
}
`

type initCmd struct{}

func (*initCmd) Flags(*flag.FlagSet) {}

func (*initCmd) Run(_ context.Context, o *base.IO, args []string) error {
	name := "pool.hcl"
	if len(args) == 1 {
		name = args[0]
	}
	if err := base.WriteNew(name, example); err != nil {
		return err
	}
	o.Say("Wrote %s. Apply it with: steppe node pool apply %s", name, name)
	return nil
}

// List is "node pool list".
var List = &base.Command{
	Name: "node pool list", Synopsis: "List node pools",
	Long:    "The pools default and all are built in; all holds every node.",
	Example: "steppe node pool list",
	New:     func() base.Runner { return &list{} },
}

type list struct {
	base.DataOptions
	filter string
}

func (l *list) Flags(fs *flag.FlagSet) {
	l.DataFlags(fs)
	fs.StringVar(&l.filter, "filter", "", "Only those that an `expression` selects.")
}

func (l *list) Run(ctx context.Context, o *base.IO, _ []string) error {
	all, _, err := o.Client.NodePools().List(ctx, &api.Query{Filter: l.filter})
	if err != nil {
		return err
	}
	if done, err := o.Data(l.DataOptions, all); done {
		return err
	}
	var rows [][]string
	for _, p := range all {
		rows = append(rows, []string{p.Name, base.Dash(p.Description)})
	}
	o.Table([]string{"Name", "Description"}, rows)
	return nil
}

// Info is "node pool info".
var Info = &base.Command{
	Name: "node pool info", Synopsis: "Show a node pool", Args: "POOL", MinArgs: 1, MaxArgs: 1,
	Long:    "Shows what the pool overrides of the cluster's scheduler configuration.",
	Example: "steppe node pool info gpu",
	New:     func() base.Runner { return &info{} },
}

type info struct{ base.DataOptions }

func (i *info) Flags(fs *flag.FlagSet) { i.DataFlags(fs) }

func (i *info) Run(ctx context.Context, o *base.IO, args []string) error {
	p, _, err := o.Client.NodePools().Get(ctx, args[0], nil)
	if err != nil {
		return err
	}
	if done, err := o.Data(i.DataOptions, p); done {
		return err
	}
	o.Fields("Name", p.Name, "Description", base.Dash(p.Description))
	if len(p.Meta) > 0 {
		o.Title("Meta")
		o.Table(nil, base.Pairs(p.Meta))
	}
	o.Title("Scheduler Configuration")
	algorithm, oversubscribe := "as the cluster", "as the cluster"
	if c := p.SchedulerConfiguration; c != nil {
		if c.SchedulerAlgorithm != "" {
			algorithm = c.SchedulerAlgorithm
		}
		if c.MemoryOversubscriptionEnabled != nil {
			oversubscribe = base.YesNo(*c.MemoryOversubscriptionEnabled)
		}
	}
	o.Fields("Scheduler Algorithm", algorithm, "Memory Oversubscription", oversubscribe)
	return nil
}

// Nodes is "node pool nodes".
var Nodes = &base.Command{
	Name: "node pool nodes", Synopsis: "List the nodes of a pool", Args: "POOL", MinArgs: 1, MaxArgs: 1,
	Long:    "The pool all has every node.",
	Example: "steppe node pool nodes gpu",
	New:     func() base.Runner { return &nodes{} },
}

type nodes struct {
	base.DataOptions
	filter string
}

func (n *nodes) Flags(fs *flag.FlagSet) {
	n.DataFlags(fs)
	fs.StringVar(&n.filter, "filter", "", "Only those that an `expression` selects.")
}

func (n *nodes) Run(ctx context.Context, o *base.IO, args []string) error {
	if err := exists(ctx, o, args[0]); err != nil {
		return err
	}
	all, _, err := o.Client.NodePools().Nodes(ctx, args[0], &api.Query{Filter: n.filter})
	if err != nil {
		return err
	}
	if done, err := o.Data(n.DataOptions, all); done {
		return err
	}
	if len(all) == 0 {
		o.Print("No nodes")
		return nil
	}
	var rows [][]string
	for _, x := range all {
		rows = append(rows, []string{base.ShortID(x.ID, n.Verbose), x.Datacenter, x.Name, base.Dash(x.NodeClass), x.SchedulingEligibility, x.Status})
	}
	o.Table([]string{"ID", "DC", "Name", "Class", "Eligibility", "Status"}, rows)
	return nil
}

func exists(ctx context.Context, o *base.IO, pool string) error {
	_, _, err := o.Client.NodePools().Get(ctx, pool, nil)
	return err
}

// Jobs is "node pool jobs".
var Jobs = &base.Command{
	Name: "node pool jobs", Synopsis: "List the jobs of a pool", Args: "POOL", MinArgs: 1, MaxArgs: 1,
	Long:    "Lists the jobs of all namespaces that name the pool, unless -namespace says of which.",
	Example: "steppe node pool jobs gpu",
	New:     func() base.Runner { return &jobs{} },
}

type jobs struct {
	base.DataOptions
	filter string
}

func (j *jobs) Flags(fs *flag.FlagSet) {
	j.DataFlags(fs)
	fs.StringVar(&j.filter, "filter", "", "Only those that an `expression` selects.")
}

func (j *jobs) Run(ctx context.Context, o *base.IO, args []string) error {
	if err := exists(ctx, o, args[0]); err != nil {
		return err
	}
	q := &api.Query{Filter: j.filter, Namespace: o.Client.Config().Namespace}
	if q.Namespace == "" {
		q.Namespace = model.AllNamespaces
	}
	all, _, err := o.Client.NodePools().Jobs(ctx, args[0], q)
	if err != nil {
		return err
	}
	if done, err := o.Data(j.DataOptions, all); done {
		return err
	}
	if len(all) == 0 {
		o.Print("No jobs")
		return nil
	}
	var rows [][]string
	for _, x := range all {
		rows = append(rows, []string{x.ID, x.Namespace, x.Type, base.YesNo(x.Stop), x.Status})
	}
	o.Table([]string{"ID", "Namespace", "Type", "Stopped", "Status"}, rows)
	return nil
}
