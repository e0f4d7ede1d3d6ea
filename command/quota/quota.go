// Package quota holds the verbs on quotas.
package quota

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/api/tenantspec"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model/tenancy"
)

// Apply is "quota apply".
var Apply = &base.Command{
	Name: "quota apply", Synopsis: "Create or change a quota", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long:    "Takes a file in HCL or JSON; - is standard input. A limit below what is in use is refused. Each region keeps quotas of its own: the same file can be applied in each.",
	Example: "steppe quota init && steppe quota apply quota.hcl\nsteppe namespace apply -quota team-a team-a",
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
	q, err := tenantspec.Quota(args[0], src)
	if err != nil {
		return err
	}
	if err := o.Client.Quotas().Apply(ctx, q); err != nil {
		return err
	}
	o.Say("Quota %s is applied", base.Clean(q.Name))
	return nil
}

// Delete is "quota delete".
var Delete = &base.Command{
	Name: "quota delete", Synopsis: "Delete a quota", Args: "NAME", MinArgs: 1, MaxArgs: 1,
	Long:    "Refused while a namespace names the quota.",
	Example: "steppe quota delete team-a",
	New:     func() base.Runner { return &remove{} },
}

type remove struct{}

func (*remove) Flags(*flag.FlagSet) {}

func (*remove) Run(ctx context.Context, o *base.IO, args []string) error {
	if err := o.Client.Quotas().Delete(ctx, args[0]); err != nil {
		return err
	}
	o.Say("Quota %s is deleted", base.Clean(args[0]))
	return nil
}

// Init is "quota init".
var Init = &base.Command{
	Name: "quota init", Synopsis: "Write an example quota file", Args: "[FILE]", MaxArgs: 1, Offline: true,
	Long:    "The default name is quota.hcl; a file that exists is left alone.",
	Example: "steppe quota init team-a.hcl",
	New:     func() base.Runner { return &initCmd{} },
}

const example = `name        = "team-a"
description = "What team A may ask for"

limit {
  # Without a region, the one that is asked.
  region = "global"

  # Of each: 0, or nothing said, is as much as one likes; below 0 is nothing at all.
  region_limit {
    cpu        = 20000 # MHz
    cores      = 0
    memory     = 32768 # MB
    memory_max = 0     # MB
    disk       = 0     # MB
    count      = 200   # allocations
  }
}
`

type initCmd struct{}

func (*initCmd) Flags(*flag.FlagSet) {}

func (*initCmd) Run(_ context.Context, o *base.IO, args []string) error {
	name := "quota.hcl"
	if len(args) == 1 {
		name = args[0]
	}
	if err := base.WriteNew(name, example); err != nil {
		return err
	}
	o.Say("Wrote %s. Apply it with: steppe quota apply %s", name, name)
	return nil
}

// List is "quota list".
var List = &base.Command{
	Name: "quota list", Synopsis: "List quotas",
	Long:    "Lists all quotas of the region.",
	Example: "steppe quota list",
	New:     func() base.Runner { return &list{} },
}

type list struct{ base.DataOptions }

func (l *list) Flags(fs *flag.FlagSet) { l.DataFlags(fs) }

func (l *list) Run(ctx context.Context, o *base.IO, _ []string) error {
	all, _, err := o.Client.Quotas().List(ctx, nil)
	if err != nil {
		return err
	}
	if done, err := o.Data(l.DataOptions, all); done {
		return err
	}
	if len(all) == 0 {
		o.Print("No quotas")
		return nil
	}
	var rows [][]string
	for _, q := range all {
		rows = append(rows, []string{q.Name, base.Dash(q.Description)})
	}
	o.Table([]string{"Name", "Description"}, rows)
	return nil
}

// Inspect is "quota inspect".
var Inspect = &base.Command{
	Name: "quota inspect", Synopsis: "Print a quota as JSON, with what is in use", Args: "NAME", MinArgs: 1, MaxArgs: 1,
	Long:    "Spec is what quota apply takes, UsageLimits what is in use.",
	Example: "steppe quota inspect team-a",
	New:     func() base.Runner { return &inspect{} },
}

type inspect struct{ template string }

func (i *inspect) Flags(fs *flag.FlagSet) {
	fs.StringVar(&i.template, "t", "", "Print through a Go `template`.")
}

func (i *inspect) Run(ctx context.Context, o *base.IO, args []string) error {
	q, use, err := read(ctx, o, args[0])
	if err != nil {
		return err
	}
	both := struct {
		Spec        *tenancy.Quota
		UsageLimits map[string]*tenancy.Limit
	}{q, use.Used}
	_, err = o.Data(base.DataOptions{JSON: i.template == "", Template: i.template}, both)
	return err
}

// Status is "quota status".
var Status = &base.Command{
	Name: "quota status", Synopsis: "Show a quota and what is in use of it", Args: "NAME", MinArgs: 1, MaxArgs: 1,
	Long:    "What is in use is what the jobs of the quota's namespaces ask for, placed or not: of batch jobs what has not completed, of system jobs once for each node of their pool.",
	Example: "steppe quota status team-a",
	New:     func() base.Runner { return &status{} },
}

type status struct{ base.DataOptions }

func (s *status) Flags(fs *flag.FlagSet) { s.DataFlags(fs) }

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	q, use, err := read(ctx, o, args[0])
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, use); done {
		return err
	}
	spaces, _, err := o.Client.Namespaces().List(ctx, nil)
	if err != nil {
		return err
	}
	var names []string
	for _, n := range spaces {
		if n.Quota == q.Name {
			names = append(names, n.Name)
		}
	}
	o.Fields("Name", q.Name, "Description", base.Dash(q.Description), "Namespaces", base.Dash(strings.Join(names, ", ")))
	show(o, q, use)
	return nil
}

func read(ctx context.Context, o *base.IO, name string) (*tenancy.Quota, *tenancy.Usage, error) {
	q, _, err := o.Client.Quotas().Get(ctx, name, nil)
	if err != nil {
		return nil, nil, err
	}
	use, _, err := o.Client.Quotas().Usage(ctx, name, nil)
	return q, use, err
}

// ShowUse prints how much of a quota is in use.
func ShowUse(ctx context.Context, o *base.IO, name string) error {
	q, use, err := read(ctx, o, name)
	if err == nil {
		show(o, q, use)
	}
	return err
}

// show prints the limits of each region. Those of others are only known there.
func show(o *base.IO, q *tenancy.Quota, use *tenancy.Usage) {
	var rows [][]string
	for _, l := range q.Limits {
		limit, used := l.RegionLimit, &tenancy.Resources{}
		if u := use.Used[l.Region]; u != nil {
			used = u.RegionLimit
		}
		rows = append(rows, []string{
			l.Region, share(used.CPU, limit.CPU), share(used.Cores, limit.Cores), share(used.MemoryMB, limit.MemoryMB),
			share(used.MemoryMaxMB, limit.MemoryMaxMB), share(used.DiskMB, limit.DiskMB), share(used.Count, limit.Count), fmt.Sprint(use.Jobs[l.Region]),
		})
	}
	o.Title("Used / Limit")
	o.Table([]string{"Region", "CPU (MHz)", "Cores", "Memory (MB)", "Memory Max (MB)", "Disk (MB)", "Count", "Jobs"}, rows)
}

func share(used, limit int) string {
	switch {
	case limit == 0:
		return fmt.Sprintf("%d / inf", used)
	case limit < 0:
		return fmt.Sprintf("%d / none", used)
	}
	return fmt.Sprintf("%d / %d", used, limit)
}
