package eval

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/job"
)

// Status is "eval status".
var Status = &base.Command{
	Name: "eval status", Synopsis: "Show an evaluation", Args: "EVAL", MinArgs: 1, MaxArgs: 1,
	Long:    "Shows what an evaluation placed, and why it could not place the rest. EVAL is an id or the beginning of one.",
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
	id := func(id string) string { return base.Dash(base.ShortID(id, s.Verbose)) }
	fields := []string{
		"ID", e.ID, "Create Time", base.Ago(e.CreateTime), "Modify Time", base.Ago(e.ModifyTime), "Status", e.Status,
		"Status Description", base.Dash(e.StatusDescription), "Type", e.Type, "Triggered By", e.TriggeredBy, "Job ID", e.JobID,
		"Namespace", e.Namespace, "Priority", fmt.Sprint(e.Priority), "Placement Failures", base.YesNo(len(e.FailedTGAllocs) > 0),
		"Previous Eval", id(e.PreviousEval), "Next Eval", id(e.NextEval), "Blocked Eval", id(e.BlockedEval),
	}
	if e.WaitUntil.After(time.Now()) {
		fields = append(fields, "Wait Until", base.Time(e.WaitUntil))
	}
	o.Fields(fields...)
	for _, g := range base.Keys(e.FailedTGAllocs) {
		m := e.FailedTGAllocs[g]
		o.Title(fmt.Sprintf("Task Group %q: %d not placed", g, 1+m.CoalescedFailures))
		for _, l := range job.Explain(m) {
			o.Print("  %s", base.Clean(l))
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
