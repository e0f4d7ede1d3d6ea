// Package server holds the verbs on the region's agents.
package server

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// Members is "server members".
var Members = &base.Command{
	Name: "server members", Synopsis: "List the servers of all regions",
	Long:    "Servers of the agent's region come with those of all regions that it is federated with. Every agent is a member of its region, clients too; -all lists those of the agent's region, or of the one that -region names.",
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
	leaders := leadersOf(ctx, o, list)
	rows := []row{}
	for _, x := range list {
		if !isServer(x) && !m.all {
			continue
		}
		rows = append(rows, row{x, leaders[x.Tags["region"]] == net.JoinHostPort(x.Tags["rpc_addr"], x.Tags["port"])})
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Tags["region"], b.Tags["region"]), cmp.Compare(a.Name, b.Name))
	})
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

// leaderPatience bounds asking a region for its leader: one that is cut off is
// listed without.
const leaderPatience = 3 * time.Second

// leadersOf are the leaders' addresses by region.
func leadersOf(ctx context.Context, o *base.IO, list []api.Member) map[string]string {
	out := map[string]string{}
	for _, m := range list {
		region := m.Tags["region"]
		if _, asked := out[region]; asked || !isServer(m) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, leaderPatience)
		leader, err := o.Client.WithRegion(region).Cluster().Leader(ctx)
		cancel()
		if err != nil {
			o.Say("No leader of region %s is known: %s", base.Clean(region), base.Clean(err.Error()))
		}
		out[region] = leader
	}
	return out
}
