package job

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// followWait is one blocking query's wait: long, since changes wake it.
const followWait = 30 * time.Second

// quietAfter is when a follower says again what it waits for.
const quietAfter = 15 * time.Second

// follower follows an evaluation and what it leads to, until the job's tasks run
// or cannot.
type follower struct {
	o         *base.IO
	evalID    string
	jobID     string
	namespace string
	verbose   bool

	seen    map[string]string // allocation → last line said of it
	drawn   int               // lines of the live table on the screen
	started time.Time
}

func (f *follower) query() *api.Query { return &api.Query{Namespace: f.namespace} }

func (f *follower) run(ctx context.Context) error {
	f.seen, f.started = map[string]string{}, time.Now()
	f.o.Say("%s Evaluation %s of job %q", f.stamp(), base.ShortID(f.evalID, f.verbose), f.jobID)
	eval, err := f.evaluation(ctx)
	if err != nil {
		return f.interrupted(err)
	}
	job, _, err := f.o.Client.Jobs().Get(ctx, f.jobID, f.query())
	if model.CodeOf(err) == model.CodeNotFound {
		f.o.Say("%s Job %q is purged", f.stamp(), f.jobID)
		return nil
	}
	if err != nil {
		return f.interrupted(err)
	}
	return f.interrupted(f.allocations(ctx, job, eval))
}

func (f *follower) stamp() string {
	return fmt.Sprintf("%6.2fs", time.Since(f.started).Seconds())
}

func (f *follower) interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		f.o.Say("Following has ended; the job goes on. See: steppe job status %s", f.jobID)
	}
	return err
}

// evaluation waits until the scheduler has decided; retries and roll-overs of the
// same job are followed.
func (f *follower) evaluation(ctx context.Context) (*model.Evaluation, error) {
	var index uint64
	for {
		eval, meta, err := f.o.Client.Evaluations().Get(ctx, f.evalID, &api.Query{Index: index, Wait: followWait, Namespace: f.namespace})
		if err != nil {
			return nil, err
		}
		switch eval.Status {
		case model.EvalComplete:
			return eval, nil
		case model.EvalFailed:
			return nil, &base.Exit{Code: base.ExitError, Text: "The evaluation failed: " + eval.StatusDescription}
		case model.EvalCancelled:
			if eval.NextEval == "" {
				return eval, nil
			}
			f.evalID, index = eval.NextEval, 0
			continue
		}
		if index == meta.Index {
			f.o.Say("%s Still %s: %s", f.stamp(), eval.Status, base.Dash(eval.StatusDescription))
		}
		index = meta.Index
	}
}

// goal is how far a job has come.
type goal struct {
	desired, running, done, failed, starting int
	lines                                    []string
	lastFailed                               *model.AllocListStub
}

func (f *follower) allocations(ctx context.Context, job *model.Job, eval *model.Evaluation) error {
	var index uint64
	quiet := time.Now()
	for {
		allocs, meta, err := f.o.Client.Jobs().Allocations(ctx, f.jobID, false, &api.Query{Index: index, Wait: f.wait(eval), Namespace: f.namespace})
		if err != nil {
			return err
		}
		g := f.measure(job, allocs)
		if f.draw(g) {
			quiet = time.Now()
		}
		unplaced := len(eval.FailedTGAllocs) > 0
		switch {
		case job.Stop && g.running+g.starting == 0:
			f.o.Say("%s Job %q is stopped", f.stamp(), f.jobID)
			return nil
		case job.Stop:
		case unplaced && g.starting == 0:
			return f.unplaced(ctx, job, eval)
		case g.starting == 0 && g.failed > 0 && g.running+g.done < g.desired:
			return f.failed(ctx, g)
		case g.starting == 0 && g.running+g.done >= g.desired:
			f.o.Say("%s %s", f.stamp(), f.success(job, g))
			return nil
		case time.Since(quiet) > quietAfter:
			quiet = time.Now()
			f.o.Say("%s Waiting: %d of %d run, %d start. See: steppe job status %s", f.stamp(), g.running, g.desired, g.starting, f.jobID)
		}
		index = meta.Index
		if eval, err = f.refresh(ctx, eval); err != nil {
			return err
		}
	}
}

