package job

import (
	"context"
	"flag"
	"fmt"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Allocs is "job allocs".
var Allocs = &base.Command{
	Name: "job allocs", Synopsis: "List a job's allocations", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "Newest first. To see one of them, use alloc status.",
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
