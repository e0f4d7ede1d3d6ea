package job

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/deployment"
	"github.com/steppe-project/steppe/model"
)

// Deployments is "job deployments".
var Deployments = &base.Command{
	Name: "job deployments", Synopsis: "List a job's deployments", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "Newest first.",
	Example: "steppe job deployments web\nsteppe job deployments -latest web",
	New:     func() base.Runner { return &deployments{} },
}

type deployments struct {
	base.DataOptions
	all, latest bool
}

func (d *deployments) Flags(fs *flag.FlagSet) {
	d.DataFlags(fs)
	fs.BoolVar(&d.all, "all", false, "Also those of an earlier, purged job with the same id.")
	fs.BoolVar(&d.latest, "latest", false, "Show the newest one.")
}

func (d *deployments) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	list, _, err := o.Client.Jobs().Deployments(ctx, job.ID, d.all, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	if d.latest && len(list) > 0 {
		if done, err := o.Data(d.DataOptions, list[0]); done {
			return err
		}
		deployment.Show(o, list[0], d.Verbose)
		return nil
	}
	done, err := o.Data(d.DataOptions, list)
	switch {
	case done || err != nil:
		return err
	case len(list) == 0:
		o.Print("No deployments of job %q", base.Clean(job.ID))
	default:
		deployment.Table(o, list, d.Verbose)
	}
	return nil
}

// Promote is "job promote".
var Promote = &base.Command{
	Name: "job promote", Synopsis: "Promote a job's canaries", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "The canaries of the job's newest deployment take the places of instances of the old version, and the rest is updated. All canaries must be healthy.",
	Example: "steppe job promote web\nsteppe job promote -group api web",
	New:     func() base.Runner { return &promote{} },
}

type promote struct{ groups base.Strings }

func (p *promote) Flags(fs *flag.FlagSet) {
	fs.Var(&p.groups, "group", "Only this group's canaries, a `name`; may be given many times. Default: all.")
}

func (p *promote) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	d, _, err := o.Client.Jobs().Deployment(ctx, job.ID, &api.Query{Namespace: job.Namespace})
	switch {
	case err != nil:
		return err
	case d == nil:
		return model.Errorf(model.CodeNotFound, "job %q has no deployment", job.ID)
	}
	return deployment.Promoted(ctx, o, d, p.groups)
}
