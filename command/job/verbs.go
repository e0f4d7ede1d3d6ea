package job

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Validate is "job validate".
var Validate = &base.Command{
	Name: "job validate", Synopsis: "Check a job file", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long:    "Reads a job file and tells every fault with its place. No agent is needed.",
	Example: "steppe job validate web.hcl", Offline: true,
	New: func() base.Runner { return &validate{} },
}

type validate struct{ file fileOptions }

func (v *validate) Flags(fs *flag.FlagSet) { v.file.register(fs) }

func (v *validate) Run(_ context.Context, o *base.IO, args []string) error {
	l, err := v.file.load(o.In, args[0])
	if err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	for _, w := range l.warnings {
		o.Say("Warning: %s", w)
	}
	o.Print("Job validation successful")
	return nil
}

// Stop is "job stop".
var Stop = &base.Command{
	Name: "job stop", Synopsis: "Stop a job", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "Stops all of a job's tasks and follows until they have ended. The job can be run again; -purge forgets it.",
	Example: "steppe job stop -purge web",
	New:     func() base.Runner { return &stop{} },
}

type stop struct{ purge, detach, yes, verbose, noShutdownDelay bool }

func (s *stop) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&s.purge, "purge", false, "Forget the job and its history too.")
	fs.BoolVar(&s.detach, "detach", false, "Return at once with the evaluation's id.")
	fs.BoolVar(&s.yes, "yes", false, "Do not ask when JOB is only a prefix of the job's id.")
	fs.BoolVar(&s.verbose, "verbose", false, "Print whole ids.")
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
	return followOrDetach(ctx, o, out, job.ID, job.Namespace, s.detach, s.verbose)
}

// Inspect is "job inspect".
var Inspect = &base.Command{
	Name: "job inspect", Synopsis: "Print a job as the API's JSON", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Example: "steppe job inspect -t '{{.Type}}' web",
	New:     func() base.Runner { return &inspect{} },
}

type inspect struct {
	base.DataOptions
	version int
}

func (i *inspect) Flags(fs *flag.FlagSet) {
	i.DataFlags(fs)
	fs.IntVar(&i.version, "version", -1, "Print this version `number`; default the newest.")
}

func (i *inspect) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	if i.version >= 0 {
		if job, err = version(ctx, o, job, uint64(i.version)); err != nil {
			return err
		}
	}
	if i.Template != "" {
		_, err := o.Data(i.DataOptions, job)
		return err
	}
	_, err = o.Data(base.DataOptions{JSON: true}, map[string]any{"Job": job})
	return err
}

func version(ctx context.Context, o *base.IO, job *model.Job, n uint64) (*model.Job, error) {
	all, _, err := o.Client.Jobs().Versions(ctx, job.ID, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v.Version == n {
			return v, nil
		}
	}
	return nil, model.Errorf(model.CodeNotFound, "job %q has no version %d (any more)", job.ID, n)
}

// History is "job history".
var History = &base.Command{
	Name: "job history", Synopsis: "List a job's versions", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Example: "steppe job history web",
	New:     func() base.Runner { return &history{} },
}

type history struct {
	base.DataOptions
	version int
}

func (h *history) Flags(fs *flag.FlagSet) {
	h.DataFlags(fs)
	fs.IntVar(&h.version, "version", -1, "Show only this version `number`.")
}

func (h *history) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	all, _, err := o.Client.Jobs().Versions(ctx, job.ID, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	if h.version >= 0 {
		v, err := version(ctx, o, job, uint64(h.version))
		if err != nil {
			return err
		}
		all = []*model.Job{v}
	}
	if done, err := o.Data(h.DataOptions, all); done {
		return err
	}
	var rows [][]string
	for _, v := range all {
		groups := ""
		for i, g := range v.TaskGroups {
			if i > 0 {
				groups += " "
			}
			groups += g.Name + "=" + strconv.Itoa(g.Count)
		}
		rows = append(rows, []string{strconv.FormatUint(v.Version, 10), base.YesNo(v.Stable), base.Ago(v.SubmitTime), groups, base.YesNo(v.Stop)})
	}
	o.Table([]string{"Version", "Stable", "Submitted", "Groups", "Stopped"}, rows)
	return nil
}

// Scale is "job scale".
var Scale = &base.Command{
	Name: "job scale", Synopsis: "Set a group's count", Args: "JOB [GROUP] COUNT", MinArgs: 2, MaxArgs: 3,
	Long:    "Sets how many instances of a group run, and follows until they do. GROUP may be left out when the job has one group only.",
	Example: "steppe job scale web servers 5",
	New:     func() base.Runner { return &scale{} },
}

