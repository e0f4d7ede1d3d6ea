package job

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// Init is "job init".
var Init = &base.Command{
	Name: "job init", Synopsis: "Write an example job file", Args: "[FILE]", MaxArgs: 1, Offline: true,
	Long:    "Writes a job file that runs as it is on a dev agent, with comments. The default name is example.steppe.hcl; a file that exists is left alone.",
	Example: "steppe job init && steppe job run example.steppe.hcl",
	New:     func() base.Runner { return &initCmd{} },
}

type initCmd struct{ short bool }

func (i *initCmd) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&i.short, "short", false, "Write it without comments.")
}

func (i *initCmd) Run(_ context.Context, o *base.IO, args []string) error {
	name, text := "example.steppe.hcl", exampleLong
	if len(args) == 1 {
		name = args[0]
	}
	if i.short {
		text = exampleShort
	}
	if err := base.WriteNew(name, text); err != nil {
		return err
	}
	o.Say("Wrote %s. Run it with: steppe job run %s", name, name)
	return nil
}
