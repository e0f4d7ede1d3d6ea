package job

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

const (
	// mostFailed bounds the failed instances that are told in full.
	mostFailed = 3
	// lastEvents and lastLines are what is shown of a failed task's events and of
	// its standard error.
	lastEvents = 4
	lastLines  = 5
	// tailBytes are read to find these lines, tailTime bounds how long that takes.
	tailBytes = 4 << 10
	tailTime  = 2 * time.Second
)

// conclude says how it ended, and why, and what to do.
func (f *follower) conclude(ctx context.Context, v *view, p *progress) error {
	id := base.Clean(f.jobID)
	switch p.outcome {
	case reached:
		f.display.final(base.Green, "%s", success(v.job, p))
		return nil
	case gone:
		what := "is stopped"
		if v.job == nil {
			what = "is stopped and forgotten"
		}
		f.display.final(base.Green, "Job %q %s", id, what)
		return nil
	case refused:
		f.display.final(base.Red, "The evaluation failed: %s", base.Clean(v.eval.StatusDescription))
		return &base.Exit{Code: base.ExitError}
	case undone:
		f.display.final(base.Red, "Job %q, deployment of version %d: %s", id, p.deployment.JobVersion, base.Clean(p.deployment.StatusDescription))
		if p.count[failed]+p.count[late] > 0 {
			f.failing(ctx, p)
		}
		f.unplaced(p)
		return &base.Exit{Code: base.ExitError}
	case ripe:
		f.display.final(base.Green, "Job %q, version %d: its canaries are healthy. Promote them with steppe job promote %s, or end this with steppe deployment fail %s",
			id, p.deployment.JobVersion, id, base.ShortID(p.deployment.ID, f.display.verbose))
		return nil
	case superseded:
		f.display.final(base.Yellow, "Version %d of job %q was registered meanwhile. See: steppe job status %s", v.job.Version, id, id)
		return &base.Exit{Code: base.ExitError}
	case unplaced:
		f.display.final(base.Red, "Job %q: not everything could be placed; %s", id, p.summary())
		f.unplaced(p)
		return &base.Exit{Code: base.ExitPlacement}
	case failing:
		f.display.final(base.Red, "Job %q: tasks failed; %s", id, p.summary())
		f.failing(ctx, p)
		f.unplaced(p)
		return &base.Exit{Code: base.ExitError}
	}
	f.display.final(base.Red, "Job %q stands still: %s of %d wanted. See: steppe job status %s", id, p.summary(), p.desired, id)
	return &base.Exit{Code: base.ExitError}
}

func success(job *model.Job, p *progress) string {
	id, n := base.Clean(job.ID), p.count
	version := ""
	if job.Version > 0 {
		version = fmt.Sprintf(", version %d", job.Version)
	}
	switch {
	case p.desired == 0 && perNode(job):
		return fmt.Sprintf("Job %q%s runs on no node yet: it starts on every one that comes and suits it", id, version)
	case p.desired == 0:
		return fmt.Sprintf("Job %q%s has no instances: its groups have count 0", id, version)
	case batch(job):
		return fmt.Sprintf("Job %q%s has completed: %d of %d", id, version, n[done], p.desired)
	case n[old] > 0:
		return fmt.Sprintf("Job %q runs: %d of %d%s; %d of an older one on nodes that take no new work", id, n[running], p.desired, version, n[old])
	}
	return fmt.Sprintf("Job %q runs: %d of %d%s", id, n[running], p.desired, version)
}

// unplaced says why not everything could be placed, and what would help.
func (f *follower) unplaced(p *progress) {
	for _, g := range base.Keys(p.missing) {
		m := p.missing[g]
		what := "could not be placed"
		if len(m.Waits) > 0 {
			what = "not begun yet"
		}
		f.o.Say("\nGroup %q: %d %s.", base.Clean(g), 1+m.CoalescedFailures, what)
		for _, l := range Explain(m) {
			f.o.Say("  %s", base.Clean(l))
		}
	}
	if p.blocked != "" {
		f.o.Say("\nEvaluation %s waits, and places them as soon as that is possible.", base.ShortID(p.blocked, f.display.verbose))
	}
}