type scale struct{ detach, verbose bool }

func (s *scale) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&s.detach, "detach", false, "Return at once with the evaluation's id.")
	fs.BoolVar(&s.verbose, "verbose", false, "Print whole ids.")
}

func (s *scale) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(args[len(args)-1])
	if err != nil || count < 0 {
		return model.Errorf(model.CodeInvalid, "%q is not a count (0 or more)", args[len(args)-1])
	}
	var group string
	switch {
	case len(args) == 3:
		group = args[1]
	case len(job.TaskGroups) == 1:
		group = job.TaskGroups[0].Name
	default:
		return model.Errorf(model.CodeInvalid, "job %q has %d groups: name one", job.ID, len(job.TaskGroups))
	}
	out, err := o.Client.Jobs().Scale(ctx, job.ID, group, count, "scaled with the command line", &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	return followOrDetach(ctx, o, out, job.ID, job.Namespace, s.detach, s.verbose)
}

// Eval is "job eval".
var Eval = &base.Command{
	Name: "job eval", Synopsis: "Have the scheduler look at a job again", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Example: "steppe job eval -force-reschedule web",
	New:     func() base.Runner { return &eval{} },
}

type eval struct{ force, detach, verbose bool }

func (e *eval) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&e.force, "force-reschedule", false, "Replace failed allocations now, whatever the reschedule block says.")
	fs.BoolVar(&e.detach, "detach", false, "Return at once with the evaluation's id.")
	fs.BoolVar(&e.verbose, "verbose", false, "Print whole ids.")
}

func (e *eval) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	out, err := o.Client.Jobs().Evaluate(ctx, job.ID, e.force, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	return followOrDetach(ctx, o, out, job.ID, job.Namespace, e.detach, e.verbose)
}

// Init is "job init".
var Init = &base.Command{
	Name: "job init", Synopsis: "Write an example job file", Args: "[FILE]", MaxArgs: 1, Offline: true,
	Long:    "Writes a job file that runs as it is on a dev agent, with comments. The default name is example.steppe.hcl; a file that exists is left alone.",
	Example: "steppe job init && steppe job run example.steppe.hcl",
	New:     func() base.Runner { return &initCmd{} },
}

type initCmd struct{ short bool }

func (i *initCmd) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&i.short, "short", false, "Write it without comments.")
}

func (i *initCmd) Run(_ context.Context, o *base.IO, args []string) error {
	name, text := "example.steppe.hcl", exampleLong
	if len(args) == 1 {
		name = args[0]
	}
	if i.short {
		text = exampleShort
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return model.Errorf(model.CodeConflict, "%s exists: it was left alone", name)
	}
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	o.Say("Wrote %s. Run it with: steppe job run %s", name, name)
	return nil
}

// Allocs is "job allocs".
var Allocs = &base.Command{
	Name: "job allocs", Synopsis: "List a job's allocations", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Example: "steppe job allocs web",
	New:     func() base.Runner { return &allocs{} },
}

type allocs struct {
	base.DataOptions
	all bool
}

func (a *allocs) Flags(fs *flag.FlagSet) {
	a.DataFlags(fs)
	fs.BoolVar(&a.all, "all", false, "Also those of an earlier, purged job with the same id.")
}

func (a *allocs) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	list, _, err := o.Client.Jobs().Allocations(ctx, job.ID, a.all, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	if done, err := o.Data(a.DataOptions, list); done {
		return err
	}
	AllocTable(o, list, a.Verbose)
	return nil
}

// AllocTable prints allocations, newest first.
func AllocTable(o *base.IO, list []*model.AllocListStub, verbose bool) {
	if len(list) == 0 {
		o.Print("No allocations placed")
		return
	}
	var rows [][]string
	for i := len(list) - 1; i >= 0; i-- {
		a := list[i]
		rows = append(rows, []string{
			base.ShortID(a.ID, verbose), base.ShortID(a.NodeID, verbose), a.NodeName, a.TaskGroup, fmt.Sprint(a.JobVersion),
			a.DesiredStatus, a.ClientStatus, base.Ago(a.CreateTime), base.Ago(a.ModifyTime),
		})
	}
	o.Table([]string{"ID", "Node ID", "Node", "Task Group", "Version", "Desired", "Status", "Created", "Modified"}, rows)
}
