package job

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
)

// Stop is "job stop".
var Stop = &base.Command{
	Name: "job stop", Synopsis: "Stop a job", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "Stops all of a job's tasks and follows until they have ended. The job can be run again; -purge forgets it. Of a periodic or parameterized job only launches are stopped: its children go on.",
	Example: "steppe job stop web\nsteppe job stop -purge web",
	New:     func() base.Runner { return &stop{} },
}

type stop struct {
	following
	purge, yes, noShutdownDelay bool
}

func (s *stop) Flags(fs *flag.FlagSet) {
	s.following.Flags(fs)
	fs.BoolVar(&s.purge, "purge", false, "Forget the job and its history too.")
	fs.BoolVar(&s.yes, "yes", false, "Stop the job also when JOB is only the beginning of its id.")
	fs.BoolVar(&s.noShutdownDelay, "no-shutdown-delay", false, "Skip the shutdown_delay of groups and tasks.")
}

func (s *stop) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	if job.ID != args[0] && !s.yes {
		return model.Errorf(model.CodeInvalid, "no job %q; did you mean %q? Give the whole id, or -yes", args[0], job.ID)
	}
	out, err := o.Client.Jobs().Deregister(ctx, job.ID, s.purge, s.noShutdownDelay, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	if out.Warnings != "" {
		o.Say("%s", base.Clean(out.Warnings))
	}
	if launch.IsTemplate(job) {
		o.Say("Job %q launches nothing any more. Its children go on; stop them one by one: steppe job status %s", base.Clean(job.ID), base.Clean(job.ID))
		return nil
	}
	return s.end(ctx, o, out, job.ID, job.Namespace)
}
