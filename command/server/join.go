package server

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// Join is "server join".
var Join = &base.Command{
	Name: "server join", Synopsis: "Have the agent join others of its region, or federate regions", Args: "ADDRESS...", MinArgs: 1, MaxArgs: -1,
	Long: `ADDRESS is host:port of any agent's gossip port, or a host with the default one (4648). Agents join by themselves where retry_join of the configuration says so.

With -wan the agent, a server, federates its region with that of a server at ADDRESS: host:port of its WAN port, or a host with the default one (4649). One server of each region is enough: their region mates follow. The configuration's retry_join_wan does the same.`,
	Example: "steppe server join 10.0.0.1:4648\nsteppe server join -wan 10.8.0.1",
	New:     func() base.Runner { return &join{} },
}

type join struct{ wan bool }

func (j *join) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&j.wan, "wan", false, "Federate with the regions of servers at the addresses.")
}

func (j *join) Run(ctx context.Context, o *base.IO, args []string) error {
	verb, what := o.Client.Cluster().Join, "agents"
	if j.wan {
		verb, what = o.Client.Cluster().JoinWAN, "servers of other regions"
	}
	n, err := verb(ctx, args...)
	if err != nil {
		return err
	}
	o.Say("Joined %d of %d %s", n, len(args), what)
	return nil
}
