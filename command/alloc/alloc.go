// Package alloc holds the verbs on allocations.
package alloc

import (
	"context"
	"flag"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Status is "alloc status".
var Status = &base.Command{
	Name: "alloc status", Synopsis: "Show an allocation", Args: "ALLOC", MinArgs: 1, MaxArgs: 1,
	Long:    "Shows where an allocation runs, what it was granted and what happened to its tasks. ALLOC is an id or the beginning of one.",
	Example: "steppe alloc status -stats 8f3a",
	New:     func() base.Runner { return &status{} },
}

type status struct {
	base.DataOptions
	stats, short bool
}

func (s *status) Flags(fs *flag.FlagSet) {
	s.DataFlags(fs)
	fs.BoolVar(&s.stats, "stats", false, "Show the tasks' resource usage.")
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
	fields := []string{
		"ID", a.ID, "Eval ID", base.ShortID(a.EvalID, s.Verbose), "Name", a.Name, "Node ID", base.ShortID(a.NodeID, s.Verbose),
		"Node Name", a.NodeName, "Job ID", a.JobID, "Job Version", fmt.Sprint(a.JobVersion), "Client Status", a.ClientStatus,
		"Client Description", base.Dash(a.ClientDescription), "Desired Status", a.DesiredStatus,
		"Desired Description", base.Dash(a.DesiredDescription), "Created", base.Ago(a.CreateTime), "Modified", base.Ago(a.ModifyTime),
	}
	if a.PreviousAllocation != "" {
		fields = append(fields, "Replaces", base.ShortID(a.PreviousAllocation, s.Verbose))
	}
	if a.NextAllocation != "" {
		fields = append(fields, "Replacement", base.ShortID(a.NextAllocation, s.Verbose))
	}
	o.Fields(fields...)
	s.ports(o, a)
	return s.tasks(ctx, o, a)
}

func (s *status) ports(o *base.IO, a *model.Allocation) {
	if a.AllocatedResources == nil || len(a.AllocatedResources.Shared.Ports) == 0 {
		return
	}
	o.Title("Allocation Addresses")
	var rows [][]string
	for _, p := range a.AllocatedResources.Shared.Ports {
		to := ""
		if p.To > 0 {
			to = fmt.Sprint(p.To)
		}
		rows = append(rows, []string{p.Label, fmt.Sprintf("%s:%d", p.HostIP, p.Value), base.Dash(to)})
	}
	o.Table([]string{"Label", "Address", "To"}, rows)
}

func (s *status) tasks(ctx context.Context, o *base.IO, a *model.Allocation) error {
	var names []string
	for n := range a.TaskStates {
		names = append(names, n)
	}
	sort.Strings(names)
	usage := map[string]string{}
	if s.stats {
		u, err := o.Client.Allocations().Stats(ctx, a.ID)
		if err != nil {
			return err
		}
		for n, t := range u.Tasks {
			if r := t.ResourceUsage; r != nil && r.CpuStats != nil && r.MemoryStats != nil {
				usage[n] = fmt.Sprintf(" (uses %.0f MHz, %d MB)", r.CpuStats.TotalTicks, max(r.MemoryStats.RSS, r.MemoryStats.Usage)>>20)
			}
		}
	}
	for _, n := range names {
		st := a.TaskStates[n]
		o.Title(fmt.Sprintf("Task %q is %q%s", n, st.State, failedText(st)))
		if a.AllocatedResources != nil && a.AllocatedResources.Tasks[n] != nil {
			r := a.AllocatedResources.Tasks[n]
			o.Print("Granted: %d MHz, %d MB%s", r.Cpu.CpuShares, r.Memory.MemoryMB, usage[n])
		}
		o.Print("Started: %s   Finished: %s   Restarts: %d", base.Time(st.StartedAt), base.Time(st.FinishedAt), st.Restarts)
		if s.short {
			continue
		}
		var rows [][]string
		for i := len(st.Events) - 1; i >= 0; i-- {
			e := st.Events[i]
			rows = append(rows, []string{base.Time(time.Unix(0, e.Time)), e.Type, e.DisplayMessage})
		}
		o.Table([]string{"Time", "Type", "Description"}, rows)
	}
	return nil
}

func failedText(st *model.TaskState) string {
	if st.State == model.TaskDead && st.Failed {
		return " and has failed"
	}
	return ""
}

// Stop is "alloc stop".
var Stop = &base.Command{
	Name: "alloc stop", Synopsis: "Stop an allocation; another is placed", Args: "ALLOC", MinArgs: 1, MaxArgs: 1,
	Example: "steppe alloc stop 8f3a",
	New:     func() base.Runner { return &stop{} },
}

type stop struct{ detach, noShutdownDelay bool }

func (s *stop) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&s.detach, "detach", false, "Return at once with the evaluation's id.")
	fs.BoolVar(&s.noShutdownDelay, "no-shutdown-delay", false, "Skip the shutdown_delay of groups and tasks.")
}