func (f *follower) wait(*model.Evaluation) time.Duration { return quietAfter }

// refresh follows rolling updates: the newest evaluation tells what is not placed.
func (f *follower) refresh(ctx context.Context, eval *model.Evaluation) (*model.Evaluation, error) {
	if eval.NextEval == "" {
		return eval, nil
	}
	next, _, err := f.o.Client.Evaluations().Get(ctx, eval.NextEval, f.query())
	if err != nil || !next.Terminal() {
		return eval, ignoreNotFound(err)
	}
	return next, nil
}

func ignoreNotFound(err error) error {
	if model.CodeOf(err) == model.CodeNotFound {
		return nil
	}
	return err
}

func (f *follower) success(job *model.Job, g goal) string {
	if g.done > 0 && g.running == 0 {
		return fmt.Sprintf("Job %q is complete: %d of %d ended well", f.jobID, g.done, g.desired)
	}
	text := fmt.Sprintf("Job %q runs: %d of %d", f.jobID, g.running+g.done, g.desired)
	if job.Version > 0 {
		text += fmt.Sprintf(", version %d", job.Version)
	}
	return text
}

func (f *follower) measure(job *model.Job, allocs []*model.AllocListStub) goal {
	var g goal
	perNode := job.Type == model.JobTypeSystem || job.Type == model.JobTypeSysbatch
	if !perNode {
		for _, tg := range job.TaskGroups {
			g.desired += tg.Count
		}
	}
	sort.Slice(allocs, func(i, j int) bool { return allocs[i].Name < allocs[j].Name })
	for _, a := range allocs {
		current := a.JobVersion == job.Version
		line := fmt.Sprintf("%s  %-20s  %-14s  %s", base.ShortID(a.ID, f.verbose), base.Clean(a.Name), base.Clean(a.NodeName), f.state(a))
		if a.DesiredStatus != model.DesiredRun {
			if a.ClientStatus == model.ClientRunning || a.ClientStatus == model.ClientPending {
				g.starting++ // is being stopped: not at the goal yet
				g.lines = append(g.lines, line+" (stopping)")
			}
			continue
		}
		g.lines = append(g.lines, line)
		if perNode && a.ClientStatus != model.ClientLost {
			g.desired++
		}
		switch a.ClientStatus {
		case model.ClientRunning:
			if !current && job.Type == model.JobTypeService {
				g.starting++ // an older version that is still to be replaced
				continue
			}
			g.running++
		case model.ClientComplete:
			g.done++
		case model.ClientFailed:
			if a.NextAllocation == "" && a.FollowupEvalID == "" {
				g.failed++
				g.lastFailed = a
			}
		case model.ClientPending:
			g.starting++
		}
	}
	return g
}

// state is an allocation's status, with its last event when it is in trouble.
func (f *follower) state(a *model.AllocListStub) string {
	s := a.ClientStatus
	if a.ClientStatus != model.ClientPending && a.ClientStatus != model.ClientFailed {
		return s
	}
	if e := lastEvent(a.TaskStates); e != "" {
		s += ": " + base.Clean(e)
	}
	return s
}

func lastEvent(states map[string]*model.TaskState) string {
	var newest *model.TaskEvent
	for _, st := range states {
		for _, e := range st.Events {
			if newest == nil || e.Time > newest.Time {
				newest = e
			}
		}
	}
	if newest == nil {
		return ""
	}
	return newest.DisplayMessage
}

