package job

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/jobdiff"
)

// Exit codes of job plan, as scripts know them.
const (
	planChanges = 1
	planError   = 255
)

// mostNodes bounds the nodes whose placements are listed without -verbose.
const mostNodes = 20

// Plan is "job plan".
var Plan = &base.Command{
	Name: "job plan", Synopsis: "Show what running a job file would do", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long: `Reads a job file (- is standard input) and shows in what it differs from the job as it runs, what the scheduler would stop and place and where, and what could not be placed and why. It is decided by the code that would do it, on the state as it is; nothing is changed. The job modify index that it prints lets job run do only what was shown: it refuses if the job has changed meanwhile.

Exit codes: 0 no instance is to be stopped or placed, 1 some are (also when not all of them could be), 255 an error.`,
	Example: "steppe job plan web.hcl\nsteppe job plan -var image=v2 -diff=false web.hcl",
	Fault:   planError,
	New:     func() base.Runner { return &plan{} },
}

type plan struct {
	file    fileOptions
	diff    bool
	verbose bool
}

func (p *plan) Flags(fs *flag.FlagSet) {
	p.file.register(fs)
	fs.BoolVar(&p.diff, "diff", true, "Show what changes in the job.")
	fs.BoolVar(&p.verbose, "verbose", false, "Show all placements, and of a changed block also what stays.")
}

func (p *plan) Run(ctx context.Context, o *base.IO, args []string) error {
	l, err := p.file.load(o.In, args[0])
	if err != nil {
		return err
	}
	if err := l.check(o); err != nil {
		return &base.Exit{Code: planError, Text: err.Error()}
	}
	if l.region != "" {
		o.Client = o.Client.WithRegion(l.region)
	}
	out, err := o.Client.Jobs().Plan(ctx, l.job, p.diff, nil)
	if err != nil {
		return err
	}
	if w := strings.TrimSpace(out.Warnings); w != "" {
		o.Say("%s %s", o.Paint(base.Yellow, "Warning:"), base.Clean(w))
	}
	if p.diff && out.Diff != nil {
		d := &diffText{o: o, verbose: p.verbose}
		d.job(out.Diff)
		o.Print("%s", d.String())
	}
	p.dryRun(o, out)
	p.placements(o, out)
	o.Print("\nJob Modify Index: %d\nTo run just what is shown here:\n\n    steppe job run -check-index %d %s", out.JobModifyIndex, out.JobModifyIndex, args[0])
	if changes(out) {
		return &base.Exit{Code: planChanges}
	}
	return nil
}

// changes tells whether instances are to be stopped or placed, also when not all of
// them could be.
func changes(out *api.JobPlan) bool {
	if len(out.Placements)+len(out.Stops)+len(out.FailedTGAllocs) > 0 {
		return true
	}
	if out.Annotations != nil {
		for _, u := range out.Annotations.DesiredTGUpdates {
			if u.Place+u.Stop+u.Migrate+u.DestructiveUpdate+u.Canary > 0 {
				return true
			}
		}
	}
	return false
}

// rest says what becomes of instances that are not replaced at once.
func rest(out *api.JobPlan) string {
	rolls := false
	for _, e := range out.CreatedEvals {
		rolls = rolls || e.TriggeredBy == model.TriggerRollingUpdate
		if e.DeploymentID == "" || out.Annotations == nil {
			continue
		}
		for _, u := range out.Annotations.DesiredTGUpdates {
			if u.Canary > 0 {
				return "The rest waits until the canaries are promoted."
			}
			rolls = rolls || u.DestructiveUpdate > 0 && u.Ignore > 0
		}
	}
	if rolls {
		return "The rest is replaced a few at a time, as the update block says."
	}
	return ""
}

// dryRun says whether everything could be placed, and why not.
func (p *plan) dryRun(o *base.IO, out *api.JobPlan) {
	o.Print("%s", "Scheduler dry-run:")
	if len(out.FailedTGAllocs) == 0 {
		o.Print("%s", o.Paint(base.Green, "- Everything can be placed."))
	}
	for _, g := range base.Keys(out.FailedTGAllocs) {
		m := out.FailedTGAllocs[g]
		o.Print("%s", o.Paint(base.Yellow, fmt.Sprintf("- Group %q: %d could not be placed.", base.Clean(g), 1+m.CoalescedFailures)))
		for _, l := range Explain(m) {
			o.Print("    %s", base.Clean(l))
		}
	}
	if text := rest(out); text != "" {
		o.Print("- %s", text)
	}
	if !out.NextPeriodicLaunch.IsZero() {
		o.Print("- It is launched next %s.", out.NextPeriodicLaunch.Local().Format(time.RFC1123))
	}
}

