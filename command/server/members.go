// Package server holds the verbs on the region's agents.
package server

import (
	"context"
	"flag"
	"fmt"
	"sort"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// Members is "server members".
var Members = &base.Command{
	Name: "server members", Synopsis: "List the region's servers",
	Long:    "Every agent is a member of its region, clients too; -all lists them all.",
	Example: "steppe server members\nsteppe server members -all",
	New:     func() base.Runner { return &members{} },
}

type members struct {
	base.DataOptions
	all bool
}

func (m *members) Flags(fs *flag.FlagSet) {
	m.DataFlags(fs)
	fs.BoolVar(&m.all, "all", false, "List clients too.")
}

// row is a member as the table and the templates see it.
type row struct {
	api.Member
	Leader bool
}

// isServer: the role's tag has the value that clients of the API look for.
func isServer(m api.Member) bool { return m.Tags["role"] == "nomad" }

func (m *members) Run(ctx context.Context, o *base.IO, _ []string) error {
	list, err := o.Client.Cluster().Members(ctx)
	if err != nil {
		return err
	}
	leader, err := o.Client.Cluster().Leader(ctx)
	if err != nil {
		o.Say("No leader is known: %s", base.Clean(err.Error()))
	}
	rows := []row{}
	for _, x := range list {
		if !isServer(x) && !m.all {
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
		if !isServer(r.Member) {
			role = "client"
		}
		out = append(out, []string{
			r.Name, r.Addr, fmt.Sprint(r.Port), r.Status, base.YesNo(r.Leader), role, r.Tags["build"], r.Tags["dc"], r.Tags["region"],
		})
	}
	o.Table([]string{"Name", "Address", "Port", "Status", "Leader", "Role", "Build", "Datacenter", "Region"}, out)
	return nil
}
