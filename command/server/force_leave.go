package server

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// ForceLeave is "server force-leave".
var ForceLeave = &base.Command{
	Name: "server force-leave", Synopsis: "Make a failed agent count as left", Args: "NAME", MinArgs: 1, MaxArgs: 1,
	Long:    "For an agent that will not come back; others then stop trying to reach it. NAME is as server members -all prints it.",
	Example: "steppe server force-leave s3.global", New: func() base.Runner { return &forceLeave{} },
}

type forceLeave struct{}

func (*forceLeave) Flags(*flag.FlagSet) {}

func (*forceLeave) Run(ctx context.Context, o *base.IO, args []string) error {
	if err := o.Client.Cluster().ForceLeave(ctx, args[0]); err != nil {
		return err
	}
	o.Say("%s counts as left", base.Clean(args[0]))
	return nil
}