// placements lists by node what would be stopped and placed.
func (p *plan) placements(o *base.IO, out *api.JobPlan) {
	byNode := map[string][]string{}
	for _, s := range out.Stops {
		byNode[nodeText(s.NodeName, s.NodeID)] = append(byNode[nodeText(s.NodeName, s.NodeID)], o.Paint(base.Red, "-"+s.Name))
	}
	for _, a := range out.Placements {
		byNode[nodeText(a.NodeName, a.NodeID)] = append(byNode[nodeText(a.NodeName, a.NodeID)], o.Paint(base.Green, "+"+a.Name))
	}
	if len(byNode) == 0 {
		return
	}
	o.Print("\nBy node:")
	for i, node := range base.Keys(byNode) {
		if i == mostNodes && !p.verbose {
			o.Print("  and %d more nodes; -verbose lists them", len(byNode)-mostNodes)
			return
		}
		o.Print("  %s: %s", base.Clean(node), strings.Join(byNode[node], " "))
	}
}

func nodeText(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

// diffText writes a difference as people read it.
type diffText struct {
	strings.Builder
	o       *base.IO
	verbose bool
}

// mark is the sign of a kind of difference.
func (d *diffText) mark(kind string) string {
	switch kind {
	case jobdiff.Added:
		return d.o.Paint(base.Green, "+")
	case jobdiff.Deleted:
		return d.o.Paint(base.Red, "-")
	case jobdiff.Edited:
		return d.o.Paint(base.Yellow, "+/-")
	}
	return " "
}

func (d *diffText) line(depth int, kind, format string, args ...any) {
	fmt.Fprintf(d, "%s%s %s\n", strings.Repeat("  ", depth), d.mark(kind), base.Clean(fmt.Sprintf(format, args...)))
}

func (d *diffText) job(j *jobdiff.Job) {
	d.line(0, j.Type, "Job: %q", j.ID)
	d.inner(1, j.Type, j.Fields, j.Objects)
	for _, g := range j.TaskGroups {
		d.line(0, g.Type, "Task Group: %q%s", g.Name, updates(g.Updates))
		d.inner(1, g.Type, g.Fields, g.Objects)
		for _, t := range g.Tasks {
			if t.Type != jobdiff.None || d.verbose {
				d.line(1, t.Type, "Task: %q%s", t.Name, notes(t.Annotations))
				d.inner(2, t.Type, t.Fields, t.Objects)
			}
		}
	}
}

// inner is the body of a job, group or task. Of what is added or removed as a whole
// its name is enough, unless -verbose asks for more.
func (d *diffText) inner(depth int, kind string, fields []*jobdiff.Field, objects []*jobdiff.Object) {
	if kind == jobdiff.Edited || d.verbose {
		d.body(depth, fields, objects)
	}
}

// body writes fields, then blocks.
func (d *diffText) body(depth int, fields []*jobdiff.Field, objects []*jobdiff.Object) {
	for _, f := range fields {
		switch {
		case f.Type == jobdiff.None && !d.verbose:
		case f.Type == jobdiff.Edited:
			d.line(depth, f.Type, "%s: %q => %q%s", f.Name, f.Old, f.New, notes(f.Annotations))
		case f.Type == jobdiff.Deleted:
			d.line(depth, f.Type, "%s: %q%s", f.Name, f.Old, notes(f.Annotations))
		default:
			d.line(depth, f.Type, "%s: %q%s", f.Name, f.New, notes(f.Annotations))
		}
	}
	for _, o := range objects {
		if o.Type != jobdiff.None || d.verbose {
			d.line(depth, o.Type, "%s {", o.Name)
			d.body(depth+1, o.Fields, o.Objects)
			d.WriteString(strings.Repeat("  ", depth) + "  }\n")
		}
	}
}

func notes(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// updates says what is done to a group's instances.
func updates(counts map[string]uint64) string {
	var list []string
	for _, what := range base.Keys(counts) {
		list = append(list, fmt.Sprintf("%d %s", counts[what], what))
	}
	slices.Sort(list)
	return notes(list)
}
