package job

import (
	"context"
	"flag"
	"math"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Run is "job run".
var Run = &base.Command{
	Name: "job run", Synopsis: "Run a job file, or update the job", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long: `Reads a job file (- is standard input), registers the job, and follows the placement until its tasks run or cannot. The job goes on when following is interrupted.

Exit codes: 0 the tasks run (or a batch job was placed and has not failed), 1 an error or failed tasks, 2 not everything could be placed.`,
	Example: "steppe job run -var image=v2 web.hcl",
	New:     func() base.Runner { return &run{} },
}

type run struct {
	file           fileOptions
	detach         bool
	output         bool
	verbose        bool
	preserveCounts bool
	checkIndex     string
	evalPriority   int
}

func (r *run) Flags(fs *flag.FlagSet) {
	r.file.register(fs)
	fs.BoolVar(&r.detach, "detach", false, "Return at once with the evaluation's id.")
	fs.BoolVar(&r.output, "output", false, "Print the job as the API's JSON and register nothing.")
	fs.BoolVar(&r.verbose, "verbose", false, "Print whole ids.")
	fs.BoolVar(&r.preserveCounts, "preserve-counts", false, "Keep the counts of groups that the job already has.")
	fs.StringVar(&r.checkIndex, "check-index", "", "Register only if the job's modify `index` is still this; 0: only if there is no such job.")
	fs.IntVar(&r.evalPriority, "eval-priority", 0, "Priority of the evaluation, 1 to 100; 0 takes the job's.")
}

func (r *run) Run(ctx context.Context, o *base.IO, args []string) error {
	l, err := r.file.load(o.In, args[0])
	if err != nil {
		return err
	}
	if r.output {
		_, err := o.Data(base.DataOptions{JSON: true}, map[string]any{"Job": l.job})
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	for _, w := range l.warnings {
		o.Say("Warning: %s", w)
	}
	req := &api.Register{PreserveCounts: r.preserveCounts, EvalPriority: r.evalPriority, Submission: l.submission}
	if r.checkIndex != "" {
		i, err := strconv.ParseUint(r.checkIndex, 10, 64)
		if err != nil {
			return model.Errorf(model.CodeInvalid, "-check-index %q is not a number up to %d", r.checkIndex, uint64(math.MaxUint64))
		}
		req.EnforceIndex, req.JobModifyIndex = true, i
	}
	out, err := o.Client.Jobs().Register(ctx, l.job, req)
	if err != nil {
		return err
	}
	if out.Warnings != "" {
		o.Say("Job warnings:\n%s", strings.TrimSpace(out.Warnings))
	}
	return followOrDetach(ctx, o, out, l.job.ID, l.job.Namespace, r.detach, r.verbose)
}

// followOrDetach ends a command that created an evaluation.
func followOrDetach(ctx context.Context, o *base.IO, out *api.Registered, jobID, namespace string, detach, verbose bool) error {
	if out.EvalID == "" {
		o.Say("Job %q registered; it needs no evaluation.", jobID)
		return nil
	}
	if detach {
		o.Print("Evaluation ID: %s", out.EvalID)
		return nil
	}
	f := &follower{o: o, evalID: out.EvalID, jobID: jobID, namespace: namespace, verbose: verbose}
	return f.run(ctx)
}
