package job

import (
	"context"
	"flag"
	"strconv"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Revert is "job revert".
var Revert = &base.Command{
	Name: "job revert", Synopsis: "Take a job back to an older version", Args: "JOB VERSION|TAG", MinArgs: 2, MaxArgs: 2,
	Long:    `The older version becomes the job's newest again, as a new version, at once: what is being deployed is over, and there is no canary phase. Instances are replaced as the version's update block says, and followed as by job run, with the same exit codes. A stopped job runs again.`,
	Example: "steppe job revert web 3\nsteppe job revert web golden",
	New:     func() base.Runner { return &revert{} },
}

type revert struct {
	following
	prior string
}

func (r *revert) Flags(fs *flag.FlagSet) {
	r.following.Flags(fs)
	fs.StringVar(&r.prior, "if-version", "", "Only if this `number` is the job's present version.")
}

func (r *revert) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	in := &api.Revert{JobID: job.ID}
	if n, err := strconv.ParseUint(args[1], 10, 64); err == nil {
		in.JobVersion = n
	} else {
		in.VersionTag = args[1]
	}
	if r.prior != "" {
		n, err := strconv.ParseUint(r.prior, 10, 64)
		if err != nil {
			return model.Errorf(model.CodeInvalid, "-if-version %q is not a version: a number, 0 or more", r.prior)
		}
		in.EnforcePriorVersion = &n
	}
	out, err := o.Client.Jobs().Revert(ctx, in, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	return r.end(ctx, o, out, job.ID, job.Namespace)
}

// TagApply is "job tag apply".
var TagApply = &base.Command{
	Name: "job tag apply", Synopsis: "Give a job's version a name", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "A version with a name is kept as long as it has one, and job revert knows it by that name.",
	Example: "steppe job tag apply -name golden web\nsteppe job tag apply -name golden -version 3 -description 'before the move' web",
	New:     func() base.Runner { return &tagApply{} },
}

type tagApply struct {
	name, description string
	version           int64
}

func (t *tagApply) Flags(fs *flag.FlagSet) {
	fs.StringVar(&t.name, "name", "", "The version's `name`.")
	fs.Int64Var(&t.version, "version", -1, "The version, a `number`. Default: the present one.")
	fs.StringVar(&t.description, "description", "", "What is kept with the name, a `text`.")
}

func (t *tagApply) Run(ctx context.Context, o *base.IO, args []string) error {
	if t.name == "" {
		return model.Errorf(model.CodeInvalid, "give the version a name with -name")
	}
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	version := job.Version
	if t.version >= 0 {
		version = uint64(t.version)
	}
	if err := o.Client.Jobs().TagVersion(ctx, job.ID, &version, t.name, t.description, &api.Query{Namespace: job.Namespace}); err != nil {
		return err
	}
	o.Say("Version %d of job %q has the tag %q", version, base.Clean(job.ID), base.Clean(t.name))
	return nil
}

// TagUnset is "job tag unset".
var TagUnset = &base.Command{
	Name: "job tag unset", Synopsis: "Take the name of a job's version away", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "The version is then kept as long as others are.",
	Example: "steppe job tag unset -name golden web",
	New:     func() base.Runner { return &tagUnset{} },
}

type tagUnset struct{ name string }

func (t *tagUnset) Flags(fs *flag.FlagSet) {
	fs.StringVar(&t.name, "name", "", "The `name` to take away.")
}

func (t *tagUnset) Run(ctx context.Context, o *base.IO, args []string) error {
	if t.name == "" {
		return model.Errorf(model.CodeInvalid, "say which with -name")
	}
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	if err := o.Client.Jobs().UntagVersion(ctx, job.ID, t.name, &api.Query{Namespace: job.Namespace}); err != nil {
		return err
	}
	o.Say("No version of job %q has the tag %q any more", base.Clean(job.ID), base.Clean(t.name))
	return nil
}
