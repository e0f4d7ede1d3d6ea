package job

import (
	"context"
	"flag"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/deployment"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/stateful"
)

// Status is "job status".
var Status = &base.Command{
	Name: "job status", Synopsis: "List jobs, or show one", Args: "[JOB]", MaxArgs: 1,
	Long:    "A job is shown with the counts of its groups, its allocations, and why some are not placed; one that launches others with its children.",
	Example: "steppe job status\nsteppe job status -evals web",
	New:     func() base.Runner { return &status{} },
}

type status struct {
	base.DataOptions
	allAllocs, evals, short bool
}

func (s *status) Flags(fs *flag.FlagSet) {
	s.DataFlags(fs)
	fs.BoolVar(&s.allAllocs, "all-allocs", false, "Also allocations of an earlier, purged job with the same id.")
	fs.BoolVar(&s.evals, "evals", false, "Show evaluations.")
	fs.BoolVar(&s.short, "short", false, "Show the job only.")
}

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	if len(args) == 0 {
		return s.list(ctx, o)
	}
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, job); done {
		return err
	}
	fields := []string{
		"ID", job.ID, "Name", job.Name, "Submit Date", base.Time(time.Unix(0, job.SubmitTime)), "Type", job.Type,
		"Priority", fmt.Sprint(job.Priority), "Datacenters", strings.Join(job.Datacenters, ","), "Namespace", job.Namespace,
		"Node Pool", job.NodePool, "Status", s.statusText(job), "Version", fmt.Sprint(job.Version),
	}
	o.Fields(append(fields, launches(job)...)...)
	if s.short {
		return nil
	}
	if launch.IsTemplate(job) {
		return s.children(ctx, o, job)
	}
	return s.details(ctx, o, job)
}

func (s *status) statusText(job *model.Job) string {
	text := job.Status
	if job.Stop {
		text += " (stopped)"
	}
	if job.StatusDescription != "" {
		text += ": " + job.StatusDescription
	}
	return text
}

func (s *status) list(ctx context.Context, o *base.IO) error {
	jobs, _, err := o.Client.Jobs().List(ctx, nil)
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, jobs); done {
		return err
	}
	if len(jobs) == 0 {
		o.Print("No running jobs")
		return nil
	}
	var rows [][]string
	for _, j := range jobs {
		status := j.Status
		if j.Stop {
			status += " (stopped)"
		}
		rows = append(rows, []string{j.ID, j.Namespace, j.Type, fmt.Sprint(j.Priority), status, base.Ago(j.SubmitTime)})
	}
	o.Table([]string{"ID", "Namespace", "Type", "Priority", "Status", "Submitted"}, rows)
	return nil
}

func (s *status) details(ctx context.Context, o *base.IO, job *model.Job) error {
	q := &api.Query{Namespace: job.Namespace}
	summary, _, err := o.Client.Jobs().Summary(ctx, job.ID, q)
	if err != nil {
		return err
	}
	o.Title("Summary")
	var rows [][]string
	for _, g := range base.Keys(summary.Summary) {
		c := summary.Summary[g]
		rows = append(rows, []string{
			g, fmt.Sprint(c.Queued), fmt.Sprint(c.Starting), fmt.Sprint(c.Running), fmt.Sprint(c.Failed), fmt.Sprint(c.Complete),
			fmt.Sprint(c.Lost), fmt.Sprint(c.Unknown),
		})
	}
	o.Table([]string{"Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown"}, rows)
	bounds(o, job)
	evals, _, err := o.Client.Jobs().Evaluations(ctx, job.ID, q)
	if err != nil {
		return err
	}
	s.evaluations(o, evals)
	waits(o, job, evals)
	d, _, err := o.Client.Jobs().Deployment(ctx, job.ID, q)
	if err != nil {
		return err
	}
	if d != nil {
		o.Title("Latest Deployment")
		o.Fields("ID", base.ShortID(d.ID, s.Verbose), "Version", fmt.Sprint(d.JobVersion), "Status", d.Status, "Description", d.StatusDescription)
		o.Title("Deployed")
		deployment.Groups(o, d)
	}
	list, _, err := o.Client.Jobs().Allocations(ctx, job.ID, s.allAllocs, q)
	if err != nil {
		return err
	}
	o.Title("Allocations")
	AllocTable(o, list, s.Verbose)
	return nil
}

// waits says what ordinals of stateful groups wait for, as the newest decision saw it.
func waits(o *base.IO, job *model.Job, evals []*model.Evaluation) {
	var newest *model.Evaluation
	for _, e := range evals {
		if e.SnapshotIndex > 0 && e.Status == model.EvalComplete && (newest == nil || e.SnapshotIndex > newest.SnapshotIndex) {
			newest = e
		}
	}
	if newest == nil || !stateful.Any(job) || len(stateful.Waits(newest)) == 0 {
		return
	}
	o.Title("Waiting")
	for _, w := range stateful.Waits(newest) {
		o.Print("%s", base.Clean(w))
	}
}

// evaluations lists them on request, and always says why something is not placed.
func (s *status) evaluations(o *base.IO, evals []*model.Evaluation) {
	sort.Slice(evals, func(i, j int) bool { return evals[i].CreateIndex > evals[j].CreateIndex })
	if s.evals || s.Verbose {
		o.Title("Evaluations")
		var rows [][]string
		for _, e := range evals {
			rows = append(rows, []string{
				base.ShortID(e.ID, s.Verbose), fmt.Sprint(e.Priority), e.TriggeredBy, e.Status, base.YesNo(len(e.FailedTGAllocs) > 0),
			})
		}
		o.Table([]string{"ID", "Priority", "Triggered By", "Status", "Placement Failures"}, rows)
	}
	for _, e := range evals {
		if e.Status != model.EvalBlocked || len(e.FailedTGAllocs) == 0 {
			continue
		}
		o.Title("Placement Failure")
		for _, g := range base.Keys(e.FailedTGAllocs) {
			o.Print("Task Group %q:", base.Clean(g))
			for _, l := range Explain(e.FailedTGAllocs[g]) {
				o.Print("  %s", base.Clean(l))
			}
		}
		return
	}
}
