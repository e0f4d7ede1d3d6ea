package deployment

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Fail is "deployment fail".
var Fail = &base.Command{
	Name: "deployment fail", Synopsis: "Fail a deployment", Args: "DEPLOYMENT", MinArgs: 1, MaxArgs: 1,
	Long:    "Nothing more is updated. Canaries are stopped, and a job with auto_revert goes back to its newest stable version.",
	Example: "steppe deployment fail 3f1c",
	New: func() base.Runner {
		return &change{do: func(ctx context.Context, o *base.IO, d *model.Deployment, q *api.Query) (*api.DeploymentUpdate, string, error) {
			out, err := o.Client.Deployments().Fail(ctx, d.ID, q)
			return out, "has failed", err
		}}
	},
}

// Pause is "deployment pause".
var Pause = &base.Command{
	Name: "deployment pause", Synopsis: "Pause a deployment", Args: "DEPLOYMENT", MinArgs: 1, MaxArgs: 1,
	Long:    "Nothing more is updated until it is resumed, and no deadline runs. What is lost meanwhile is replaced by instances of its own version.",
	Example: "steppe deployment pause 3f1c",
	New: func() base.Runner {
		return &change{do: func(ctx context.Context, o *base.IO, d *model.Deployment, q *api.Query) (*api.DeploymentUpdate, string, error) {
			out, err := o.Client.Deployments().Pause(ctx, d.ID, true, q)
			return out, "is paused", err
		}}
	},
}

// Resume is "deployment resume".
var Resume = &base.Command{
	Name: "deployment resume", Synopsis: "Have a paused deployment go on", Args: "DEPLOYMENT", MinArgs: 1, MaxArgs: 1,
	Long:    "It goes on where it was, with its progress deadlines anew.",
	Example: "steppe deployment resume 3f1c",
	New: func() base.Runner {
		return &change{do: func(ctx context.Context, o *base.IO, d *model.Deployment, q *api.Query) (*api.DeploymentUpdate, string, error) {
			out, err := o.Client.Deployments().Pause(ctx, d.ID, false, q)
			return out, "goes on", err
		}}
	},
}

// Unblock is "deployment unblock".
var Unblock = &base.Command{
	Name: "deployment unblock", Synopsis: "Refused: deployments do not wait for other regions", Args: "DEPLOYMENT", MinArgs: 1, MaxArgs: 1,
	Long:    "In Nomad, a deployment in one of several regions waits for the others, and this has it go on. Steppe deploys in each region by itself, so there is nothing to unblock.",
	Example: "steppe deployment unblock 3f1c",
	New: func() base.Runner {
		return &change{do: func(ctx context.Context, o *base.IO, d *model.Deployment, q *api.Query) (*api.DeploymentUpdate, string, error) {
			out, err := o.Client.Deployments().Unblock(ctx, d.ID, q)
			return out, "goes on", err
		}}
	},
}

// change is a write of a deployment, and what became of it in words.
type change struct {
	do func(ctx context.Context, o *base.IO, d *model.Deployment, q *api.Query) (*api.DeploymentUpdate, string, error)
}

func (c *change) Flags(*flag.FlagSet) {}

func (c *change) Run(ctx context.Context, o *base.IO, args []string) error {
	d, err := o.Deployment(ctx, args[0])
	if err != nil {
		return err
	}
	out, words, err := c.do(ctx, o, d, &api.Query{Namespace: d.Namespace})
	if err != nil {
		return err
	}
	o.Say("Deployment %s of job %q %s", base.ShortID(d.ID, false), base.Clean(d.JobID), words)
	if v := out.RevertedJobVersion; v != nil {
		o.Say("The job goes back to version %d", *v)
	}
	return nil
}

// Promote is "deployment promote".
var Promote = &base.Command{
	Name: "deployment promote", Synopsis: "Promote a deployment's canaries", Args: "DEPLOYMENT", MinArgs: 1, MaxArgs: 1,
	Long:    "The canaries take the places of instances of the old version, and the rest is updated. All canaries must be healthy.",
	Example: "steppe deployment promote 3f1c\nsteppe deployment promote -group web -group api 3f1c",
	New:     func() base.Runner { return &promote{} },
}

type promote struct{ groups base.Strings }

func (p *promote) Flags(fs *flag.FlagSet) {
	fs.Var(&p.groups, "group", "Only this group's canaries, a `name`; may be given many times. Default: all.")
}

func (p *promote) Run(ctx context.Context, o *base.IO, args []string) error {
	d, err := o.Deployment(ctx, args[0])
	if err != nil {
		return err
	}
	return Promoted(ctx, o, d, p.groups)
}

// Promoted promotes canaries, and says so.
func Promoted(ctx context.Context, o *base.IO, d *model.Deployment, groups []string) error {
	if _, err := o.Client.Deployments().Promote(ctx, d.ID, groups, &api.Query{Namespace: d.Namespace}); err != nil {
		return err
	}
	o.Say("Deployment %s of job %q is promoted", base.ShortID(d.ID, false), base.Clean(d.JobID))
	return nil
}
