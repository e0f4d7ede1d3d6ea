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
	Example: "steppe version\nsteppe version -json",
	New:     func() base.Runner { return &versionCmd{} },
}

type versionCmd struct{ base.DataOptions }

func (v *versionCmd) Flags(fs *flag.FlagSet) { v.DataFlags(fs) }

func (v *versionCmd) Run(_ context.Context, o *base.IO, _ []string) error {
	data := map[string]string{"Version": version.Number, "Revision": version.Commit, "BuildDate": version.Date}
	if done, err := o.Data(v.DataOptions, data); done {
		return err
	}
	o.Print("%s", version.Full())
	return nil
}