// draw shows the table: in place on a terminal, else a line for every change. It
// tells whether anything was new.
func (f *follower) draw(g goal) bool {
	changed := false
	for _, l := range g.lines {
		id := l[:8]
		if f.seen[id] != l {
			f.seen[id], changed = l, true
			if !f.o.Live {
				f.o.Say("%s %s", f.stamp(), l)
			}
		}
	}
	if f.o.Live && changed {
		if f.drawn > 0 {
			fmt.Fprintf(f.o.Err, "\x1b[%dA\x1b[J", f.drawn)
		}
		lines := g.lines
		const most = 20 // a screen's worth
		if len(lines) > most {
			lines = append(lines[:most:most], fmt.Sprintf("... and %d more: %d run, %d start", len(lines)-most, g.running, g.starting))
		}
		for _, l := range lines {
			f.o.Say("        %s", l)
		}
		f.drawn = len(lines)
	}
	return changed
}

// unplaced says why not everything runs, and what would help.
func (f *follower) unplaced(ctx context.Context, job *model.Job, eval *model.Evaluation) error {
	groups := make([]string, 0, len(eval.FailedTGAllocs))
	for g := range eval.FailedTGAllocs {
		groups = append(groups, g)
	}
	sort.Strings(groups)
	for _, g := range groups {
		m := eval.FailedTGAllocs[g]
		f.o.Say("\nGroup %q: %d of its instances could not be placed.", g, 1+m.CoalescedFailures)
		for _, l := range Reasons(m) {
			f.o.Say("  * %s", l)
		}
		if len(m.Remedies) > 0 {
			f.o.Say("What would help:")
			for _, r := range m.Remedies {
				f.o.Say("  - %s", r)
			}
		}
	}
	if eval.BlockedEval != "" {
		f.o.Say("\nEvaluation %s waits and places the rest as soon as that is possible.", base.ShortID(eval.BlockedEval, f.verbose))
	}
	return &base.Exit{Code: base.ExitPlacement}
}

// Reasons are the lines that tell why a placement failed.
func Reasons(m *model.AllocationMetric) []string {
	var out []string
	if m.NodesEvaluated == 0 && m.NodesInPool == 0 {
		out = append(out, fmt.Sprintf("No node is in pool %q.", base.Dash(m.NodePool)))
	}
	for _, dc := range sortedKeys(m.NodesAvailable) {
		if m.NodesAvailable[dc] == 0 {
			out = append(out, fmt.Sprintf("No nodes are available in datacenter %q.", dc))
		}
	}
	if m.NodesEvaluated == 0 && len(out) == 0 {
		out = append(out, "No nodes were eligible for evaluation.")
	}
	for _, c := range sortedKeys(m.ConstraintFiltered) {
		out = append(out, fmt.Sprintf("Constraint %q: %d nodes excluded by filter.", c, m.ConstraintFiltered[c]))
	}
	for _, c := range sortedKeys(m.ClassFiltered) {
		out = append(out, fmt.Sprintf("Class %q: %d nodes excluded by filter.", c, m.ClassFiltered[c]))
	}
	for _, d := range sortedKeys(m.DimensionExhausted) {
		out = append(out, fmt.Sprintf("Dimension %q exhausted on %d nodes.", d, m.DimensionExhausted[d]))
	}
	for _, q := range m.QuotaExhausted {
		out = append(out, fmt.Sprintf("Quota limit hit %q.", q))
	}
	return out
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// failed says how the last allocation failed and where to look.
func (f *follower) failed(ctx context.Context, g goal) error {
	a := g.lastFailed
	f.o.Say("\nAllocation %s failed:", base.ShortID(a.ID, f.verbose))
	tasks := make([]string, 0, len(a.TaskStates))
	for t := range a.TaskStates {
		tasks = append(tasks, t)
	}
	sort.Strings(tasks)
	for _, t := range tasks {
		events := a.TaskStates[t].Events
		var lines []string
		for _, e := range events[max(0, len(events)-3):] {
			lines = append(lines, fmt.Sprintf("    %s: %s", e.Type, base.Clean(e.DisplayMessage)))
		}
		f.o.Say("  task %q\n%s", t, strings.Join(lines, "\n"))
	}
	id := base.ShortID(a.ID, false)
	f.o.Say("Look at: steppe alloc status %s, steppe logs -stderr %s", id, id)
	return &base.Exit{Code: base.ExitError}
}
