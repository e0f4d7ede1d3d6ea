package job

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// Inspect is "job inspect".
var Inspect = &base.Command{
	Name: "job inspect", Synopsis: "Print a job as the API's JSON", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "What it prints can be registered again with job run.",
	Example: "steppe job inspect web\nsteppe job inspect -t '{{.Type}}' web",
	New:     func() base.Runner { return &inspect{} },
}

type inspect struct {
	template string
	version  int
}

func (i *inspect) Flags(fs *flag.FlagSet) {
	fs.StringVar(&i.template, "t", "", "Print through a Go `template`.")
	fs.Bool("json", false, "Print as JSON: it does so anyway.")
	fs.IntVar(&i.version, "version", -1, "Print this version, a `number`. Default: the newest.")
}

func (i *inspect) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	if i.version >= 0 {
		all, _, err := o.Client.Jobs().Versions(ctx, job.ID, &api.Query{Namespace: job.Namespace})
		if err != nil {
			return err
		}
		if job, err = pick(job.ID, all, uint64(i.version)); err != nil {
			return err
		}
	}
	if i.template != "" {
		_, err := o.Data(base.DataOptions{Template: i.template}, job)
		return err
	}
	return o.PrintJSON(map[string]any{"Job": job})
}
