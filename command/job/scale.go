package job

import (
	"context"
	"flag"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Scale is "job scale".
var Scale = &base.Command{
	Name: "job scale", Synopsis: "Set a group's count", Args: "JOB [GROUP] COUNT", MinArgs: 2, MaxArgs: 3,
	Long:    "Sets how many instances of a group run, and follows until they do. GROUP may be left out when the job has one group only.",
	Example: "steppe job scale web 5\nsteppe job scale web servers 5",
	New:     func() base.Runner { return &scale{} },
}

type scale struct {
	following
	message string
}

func (s *scale) Flags(fs *flag.FlagSet) {
	s.following.Flags(fs)
	fs.StringVar(&s.message, "message", "", "Why, a `text` for the record; job scaling-events shows it.")
}

func (s *scale) Run(ctx context.Context, o *base.IO, args []string) error {
	count, err := strconv.Atoi(args[len(args)-1])
	if err != nil || count < 0 {
		return model.Errorf(model.CodeInvalid, "%q is not a count: a number, 0 or more", args[len(args)-1])
	}
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	group := ""
	if len(args) == 3 {
		group = args[1]
	}
	if group, err = groupOf(job, group); err != nil {
		return err
	}
	out, err := o.Client.Jobs().Scale(ctx, job.ID, group, count, s.message, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	return s.end(ctx, o, out, job.ID, job.Namespace)
}

// groupOf names the group, or the only one.
func groupOf(job *model.Job, name string) (string, error) {
	var names []string
	for _, g := range job.TaskGroups {
		if g.Name == name {
			return name, nil
		}
		names = append(names, g.Name)
	}
	switch {
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "":
		return "", model.Errorf(model.CodeInvalid, "job %q has several groups, name one: %s", job.ID, strings.Join(names, ", "))
	}
	hint := ""
	if c := base.Closest(name, names); c != "" {
		hint = " (did you mean " + strconv.Quote(c) + "?)"
	}
	return "", model.Errorf(model.CodeNotFound, "job %q has no group %q%s; it has: %s", job.ID, name, hint, strings.Join(names, ", "))
}
