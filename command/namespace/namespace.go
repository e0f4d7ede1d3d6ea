// Package namespace holds the verbs on namespaces.
package namespace

import (
	"context"
	"flag"
	"os"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/api/tenantspec"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/quota"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// Apply is "namespace apply".
var Apply = &base.Command{
	Name: "namespace apply", Synopsis: "Create or change a namespace", Args: "FILE|NAME", MinArgs: 1, MaxArgs: 1,
	Long: `Takes a file that describes the namespace (- is standard input), or else its name, with the options that change it. What a file does not say is taken away; options change only what they name.

What a namespace says of jobs holds for those that are registered from then on.`,
	Example: "steppe namespace apply team-a.hcl\nsteppe namespace apply -description 'Team A' -quota team-a team-a",
	New:     func() base.Runner { return &apply{} },
}

type apply struct {
	description, quota optional
	json               bool
}

// optional is a text that may have been given.
type optional struct {
	text string
	set  bool
}

// String implements flag.Value.
func (v *optional) String() string { return v.text }

// Set implements flag.Value.
func (v *optional) Set(s string) error {
	v.text, v.set = s, true
	return nil
}

func (a *apply) Flags(fs *flag.FlagSet) {
	fs.Var(&a.description, "description", "A `text` for people.")
	fs.Var(&a.quota, "quota", "The `name` of the quota that bounds the namespace; empty for none.")
	fs.BoolVar(&a.json, "json", false, "The file is JSON. It need not be said.")
}

func (a *apply) Run(ctx context.Context, o *base.IO, args []string) error {
	ns, err := a.wanted(ctx, o, args[0])
	if err != nil {
		return err
	}
	if err := o.Client.Namespaces().Apply(ctx, ns); err != nil {
		return err
	}
	o.Say("Namespace %s is applied", base.Clean(ns.Name))
	return nil
}

// wanted is the namespace as it is to be.
func (a *apply) wanted(ctx context.Context, o *base.IO, arg string) (*tenancy.Namespace, error) {
	if _, err := os.Stat(arg); err == nil || arg == "-" || strings.ContainsAny(arg, "./") {
		if a.description.set || a.quota.set {
			return nil, model.Errorf(model.CodeInvalid, "-description and -quota go with a name; %s is a file, which says both", arg)
		}
		src, err := o.ReadFile(arg, tenantspec.MaxFileBytes)
		if err != nil {
			return nil, err
		}
		return tenantspec.Namespace(arg, src)
	}
	ns, _, err := o.Client.Namespaces().Get(ctx, arg, nil)
	if model.CodeOf(err) == model.CodeNotFound {
		ns, err = &tenancy.Namespace{Name: arg}, nil
	}
	if err != nil {
		return nil, err
	}
	if a.description.set {
		ns.Description = a.description.text
	}
	if a.quota.set {
		ns.Quota = a.quota.text
	}
	return ns, nil
}

// Delete is "namespace delete".
var Delete = &base.Command{
	Name: "namespace delete", Synopsis: "Delete a namespace", Args: "NAME", MinArgs: 1, MaxArgs: 1,
	Long:    "Refused while the namespace has jobs that have not ended. Those that have are forgotten with it.",
	Example: "steppe namespace delete team-a",
	New:     func() base.Runner { return &remove{} },
}

type remove struct{}

func (*remove) Flags(*flag.FlagSet) {}

func (*remove) Run(ctx context.Context, o *base.IO, args []string) error {
	if err := o.Client.Namespaces().Delete(ctx, args[0]); err != nil {
		return err
	}
	o.Say("Namespace %s is deleted", base.Clean(args[0]))
	return nil
}

// List is "namespace list".
var List = &base.Command{
	Name: "namespace list", Synopsis: "List namespaces",
	Long:    "Lists all namespaces with their quotas.",
	Example: "steppe namespace list",
	New:     func() base.Runner { return &list{} },
}

type list struct{ base.DataOptions }

func (l *list) Flags(fs *flag.FlagSet) { l.DataFlags(fs) }

func (l *list) Run(ctx context.Context, o *base.IO, _ []string) error {
	all, _, err := o.Client.Namespaces().List(ctx, nil)
	if err != nil {
		return err
	}
	if done, err := o.Data(l.DataOptions, all); done {
		return err
	}
	var rows [][]string
	for _, n := range all {
		rows = append(rows, []string{n.Name, base.Dash(n.Quota), base.Dash(n.Description)})
	}
	o.Table([]string{"Name", "Quota", "Description"}, rows)
	return nil
}

// Inspect is "namespace inspect".
var Inspect = &base.Command{
	Name: "namespace inspect", Synopsis: "Print a namespace as JSON", Args: "NAME", MinArgs: 1, MaxArgs: 1,
	Long:    "What is printed can be changed and given to namespace apply.",
	Example: "steppe namespace inspect team-a",
	New:     func() base.Runner { return &inspect{} },
}

type inspect struct {
	template string
}

func (i *inspect) Flags(fs *flag.FlagSet) {
	fs.StringVar(&i.template, "t", "", "Print through a Go `template`.")
}

func (i *inspect) Run(ctx context.Context, o *base.IO, args []string) error {
	n, _, err := o.Client.Namespaces().Get(ctx, args[0], nil)
	if err != nil {
		return err
	}
	_, err = o.Data(base.DataOptions{JSON: i.template == "", Template: i.template}, n)
	return err
}

// Status is "namespace status".
var Status = &base.Command{
	Name: "namespace status", Synopsis: "Show a namespace, its rules, and what its quota has in use", Args: "NAME", MinArgs: 1, MaxArgs: 1,
	Long:    "Of a quota that several namespaces share, what all of them use is shown.",
	Example: "steppe namespace status team-a",
	New:     func() base.Runner { return &status{} },
}

type status struct{ base.DataOptions }

func (s *status) Flags(fs *flag.FlagSet) { s.DataFlags(fs) }

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	n, _, err := o.Client.Namespaces().Get(ctx, args[0], nil)
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, n); done {
		return err
	}
	fields := []string{"Name", n.Name, "Description", base.Dash(n.Description), "Quota", base.Dash(n.Quota)}
	o.Fields(append(fields, rules(n)...)...)
	if len(n.Meta) > 0 {
		o.Title("Meta")
		o.Table(nil, base.Pairs(n.Meta))
	}
	if n.Quota == "" {
		return nil
	}
	return quota.ShowUse(ctx, o, n.Quota)
}

