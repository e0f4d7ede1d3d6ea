// Package system holds the verbs that are about the whole cluster or the binary.
package system

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// GC is "system gc".
var GC = &base.Command{
	Name: "system gc", Synopsis: "Collect at once what has ended",
	Long:    "Ended jobs, evaluations and allocations, and nodes that are down, are forgotten without waiting for their age. It happens by itself from time to time.",
	Example: "steppe system gc",
	New:     func() base.Runner { return &gc{} },
}

type gc struct{}

func (*gc) Flags(*flag.FlagSet) {}

func (*gc) Run(ctx context.Context, o *base.IO, _ []string) error {
	if err := o.Client.Cluster().GC(ctx); err != nil {
		return err
	}
	o.Say("Collection has begun")
	return nil
}
