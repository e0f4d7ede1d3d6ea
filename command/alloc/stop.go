package alloc

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/job"
)

// Stop is "alloc stop".
var Stop = &base.Command{
	Name: "alloc stop", Synopsis: "Stop an allocation; another takes its place", Args: "ALLOC", MinArgs: 1, MaxArgs: 1,
	Long:    "Stops the tasks of an allocation and follows until its replacement runs. To stop a job for good, see job stop; to have fewer instances, job scale.",
	Example: "steppe alloc stop 8f3a",
	New:     func() base.Runner { return &stop{} },
}

type stop struct{ detach, verbose, noShutdownDelay bool }

func (s *stop) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&s.detach, "detach", false, "Return at once with the evaluation's id.")
	fs.BoolVar(&s.verbose, "verbose", false, "Print whole ids.")
	fs.BoolVar(&s.noShutdownDelay, "no-shutdown-delay", false, "Skip the shutdown_delay of group and tasks.")
}

func (s *stop) Run(ctx context.Context, o *base.IO, args []string) error {
	a, err := o.Alloc(ctx, args[0])
	if err != nil {
		return err
	}
	eval, err := o.Client.Allocations().Stop(ctx, a.ID, s.noShutdownDelay)
	if err != nil {
		return err
	}
	if s.detach || eval == "" {
		o.Print("Evaluation ID: %s", eval)
		return nil
	}
	return job.Follow(ctx, o, a.JobID, a.Namespace, eval, s.verbose)
}