// rules are what a namespace says of jobs, as fields.
func rules(n *tenancy.Namespace) []string {
	var out []string
	add := func(name string, list []string) {
		if len(list) > 0 {
			out = append(out, name, strings.Join(list, ", "))
		}
	}
	if c := n.Capabilities; c != nil {
		add("Enabled Drivers", c.EnabledTaskDrivers)
		add("Disabled Drivers", c.DisabledTaskDrivers)
		add("Enabled Network Modes", c.EnabledNetworkModes)
		add("Disabled Network Modes", c.DisabledNetworkModes)
	}
	if r := n.NodePoolConfiguration; r != nil {
		add("Default Node Pool", []string{n.Pool()})
		if add("Allowed Node Pools", r.Allowed); r.Allowed != nil && len(r.Allowed) == 0 {
			add("Allowed Node Pools", []string{"none but the default"})
		}
		add("Denied Node Pools", r.Denied)
	}
	return append(out, scheduling(n.SchedulerConfiguration)...)
}

func scheduling(r *tenancy.SchedulingRules) []string {
	if r == nil {
		return nil
	}
	var out []string
	if r.SchedulerAlgorithm != "" {
		out = append(out, "Scheduler Algorithm", r.SchedulerAlgorithm)
	}
	if r.MemoryOversubscriptionEnabled != nil {
		out = append(out, "Memory Oversubscription", base.YesNo(*r.MemoryOversubscriptionEnabled))
	}
	if r.MaxPriority > 0 {
		out = append(out, "Highest Priority", strconv.Itoa(r.MaxPriority))
	}
	return out
}
