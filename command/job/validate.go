package job

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// Validate is "job validate".
var Validate = &base.Command{
	Name: "job validate", Synopsis: "Check a job file", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long:    "Reads a job file (- is standard input) and tells every fault with its place. No agent is needed.",
	Example: "steppe job validate web.hcl", Offline: true,
	New: func() base.Runner { return &validate{} },
}

type validate struct{ file fileOptions }

func (v *validate) Flags(fs *flag.FlagSet) { v.file.register(fs) }

func (v *validate) Run(_ context.Context, o *base.IO, args []string) error {
	l, err := v.file.load(o.In, args[0])
	if err != nil {
		return err
	}
	if err := l.check(o); err != nil {
		return err
	}
	o.Print("Job validation successful")
	return nil
}
