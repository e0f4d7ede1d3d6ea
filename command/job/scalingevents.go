package job

import (
	"context"
	"encoding/json"
	"flag"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model/scaling"
)

// ScalingEvents is "job scaling-events".
var ScalingEvents = &base.Command{
	Name: "job scaling-events", Synopsis: "List a job's scaling actions", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long: "Lists the last actions on each group, newest first: those of people (job scale) and of scalers, which also record\n" +
		"why they could not act. With -verbose, the meta data that scalers send too.",
	Example: "steppe job scaling-events web\nsteppe job scaling-events -verbose web",
	New:     func() base.Runner { return &scalingEvents{} },
}

type scalingEvents struct {
	base.DataOptions
}

func (s *scalingEvents) Flags(fs *flag.FlagSet) {
	s.DataFlags(fs)

}

func (s *scalingEvents) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	status, _, err := o.Client.Jobs().ScaleStatus(ctx, job.ID, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	events := make(map[string][]*scaling.Event, len(status.TaskGroups))
	for name, g := range status.TaskGroups {
		events[name] = g.Events
	}
	if done, err := o.Data(s.DataOptions, events); done {
		return err
	}
	head := []string{"Group", "Count", "Previous", "Error", "When", "Evaluation", "Message"}
	if s.Verbose {
		head = append(head, "Meta")
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(events)) {
		for _, e := range events[name] {
			rows = append(rows, s.row(name, e))
		}
	}
	if len(rows) == 0 {
		o.Say("No scaling actions on job %q.", job.ID)
		return nil
	}
	o.Table(head, rows)
	return nil
}

func (s *scalingEvents) row(group string, e *scaling.Event) []string {
	count, eval := "-", "-"
	if e.Count != nil {
		count = strconv.FormatInt(*e.Count, 10)
	}
	if e.EvalID != nil {
		eval = base.ShortID(*e.EvalID, s.Verbose)
	}
	row := []string{
		group, count, strconv.FormatInt(e.PreviousCount, 10), base.YesNo(e.Error), base.Ago(int64(e.Time)), eval, e.Message,
	}
	if s.Verbose {
		row = append(row, metaText(e.Meta))
	}
	return row
}

// metaText is the meta data on one line.
func metaText(meta scaling.RawJSON) string {
	var values map[string]json.RawMessage
	if json.Unmarshal(meta, &values) != nil {
		return ""
	}
	list := make([]string, 0, len(values))
	for _, k := range slices.Sorted(maps.Keys(values)) {
		list = append(list, k+"="+string(values[k]))
	}
	return strings.Join(list, " ")
}
