package alloc

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// Signal is "alloc signal".
var Signal = &base.Command{
	Name: "alloc signal", Synopsis: "Send a signal to the tasks of an allocation", Args: "ALLOC [TASK]", MinArgs: 1, MaxArgs: 2,
	Long:    "Sends a signal to a task, or to all that run.",
	Example: "steppe alloc signal -s SIGHUP 8f3a web",
	New:     func() base.Runner { return &signal{} },
}

type signal struct{ signal, task string }

func (s *signal) Flags(fs *flag.FlagSet) {
	fs.StringVar(&s.signal, "s", "SIGKILL", "The signal's `name`.")
	fs.StringVar(&s.task, "task", "", "The `task`, like the second argument.")
}

func (s *signal) Run(ctx context.Context, o *base.IO, args []string) error {
	a, task, err := target(ctx, o, args, s.task)
	if err != nil {
		return err
	}
	if err := o.Client.Allocations().Signal(ctx, a.ID, task, s.signal); err != nil {
		return err
	}
	o.Say("%s of allocation %s got %s", taskText(task), base.ShortID(a.ID, false), base.Clean(s.signal))
	return nil
}
