package job

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
	"github.com/steppe-project/steppe/model/launch"
)

// PeriodicForce is "job periodic force".
var PeriodicForce = &base.Command{
	Name: "job periodic force", Synopsis: "Launch a periodic job now", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "Launches a child whatever the schedule says, also while another one runs and prohibit_overlap is set, and follows it until its instances have completed. The schedule goes on as it is.",
	Example: "steppe job periodic force backup\nsteppe job periodic force -detach backup",
	New:     func() base.Runner { return &force{} },
}

type force struct{ following }

func (f *force) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	out, err := o.Client.Jobs().PeriodicForce(ctx, job.ID, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	return f.launched(ctx, o, out, job.Namespace)
}

// mostChildren is how many children are listed.
const mostChildren = 30

// children lists those of a job that launches others, newest first.
func (s *status) children(ctx context.Context, o *base.IO, job *model.Job) error {
	q := &api.Query{
		Namespace: job.Namespace, Prefix: job.ID + "/", Filter: "ParentID == " + strconv.Quote(job.ID), Reverse: true, PerPage: mostChildren + 1,
	}
	summary, _, err := o.Client.Jobs().Summary(ctx, job.ID, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	list, _, err := o.Client.Jobs().List(ctx, q)
	if err != nil {
		return err
	}
	o.Title("Children")
	if c := summary.Children; c != nil {
		o.Fields("Pending", fmt.Sprint(c.Pending), "Running", fmt.Sprint(c.Running), "Dead", fmt.Sprint(c.Dead))
	}
	if len(list) == 0 {
		return nil
	}
	o.Title("Newest Children")
	var rows [][]string
	for _, j := range list[:min(len(list), mostChildren)] {
		rows = append(rows, []string{j.ID, j.Status, base.Ago(j.SubmitTime)})
	}
	o.Table([]string{"ID", "Status", "Launched"}, rows)
	if len(list) > mostChildren {
		o.Print("... and more")
	}
	return nil
}

// launches are the fields that say how a job launches others.
func launches(job *model.Job) []string {
	out := []string{"Periodic", base.YesNo(job.Periodic != nil), "Parameterized", base.YesNo(launch.IsParameterized(job))}
	if job.ParentID != "" {
		out = append(out, "Parent", job.ParentID)
	}
	if job.Periodic != nil {
		out = append(out, "Next Launch", nextLaunch(job))
	}
	return out
}

// nextLaunch says when a periodic job is launched next, in the words of people.
func nextLaunch(job *model.Job) string {
	now := time.Now()
	next := cron.NextLaunch(job, now)
	switch {
	case !next.IsZero():
		return fmt.Sprintf("%s (in %s)", next.Format("2006-01-02T15:04:05Z07:00"), base.Age(next.Sub(now)))
	case job.Stop:
		return "never: the job is stopped"
	case !job.Periodic.Enabled:
		return "never: launches are disabled"
	}
	return "never"
}

// registered says what becomes of a job that only launches others.
func registered(o *base.IO, job *model.Job) {
	id := base.Clean(job.ID)
	if job.Periodic == nil {
		o.Say("Job %q is registered. Launch it with: steppe job dispatch %s", id, id)
		return
	}
	o.Say("Job %q is registered. It is launched next at %s", id, nextLaunch(job))
}
