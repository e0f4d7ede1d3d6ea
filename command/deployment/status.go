package deployment

import (
	"context"
	"flag"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// Status is "deployment status".
var Status = &base.Command{
	Name: "deployment status", Synopsis: "Show a deployment", Args: "DEPLOYMENT", MinArgs: 1, MaxArgs: 1,
	Long: `Shows how far each group has come, and its allocations. With -monitor it is followed until it has ended.

Exit codes: 0, with -monitor when it was successful; 1 an error, or with -monitor when it failed or was cancelled.`,
	Example: "steppe deployment status 3f1c\nsteppe deployment status -monitor 3f1c",
	New:     func() base.Runner { return &status{} },
}

type status struct {
	base.DataOptions
	monitor bool
}

func (s *status) Flags(fs *flag.FlagSet) {
	s.DataFlags(fs)
	fs.BoolVar(&s.monitor, "monitor", false, "Follow it until it has ended.")
}

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	d, err := o.Deployment(ctx, args[0])
	if err != nil {
		return err
	}
	if s.monitor {
		return follow(ctx, o, d)
	}
	if done, err := o.Data(s.DataOptions, d); done {
		return err
	}
	Show(o, d, s.Verbose)
	allocs, _, err := o.Client.Deployments().Allocations(ctx, d.ID, nil)
	if err != nil {
		return err
	}
	o.Title("Allocations")
	var rows [][]string
	for _, a := range allocs {
		rows = append(rows, []string{base.ShortID(a.ID, s.Verbose), a.NodeName, a.TaskGroup, a.DesiredStatus, a.ClientStatus, Health(a.DeploymentStatus), base.Ago(a.CreateTime)})
	}
	o.Table([]string{"ID", "Node", "Task Group", "Desired", "Status", "Health", "Created"}, rows)
	return nil
}

// Health is what is said of an allocation's health.
func Health(s *model.AllocDeploymentStatus) string {
	text := "-"
	switch {
	case s == nil:
		return text
	case s.Healthy != nil && *s.Healthy:
		text = "healthy"
	case s.Healthy != nil:
		text = "unhealthy"
	}
	if s.Canary {
		text += " (canary)"
	}
	return text
}

const (
	// followWait is one blocking query's wait.
	followWait = 60 * time.Second
	// followPause is between two questions when a server does not answer.
	followPause = time.Second
)

// follow shows a deployment until it has ended.
func follow(ctx context.Context, o *base.IO, d *model.Deployment) error {
	var screen *base.Screen
	if o.Live {
		screen = o.Screen()
	}
	o.Say("Deployment %s of job %q, version %d", base.ShortID(d.ID, false), base.Clean(d.JobID), d.JobVersion)
	said := ""
	for {
		if screen != nil {
			screen.Draw(Lines(d, time.Now()))
		} else {
			for _, name := range deploy.Groups(d) {
				if l := base.Clean(name) + ": " + Counts(d.TaskGroups[name], time.Time{}); l != said {
					said = l
					o.Say("  %s", l)
				}
			}
		}
		if !deploy.Active(d) {
			return Conclude(o, d)
		}
		next, _, err := o.Client.Deployments().Get(ctx, d.ID, &api.Query{Index: d.ModifyIndex, Wait: followWait})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case model.CodeOf(err) == model.CodeNotFound:
			return err
		case err != nil:
			time.Sleep(followPause)
		default:
			d = next
		}
	}
}

// Conclude says how a deployment ended; a failed one is an Exit.
func Conclude(o *base.IO, d *model.Deployment) error {
	if d.Status == model.DeploymentSuccessful {
		o.Say("%s", o.Paint(base.Green, base.Clean(d.StatusDescription)))
		return nil
	}
	o.Say("%s", o.Paint(base.Red, base.Clean(d.StatusDescription)))
	return &base.Exit{Code: base.ExitError}
}
