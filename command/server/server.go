// Package server holds the verbs on the region's agents.
package server

import (
	"context"
	"flag"
	"fmt"
	"sort"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Members is "server members".
var Members = &base.Command{
	Name: "server members", Synopsis: "List the region's servers", Example: "steppe server members -all",
	New: func() base.Runner { return &members{} },
}

type members struct {
	base.DataOptions
	all bool
}

func (m *members) Flags(fs *flag.FlagSet) {
	m.DataFlags(fs)
	fs.BoolVar(&m.all, "all", false, "List clients too: every agent is a member.")
}

// row is a member as the table and the templates see it.
type row struct {
	api.Member
	Leader bool
}

func (m *members) Run(ctx context.Context, o *base.IO, _ []string) error {
	list, err := o.Client.Cluster().Members(ctx)
	if err != nil {
		return err
	}
	leader, err := o.Client.Cluster().Leader(ctx)
	if err != nil {
		o.Say("No leader is known: %v", err)
	}
	var rows []row
	for _, x := range list {
		if x.Tags["role"] != "nomad" && !m.all {
			continue
		}
		rows = append(rows, row{x, leader != "" && x.Tags["rpc_addr"]+":"+x.Tags["port"] == leader})
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].Name < rows[j].Name })
	if done, err := o.Data(m.DataOptions, rows); done {
		return err
	}
	var out [][]string
	for _, r := range rows {
		role := "server"
		if r.Tags["role"] != "nomad" {
			role = "client"
		}
		out = append(out, []string{
			r.Name, r.Addr, fmt.Sprint(r.Port), r.Status, base.YesNo(r.Leader), role, r.Tags["build"], r.Tags["dc"], r.Tags["region"],
		})
	}
	o.Table([]string{"Name", "Address", "Port", "Status", "Leader", "Role", "Build", "Datacenter", "Region"}, out)
	return nil
}

// Join is "server join".
var Join = &base.Command{
	Name: "server join", Synopsis: "Have the agent join others", Args: "ADDRESS...", MinArgs: 1, MaxArgs: -1,
	Example: "steppe server join 10.0.0.1:4648",
	New:     func() base.Runner { return &join{} },
}

type join struct{}

func (*join) Flags(*flag.FlagSet) {}

func (*join) Run(ctx context.Context, o *base.IO, args []string) error {
	n, err := o.Client.Cluster().Join(ctx, args...)
	if err != nil {
		return err
	}
	o.Print("Joined %d agents successfully", n)
	return nil
}

// Leave is "server leave".
var Leave = &base.Command{
	Name: "server leave", Synopsis: "Have the agent leave the region for good and end",
	Long:    "A server hands over leadership and leaves the raft configuration; a client stops its tasks. The agent then ends.",
	Example: "steppe server leave -yes", New: func() base.Runner { return &leave{} },
}

type leave struct{ yes bool }

func (l *leave) Flags(fs *flag.FlagSet) { fs.BoolVar(&l.yes, "yes", false, "Really do it.") }

func (l *leave) Run(ctx context.Context, o *base.IO, _ []string) error {
	if !l.yes {
		return model.Errorf(model.CodeInvalid, "this ends the agent at %s for good: say -yes", o.Client.Config().Address)
	}
	if err := o.Client.Cluster().Leave(ctx); err != nil {
		return err
	}
	o.Say("The agent has left")
	return nil
}

// ForceLeave is "server force-leave".
var ForceLeave = &base.Command{
	Name: "server force-leave", Synopsis: "Make a failed agent count as left", Args: "NAME", MinArgs: 1, MaxArgs: 1,
	Example: "steppe server force-leave s3.global", New: func() base.Runner { return &forceLeave{} },
}

type forceLeave struct{}

func (*forceLeave) Flags(*flag.FlagSet) {}

func (*forceLeave) Run(ctx context.Context, o *base.IO, args []string) error {
	return o.Client.Cluster().ForceLeave(ctx, args[0])
}
