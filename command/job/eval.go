package job

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// Eval is "job eval".
var Eval = &base.Command{
	Name: "job eval", Synopsis: "Have the scheduler look at a job again", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "The scheduler compares what should run with what does, and mends the difference. It does so by itself whenever something changes; this is for failed allocations that are to be replaced now.",
	Example: "steppe job eval -force-reschedule web",
	New:     func() base.Runner { return &eval{} },
}

type eval struct {
	following
	force bool
}

func (e *eval) Flags(fs *flag.FlagSet) {
	e.following.Flags(fs)
	fs.BoolVar(&e.force, "force-reschedule", false, "Replace failed allocations now, whatever the reschedule block says.")
}

func (e *eval) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	out, err := o.Client.Jobs().Evaluate(ctx, job.ID, e.force, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	return e.end(ctx, o, out, job.ID, job.Namespace)
}
