package alloc

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// Restart is "alloc restart".
var Restart = &base.Command{
	Name: "alloc restart", Synopsis: "Restart the tasks of an allocation in place", Args: "ALLOC [TASK]", MinArgs: 1, MaxArgs: 2,
	Long:    "Restarts a task, or all that run. They stay on their node and keep their files.",
	Example: "steppe alloc restart 8f3a\nsteppe alloc restart 8f3a web",
	New:     func() base.Runner { return &restart{} },
}

type restart struct {
	all  bool
	task string
}

func (r *restart) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&r.all, "all-tasks", false, "Also tasks that have ended.")
	fs.StringVar(&r.task, "task", "", "The `task`, like the second argument.")
}

func (r *restart) Run(ctx context.Context, o *base.IO, args []string) error {
	a, task, err := target(ctx, o, args, r.task)
	if err != nil {
		return err
	}
	if err := o.Client.Allocations().Restart(ctx, a.ID, task, r.all); err != nil {
		return err
	}
	o.Say("%s of allocation %s restarted", taskText(task), base.ShortID(a.ID, false))
	return nil
}
