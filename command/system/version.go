package system

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/internal/version"
)

// Version is "version".
var Version = &base.Command{
	Name: "version", Synopsis: "Print the version", Offline: true,
	Long:    "Prints the version of this binary, not of the agent that -address names; that one is in server members and node status.",
	Example: "steppe version",
	New:     func() base.Runner { return &versionCmd{} },
}

type versionCmd struct{}

func (*versionCmd) Flags(*flag.FlagSet) {}

func (*versionCmd) Run(_ context.Context, o *base.IO, _ []string) error {
	o.Print("%s", version.Full())
	return nil
}
