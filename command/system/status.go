package system

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/alloc"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/eval"
	"github.com/steppe-project/steppe/command/job"
	"github.com/steppe-project/steppe/command/node"
	"github.com/steppe-project/steppe/model"
)

// Status is "status": whatever an id belongs to.
var Status = &base.Command{
	Name: "status", Synopsis: "List jobs, or show what an id belongs to", Args: "[ID]", MaxArgs: 1,
	Long:    "Without ID it lists jobs. ID is a job, or an allocation, node or evaluation, or the beginning of one. For more options, see job status, alloc status, node status and eval status.",
	Example: "steppe status\nsteppe status web\nsteppe status 8f3a",
	New:     func() base.Runner { return &status{} },
}

type status struct{ base.DataOptions }

func (s *status) Flags(fs *flag.FlagSet) { s.DataFlags(fs) }

// kinds are what may be shown, with the context of the search that finds it.
var kinds = []struct {
	context string
	show    *base.Command
}{
	{"jobs", job.Status}, {"allocs", alloc.Status}, {"nodes", node.Status}, {"evals", eval.Status},
}

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	if len(args) == 0 {
		return s.as(ctx, o, job.Status, args)
	}
	found, err := o.Client.Cluster().Search(ctx, args[0], "all")
	if err != nil {
		return err
	}
	for _, k := range kinds {
		for _, id := range found[k.context] {
			if id == args[0] {
				return s.as(ctx, o, k.show, args)
			}
		}
	}
	var rows [][]string
	var only *base.Command
	for _, k := range kinds {
		for _, id := range found[k.context] {
			rows = append(rows, []string{k.context, id})
			only = k.show
		}
	}
	switch len(rows) {
	case 0:
		return model.Errorf(model.CodeNotFound, "nothing has an id that begins with %q", args[0])
	case 1:
		return s.as(ctx, o, only, args)
	}
	return base.Ambiguous("id", args[0], rows)
}

// as runs another command with this one's options.
func (s *status) as(ctx context.Context, o *base.IO, c *base.Command, args []string) error {
	r := c.New()
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	r.Flags(fs)
	for name, value := range map[string]string{"json": base.YesNo(s.JSON), "t": s.Template, "verbose": base.YesNo(s.Verbose)} {
		if err := fs.Set(name, value); err != nil {
			return err
		}
	}
	return r.Run(ctx, o, args)
}
