// Package eval holds the verbs on evaluations.
package eval

import (
	"context"
	"flag"
	"fmt"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// List is "eval list".
var List = &base.Command{
	Name: "eval list", Synopsis: "List evaluations",
	Long:    "An evaluation is the scheduler's task to look at one job. Filters are expressions on the API's fields.",
	Example: "steppe eval list -status blocked\nsteppe eval list -filter 'TriggeredBy == \"node-update\"'",
	New:     func() base.Runner { return &list{} },
}

type list struct {
	base.DataOptions
	job, status, filter, token string
	perPage                    int
}

func (l *list) Flags(fs *flag.FlagSet) {
	l.DataFlags(fs)
	fs.StringVar(&l.job, "job", "", "Only those of this `job`.")
	fs.StringVar(&l.status, "status", "", "Only those with this `status`: blocked, pending, complete, failed, canceled.")
	fs.StringVar(&l.filter, "filter", "", "Only those that an `expression` selects.")
	fs.IntVar(&l.perPage, "per-page", 0, "At most this `number`; the next page's token is said. Default: all.")
	fs.StringVar(&l.token, "page-token", "", "Begin at this `token`, which the page before said.")
}

func (l *list) Run(ctx context.Context, o *base.IO, _ []string) error {
	q := &api.Query{Filter: l.filter, PerPage: l.perPage, NextToken: l.token, Params: map[string]string{}}
	if l.job != "" {
		q.Params["job"] = l.job
	}
	if l.status != "" {
		q.Params["status"] = l.status
	}
	evals, meta, err := o.Client.Evaluations().List(ctx, q)
	if err != nil {
		return err
	}
	done, err := o.Data(l.DataOptions, evals)
	if err != nil {
		return err
	}
	if !done && len(evals) == 0 {
		o.Print("No evaluations")
	} else if !done {
		var rows [][]string
		for _, e := range evals {
			rows = append(rows, []string{
				base.ShortID(e.ID, l.Verbose), fmt.Sprint(e.Priority), e.TriggeredBy, e.JobID, e.Namespace,
				base.Dash(base.ShortID(e.NodeID, l.Verbose)), e.Status, base.YesNo(len(e.FailedTGAllocs) > 0),
			})
		}
		o.Table([]string{"ID", "Priority", "Triggered By", "Job ID", "Namespace", "Node ID", "Status", "Placement Failures"}, rows)
	}
	if meta.NextToken != "" {
		o.Say("\nThere are more: -page-token %s", meta.NextToken)
	}
	return nil
}
