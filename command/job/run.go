package job

import (
	"context"
	"flag"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
)

// Run is "job run".
var Run = &base.Command{
	Name: "job run", Synopsis: "Run a job file, or update the job", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long: `Reads a job file (- is standard input), registers the job in the region that it names (else in that of -region, else in the agent's), and follows it: a service until its deployment has ended, all of its instances are healthy and run the version just registered, or until its canaries are healthy and wait for job promote; a batch job until all of its instances have completed. A periodic or parameterized job is only registered. When they cannot, it says why and what would help. The job goes on when following is interrupted.

Exit codes: 0 they run (batch: have completed), 1 an error, failed tasks or a failed deployment, 2 not everything could be placed, 130 interrupted. With -detach: 0 the job is registered.`,
	Example: "steppe job run web.hcl\nsteppe job run -var image=v2 -var-file prod.vars web.hcl\nsteppe job inspect web | steppe job run -",
	New:     func() base.Runner { return &run{} },
}

type run struct {
	following
	file           fileOptions
	output         bool
	preserveCounts bool
	checkIndex     string
	evalPriority   int
}

func (r *run) Flags(fs *flag.FlagSet) {
	r.following.Flags(fs)
	r.file.register(fs)
	fs.BoolVar(&r.output, "output", false, "Print the job as the API's JSON and register nothing.")
	fs.BoolVar(&r.preserveCounts, "preserve-counts", false, "Keep the counts of groups that the job already has.")
	fs.StringVar(&r.checkIndex, "check-index", "", "Register only if the job's modify `index` is still this; 0: only if there is no such job.")
	fs.IntVar(&r.evalPriority, "eval-priority", 0, "The evaluation's `priority`, 1 to 100. Default: the job's.")
}

func (r *run) Run(ctx context.Context, o *base.IO, args []string) error {
	req := &api.Register{PreserveCounts: r.preserveCounts, EvalPriority: r.evalPriority}
	if r.checkIndex != "" {
		index, err := strconv.ParseUint(r.checkIndex, 10, 64)
		if err != nil {
			return model.Errorf(model.CodeInvalid, "-check-index %q is not an index: a number, 0 or more", r.checkIndex)
		}
		req.EnforceIndex, req.JobModifyIndex = true, index
	}
	l, err := r.file.load(o.In, args[0])
	if err != nil {
		return err
	}
	if r.output {
		return o.PrintJSON(map[string]any{"Job": l.job})
	}
	if err := l.check(o); err != nil {
		return err
	}
	if l.region != "" {
		o.Client = o.Client.WithRegion(l.region)
	}
	req.Submission = l.submission
	out, err := o.Client.Jobs().Register(ctx, l.job, req)
	if err != nil {
		return err
	}
	if w := strings.TrimSpace(out.Warnings); w != "" {
		o.Say("%s %s", o.Paint(base.Yellow, "Warning:"), w)
	}
	if launch.IsTemplate(l.job) {
		registered(o, l.job)
		return nil
	}
	namespace := l.job.Namespace
	if namespace == "" {
		namespace = o.Client.Config().Namespace
	}
	return r.end(ctx, o, out, l.job.ID, namespace)
}
