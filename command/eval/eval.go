// Package eval holds the verbs on evaluations.
package eval

import (
	"context"
	"flag"
	"fmt"
	"sort"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/job"
)

// List is "eval list".
var List = &base.Command{
	Name: "eval list", Synopsis: "List evaluations", Example: "steppe eval list -status blocked",
	New: func() base.Runner { return &list{} },
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
	fs.StringVar(&l.filter, "filter", "", "A filter `expression` such as 'TriggeredBy == \"node-update\"'.")
	fs.IntVar(&l.perPage, "per-page", 0, "At most this many.")
	fs.StringVar(&l.token, "page-token", "", "Where the page begins, as the page before says.")
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
	if done, err := o.Data(l.DataOptions, evals); done {
		return err
	}
	if len(evals) == 0 {
		o.Print("No evals found")
		return nil
	}
	var rows [][]string
	for _, e := range evals {
		rows = append(rows, []string{
			base.ShortID(e.ID, l.Verbose), fmt.Sprint(e.Priority), e.TriggeredBy, e.JobID, e.Namespace,
			base.Dash(base.ShortID(e.NodeID, l.Verbose)), e.Status, base.YesNo(len(e.FailedTGAllocs) > 0),
		})
	}
	o.Table([]string{"ID", "Priority", "Triggered By", "Job ID", "Namespace", "Node ID", "Status", "Placement Failures"}, rows)
	if meta.NextToken != "" {
		o.Say("\nMore: -page-token %s", meta.NextToken)
	}
	return nil
}

// Status is "eval status".
var Status = &base.Command{
	Name: "eval status", Synopsis: "Show an evaluation", Args: "EVAL", MinArgs: 1, MaxArgs: 1,
	Example: "steppe eval status 1c2d",
	New:     func() base.Runner { return &status{} },
}

type status struct{ base.DataOptions }

func (s *status) Flags(fs *flag.FlagSet) { s.DataFlags(fs) }

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	e, err := o.Eval(ctx, args[0])
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, e); done {
		return err
	}
	fields := []string{
		"ID", e.ID, "Create Time", base.Ago(e.CreateTime), "Modify Time", base.Ago(e.ModifyTime), "Status", e.Status,
		"Status Description", base.Dash(e.StatusDescription), "Type", e.Type, "Triggered By", e.TriggeredBy, "Job ID", e.JobID,
		"Namespace", e.Namespace, "Priority", fmt.Sprint(e.Priority), "Placement Failures", base.YesNo(len(e.FailedTGAllocs) > 0),
		"Previous Eval", base.Dash(base.ShortID(e.PreviousEval, s.Verbose)), "Next Eval", base.Dash(base.ShortID(e.NextEval, s.Verbose)),
		"Blocked Eval", base.Dash(base.ShortID(e.BlockedEval, s.Verbose)),
	}
	if !e.WaitUntil.IsZero() && e.WaitUntil.After(time.Now()) {
		fields = append(fields, "Wait Until", base.Time(e.WaitUntil))
	}
	o.Fields(fields...)
	groups := make([]string, 0, len(e.FailedTGAllocs))
	for g := range e.FailedTGAllocs {
		groups = append(groups, g)
	}
	sort.Strings(groups)
	for _, g := range groups {
		m := e.FailedTGAllocs[g]
		o.Title(fmt.Sprintf("Task Group %q: %d not placed", g, 1+m.CoalescedFailures))
		for _, r := range job.Reasons(m) {
			o.Print("  * %s", r)
		}
		for _, r := range m.Remedies {
			o.Print("  - what would help: %s", r)
		}
	}
	allocs, _, err := o.Client.Evaluations().Allocations(ctx, e.ID, nil)
	if err != nil {
		return err
	}
	o.Title("Placed Allocations")
	job.AllocTable(o, allocs, s.Verbose)
	return nil
}