// Explain are the lines that tell why a placement failed and what would help.
func Explain(m *model.AllocationMetric) []string {
	var out []string
	if m.Gang != "" {
		out = append(out, "* All or none: "+m.Gang+".")
	}
	for _, r := range reasons(m) {
		out = append(out, "* "+r)
	}
	if len(m.Remedies) > 0 {
		out = append(out, "What would help:")
	}
	for _, r := range m.Remedies {
		out = append(out, "- "+r)
	}
	return out
}

func reasons(m *model.AllocationMetric) []string {
	var out []string
	for _, w := range m.Waits {
		out = append(out, "It "+w+".")
	}
	if len(out) > 0 && m.NodesEvaluated == 0 && len(m.Remedies) == 0 {
		return out // no node was looked at
	}
	if m.NodesEvaluated == 0 && m.NodesInPool == 0 {
		out = append(out, fmt.Sprintf("No node is in pool %q.", base.Dash(m.NodePool)))
	}
	for _, dc := range base.Keys(m.NodesAvailable) {
		if m.NodesAvailable[dc] == 0 {
			out = append(out, fmt.Sprintf("No node is available in datacenter %q.", dc))
		}
	}
	if m.NodesEvaluated == 0 && len(out) == len(m.Waits) && len(m.ConstraintFiltered) == 0 {
		out = append(out, "No node was eligible.")
	}
	for _, c := range base.Keys(m.ClassFiltered) {
		out = append(out, fmt.Sprintf("Class %q: excluded %s.", c, nodes(m.ClassFiltered[c])))
	}
	for _, c := range base.Keys(m.ConstraintFiltered) {
		out = append(out, fmt.Sprintf("Constraint %q: excluded %s.", c, nodes(m.ConstraintFiltered[c])))
	}
	for _, c := range base.Keys(m.ClassExhausted) {
		out = append(out, fmt.Sprintf("Class %q: exhausted on %s.", c, nodes(m.ClassExhausted[c])))
	}
	for _, d := range base.Keys(m.DimensionExhausted) {
		out = append(out, fmt.Sprintf("Resource %q: exhausted on %s.", d, nodes(m.DimensionExhausted[d])))
	}
	for _, q := range m.QuotaExhausted {
		out = append(out, fmt.Sprintf("Quota %q is reached.", q))
	}
	return out
}

func nodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// failing says how instances failed and where to look.
func (f *follower) failing(ctx context.Context, p *progress) {
	shown, where := 0, ""
	for _, i := range p.instances {
		if i.kind != failed && i.kind != late {
			continue
		}
		if shown++; shown > mostFailed {
			continue
		}
		if where == "" {
			where = base.ShortID(i.ID, false)
		}
		f.o.Say("\n%s on node %s, allocation %s:", base.Clean(i.Name), base.Clean(i.NodeName), base.ShortID(i.ID, f.display.verbose))
		for _, t := range base.Keys(i.TaskStates) {
			f.task(ctx, i, t, shown == 1)
		}
		if i.next > 0 {
			f.o.Say("  Another one is started %s after the failure.", base.Age(i.next.Round(time.Second)))
		}
	}
	if shown > mostFailed {
		f.o.Say("\n... and %d more.", shown-mostFailed)
	}
	f.o.Say("\nLook at: steppe alloc status %s; steppe logs %s; steppe logs -stderr %s", where, where, where)
}

// task tells the last events of a task, and what it said at the end.
func (f *follower) task(ctx context.Context, i instance, name string, withLog bool) {
	st := i.TaskStates[name]
	for _, e := range st.Events[max(0, len(st.Events)-lastEvents):] {
		f.o.Say("  task %q  %s: %s", base.Clean(name), e.Type, base.Clean(e.DisplayMessage))
	}
	if !withLog || st.StartedAt.IsZero() || !st.Failed && st.Restarts == 0 {
		return
	}
	lines := f.lastWords(ctx, i.ID, name)
	if len(lines) > 0 {
		f.o.Say("  the end of its standard error:")
	}
	for _, l := range lines {
		f.o.Say("    | %s", base.Clean(l))
	}
}

// lastWords are the last lines of a task's standard error; none when they cannot
// be had, since the failure itself is told already.
func (f *follower) lastWords(ctx context.Context, alloc, task string) []string {
	ctx, cancel := context.WithTimeout(ctx, tailTime)
	defer cancel()
	r, err := f.o.Client.Allocations().Logs(ctx, alloc, api.Logs{Task: task, Stderr: true, FromEnd: true, Offset: tailBytes})
	if err != nil {
		return nil
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, tailBytes))
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-lastLines):]
}