func (s *stop) Run(ctx context.Context, o *base.IO, args []string) error {
	a, err := o.Alloc(ctx, args[0])
	if err != nil {
		return err
	}
	id, err := o.Client.Allocations().Stop(ctx, a.ID, s.noShutdownDelay)
	if err != nil {
		return err
	}
	o.Print("Evaluation ID: %s", id)
	if s.detach {
		return nil
	}
	return waitEnded(ctx, o, a.ID)
}

// Restart is "alloc restart".
var Restart = &base.Command{
	Name: "alloc restart", Synopsis: "Restart the tasks of an allocation in place", Args: "ALLOC [TASK]", MinArgs: 1, MaxArgs: 2,
	Example: "steppe alloc restart 8f3a web",
	New:     func() base.Runner { return &restart{} },
}

type restart struct {
	all  bool
	task string
}

func (r *restart) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&r.all, "all-tasks", false, "Also tasks that have ended.")
	fs.StringVar(&r.task, "task", "", "The `task`, as the second argument.")
}

func (r *restart) Run(ctx context.Context, o *base.IO, args []string) error {
	a, err := o.Alloc(ctx, args[0])
	if err != nil {
		return err
	}
	if len(args) == 2 {
		r.task = args[1]
	}
	if r.task != "" {
		if _, err := taskOf(a, r.task); err != nil {
			return err
		}
	}
	return o.Client.Allocations().Restart(ctx, a.ID, r.task, r.all)
}

// Signal is "alloc signal".
var Signal = &base.Command{
	Name: "alloc signal", Synopsis: "Signal the tasks of an allocation", Args: "ALLOC [TASK]", MinArgs: 1, MaxArgs: 2,
	Example: "steppe alloc signal -s SIGHUP 8f3a web",
	New:     func() base.Runner { return &signalCmd{} },
}

type signalCmd struct{ signal, task string }

func (s *signalCmd) Flags(fs *flag.FlagSet) {
	fs.StringVar(&s.signal, "s", "SIGKILL", "The `signal`'s name.")
	fs.StringVar(&s.task, "task", "", "The `task`, as the second argument.")
}

func (s *signalCmd) Run(ctx context.Context, o *base.IO, args []string) error {
	a, err := o.Alloc(ctx, args[0])
	if err != nil {
		return err
	}
	if len(args) == 2 {
		s.task = args[1]
	}
	if s.task != "" {
		if _, err := taskOf(a, s.task); err != nil {
			return err
		}
	}
	return o.Client.Allocations().Signal(ctx, a.ID, s.task, s.signal)
}

// taskOf names the task, or the only one.
func taskOf(a *model.Allocation, task string) (string, error) {
	var names []string
	if a.Job != nil {
		for _, g := range a.Job.TaskGroups {
			if g.Name == a.TaskGroup {
				for _, t := range g.Tasks {
					names = append(names, t.Name)
				}
			}
		}
	}
	if task == "" && len(names) == 1 {
		return names[0], nil
	}
	for _, n := range names {
		if n == task {
			return n, nil
		}
	}
	if task == "" {
		return "", model.Errorf(model.CodeInvalid, "allocation %s has several tasks, name one: %s", base.ShortID(a.ID, false), strings.Join(names, ", "))
	}
	hint := ""
	if c := base.Closest(task, names); c != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", c)
	}
	return "", model.Errorf(model.CodeNotFound, "allocation %s has no task %q%s; it has: %s", base.ShortID(a.ID, false), task, hint, strings.Join(names, ", "))
}
