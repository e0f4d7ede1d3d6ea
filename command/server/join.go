package server

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// Join is "server join".
var Join = &base.Command{
	Name: "server join", Synopsis: "Have the agent join others", Args: "ADDRESS...", MinArgs: 1, MaxArgs: -1,
	Long:    "ADDRESS is host:port of any agent's gossip port, or a host with the default one. Agents join by themselves where retry_join of the configuration says so.",
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
	o.Say("Joined %d of %d agents", n, len(args))
	return nil
}
