package alloc

import (
	"context"
	"flag"
	"io"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Logs is "alloc logs".
var Logs = &base.Command{
	Name: "alloc logs", Synopsis: "Print or follow a task's log", Args: "ALLOC [TASK]", MinArgs: 1, MaxArgs: 2,
	Long:    "Prints what a task wrote to its standard output or error. With -job the argument is a job, of which an allocation is chosen: of those that run the newest. TASK may be left out when there is only one.",
	Example: "steppe logs -f 8f3a\nsteppe logs -tail -stderr -job web",
	New:     func() base.Runner { return &logs{} },
}

type logs struct {
	tail
	stderr, stdout, job bool
	task                string
}

func (l *logs) Flags(fs *flag.FlagSet) {
	l.tail.Flags(fs)
	fs.BoolVar(&l.stderr, "stderr", false, "Print standard error.")
	fs.BoolVar(&l.stdout, "stdout", false, "Print standard output, as it does without either.")
	fs.BoolVar(&l.job, "job", false, "The first argument is a job.")
	fs.StringVar(&l.task, "task", "", "The `task`, like the second argument.")
}

func (l *logs) Run(ctx context.Context, o *base.IO, args []string) error {
	if err := l.check(); err != nil {
		return err
	}
	if l.stdout && l.stderr {
		return model.Errorf(model.CodeInvalid, "-stdout and -stderr exclude each other")
	}
	a, err := allocOf(ctx, o, args[0], l.job)
	if err != nil {
		return err
	}
	task, err := named(a, args, l.task)
	if err != nil {
		return err
	}
	if task, err = taskOf(a, task); err != nil {
		return err
	}
	return l.print(ctx, o, func(ctx context.Context, follow bool, fromEnd int64) (io.ReadCloser, error) {
		return o.Client.Allocations().Logs(ctx, a.ID, api.Logs{
			Task: task, Stderr: l.stderr, Follow: follow, FromEnd: fromEnd > 0, Offset: fromEnd,
		})
	})
}
