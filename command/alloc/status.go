// Package alloc holds the verbs on allocations.
package alloc

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/deployment"
	"github.com/steppe-project/steppe/model"
)

// Status is "alloc status".
var Status = &base.Command{
	Name: "alloc status", Synopsis: "Show an allocation", Args: "ALLOC", MinArgs: 1, MaxArgs: 1,
	Long:    "Shows where an allocation runs, what it was granted and what happened to its tasks. With -verbose it also shows how the best nodes scored when its group was placed. ALLOC is an id or the beginning of one.",
	Example: "steppe alloc status 8f3a\nsteppe alloc status -stats 8f3a",
	New:     func() base.Runner { return &status{} },
}

type status struct {
	base.DataOptions
	stats, short bool
}

func (s *status) Flags(fs *flag.FlagSet) {
	s.DataFlags(fs)
	fs.BoolVar(&s.stats, "stats", false, "Show what the tasks use.")
	fs.BoolVar(&s.short, "short", false, "Show tasks without their events.")
}

func (s *status) Run(ctx context.Context, o *base.IO, args []string) error {
	a, err := o.Alloc(ctx, args[0])
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, a); done {
		return err
	}
	id := func(id string) string { return base.ShortID(id, s.Verbose) }
	fields := []string{
		"ID", a.ID, "Eval ID", id(a.EvalID), "Name", a.Name, "Node ID", id(a.NodeID), "Node Name", a.NodeName,
		"Job ID", a.JobID, "Job Version", fmt.Sprint(a.JobVersion), "Client Status", a.ClientStatus,
		"Client Description", base.Dash(a.ClientDescription), "Desired Status", a.DesiredStatus,
		"Desired Description", base.Dash(a.DesiredDescription), "Created", base.Ago(a.CreateTime), "Modified", base.Ago(a.ModifyTime),
	}
	if a.PreviousAllocation != "" {
		fields = append(fields, "Replaces", id(a.PreviousAllocation))
	}
	if a.NextAllocation != "" {
		fields = append(fields, "Replaced By", id(a.NextAllocation))
	}
	if a.PreemptedByAllocation != "" {
		fields = append(fields, "Preempted By", id(a.PreemptedByAllocation))
	}
	for _, victim := range a.PreemptedAllocations {
		fields = append(fields, "Preempted", id(victim))
	}
	if a.FollowupEvalID != "" {
		fields = append(fields, "Follow-up Eval", id(a.FollowupEvalID))
	}
	if a.DeploymentID != "" {
		fields = append(fields, "Deployment ID", base.ShortID(a.DeploymentID, s.Verbose), "Deployment Health", deployment.Health(a.DeploymentStatus))
	}
	o.Fields(fields...)
	ports(o, a)
	if s.Verbose && a.Metrics != nil && len(a.Metrics.ScoreMetaData) > 0 {
		o.Title("Placement Metrics")
		o.Table(scores(a.Metrics.ScoreMetaData))
	}
	return s.tasks(ctx, o, a)
}

func ports(o *base.IO, a *model.Allocation) {
	if a.AllocatedResources == nil || len(a.AllocatedResources.Shared.Ports) == 0 {
		return
	}
	o.Title("Allocation Addresses")
	var rows [][]string
	for _, p := range a.AllocatedResources.Shared.Ports {
		to := "-"
		if p.To > 0 {
			to = fmt.Sprint(p.To)
		}
		rows = append(rows, []string{p.Label, fmt.Sprintf("%s:%d", p.HostIP, p.Value), to})
	}
	o.Table([]string{"Label", "Address", "To"}, rows)
}

// scores is a table of nodes: each component that any of them has, and what they
// come to.
func scores(list []*model.NodeScoreMeta) (header []string, rows [][]string) {
	components := make(map[string]bool)
	for _, n := range list {
		for name := range n.Scores {
			components[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(components))
	for _, n := range list {
		row := []string{n.NodeID}
		for _, name := range names {
			row = append(row, fmt.Sprintf("%.3g", n.Scores[name]))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.3g", n.NormScore)))
	}
	return append(append([]string{"Node"}, names...), "Final Score"), rows
}

func (s *status) tasks(ctx context.Context, o *base.IO, a *model.Allocation) error {
	var used *api.AllocUsage
	if s.stats {
		var err error
		if used, err = o.Client.Allocations().Stats(ctx, a.ID); err != nil {
			return err
		}
	}
	for _, name := range tasks(a) {
		st := a.TaskStates[name]
		if st == nil {
			st = &model.TaskState{State: model.TaskPending}
		}
		text := ""
		if st.State == model.TaskDead && st.Failed {
			text = " and has failed"
		}
		o.Title(fmt.Sprintf("Task %q is %q%s", name, st.State, text))
		if a.AllocatedResources != nil && a.AllocatedResources.Tasks[name] != nil {
			r := a.AllocatedResources.Tasks[name]
			o.Print("Granted: %d MHz, %d MB%s", r.Cpu.CpuShares, r.Memory.MemoryMB, usage(used, name))
		}
		o.Print("Started: %s   Finished: %s   Restarts: %d", base.Time(st.StartedAt), base.Time(st.FinishedAt), st.Restarts)
		if s.short || len(st.Events) == 0 {
			continue
		}
		var rows [][]string
		for _, e := range slices.Backward(st.Events) {
			rows = append(rows, []string{base.Time(time.Unix(0, e.Time)), e.Type, e.DisplayMessage})
		}
		o.Print("Recent Events:")
		o.Table([]string{"Time", "Type", "Description"}, rows)
	}
	return nil
}

// usage is what a task uses, as the end of a line; "" when it was not asked for
// or the task does not run.
func usage(used *api.AllocUsage, task string) string {
	if used == nil || used.Tasks[task] == nil {
		return ""
	}
	r := used.Tasks[task].ResourceUsage
	if r == nil || r.CpuStats == nil || r.MemoryStats == nil {
		return ""
	}
	return fmt.Sprintf("; uses %.0f MHz, %s", r.CpuStats.TotalTicks, base.Bytes(int64(max(r.MemoryStats.RSS, r.MemoryStats.Usage))))
}
