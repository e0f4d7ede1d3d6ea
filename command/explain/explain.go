// Package explain holds the verbs that explain placements.
//
// Invariant: nothing is changed.
package explain

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/job"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
)

const long = `Shows for each group of a job why its instances are on their nodes (the scores of the best nodes by component), what keeps others off (each kind of nodes that is excluded, with the reason), which resource binds, and the smallest changes with which everything that is missing would be placed. Each of these was tried: the scheduler was run on the state with that change, and placed all of it. It is decided by the code that places, on the state as it is; nothing is changed.`

const codes = "\n\nExit codes: 0 everything that is wanted has a place, 2 something could not be placed, 1 an error."

// Explain is "explain".
var Explain = &base.Command{
	Name: "explain", Synopsis: "Explain why instances are where they are, or nowhere", Args: "JOB|ALLOC|EVAL", MinArgs: 1, MaxArgs: 1,
	Long:    long + " The argument is a job, or the id of an allocation or evaluation, or the beginning of one." + codes,
	Example: "steppe explain web\nsteppe explain 8f2c\nsteppe explain -json web",
	New:     func() base.Runner { return &command{} },
}

// Eval is "eval explain".
var Eval = &base.Command{
	Name: "eval explain", Synopsis: "Explain what an evaluation could not place", Args: "EVAL", MinArgs: 1, MaxArgs: 1,
	Long:    long + codes,
	Example: "steppe eval explain 1c2d",
	New:     func() base.Runner { return &command{evalOnly: true} },
}

type command struct {
	base.DataOptions
	evalOnly bool
}

func (c *command) Flags(fs *flag.FlagSet) { c.DataFlags(fs) }

func (c *command) Run(ctx context.Context, o *base.IO, args []string) error {
	e, err := c.ask(ctx, o, args[0])
	if err != nil {
		return err
	}
	if done, err := o.Data(c.DataOptions, e); done {
		return or(err, missing(e))
	}
	c.print(o, e)
	return missing(e)
}

func or(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// missing is the exit code for a job that is not placed whole.
func missing(e *insight.Explanation) error {
	for _, g := range e.Groups {
		if g.Missing > 0 {
			return &base.Exit{Code: base.ExitPlacement}
		}
	}
	return nil
}

// ask finds what is meant: a job of that name, else an allocation, else an evaluation
// whose id begins so, else a job that does.
func (c *command) ask(ctx context.Context, o *base.IO, text string) (*insight.Explanation, error) {
	if c.evalOnly {
		return c.eval(ctx, o, text)
	}
	e, _, err := o.Client.Forecasts().ExplainJob(ctx, text, nil)
	if err == nil || model.CodeOf(err) != model.CodeNotFound {
		return e, err
	}
	if strings.Trim(text, "0123456789abcdefABCDEF-") == "" {
		a, err := o.Alloc(ctx, text)
		if err == nil {
			e, _, err = o.Client.Forecasts().ExplainAllocation(ctx, a.ID, nil)
			return e, err
		}
		if model.CodeOf(err) != model.CodeNotFound {
			return nil, err
		}
		if e, err = c.eval(ctx, o, text); err == nil || model.CodeOf(err) != model.CodeNotFound {
			return e, err
		}
	}
	found, err := o.Job(ctx, text)
	if model.CodeOf(err) == model.CodeNotFound {
		return nil, model.Errorf(model.CodeNotFound, "no job, allocation or evaluation %q. See: steppe job status", text)
	}
	if err != nil {
		return nil, err
	}
	e, _, err = o.Client.Forecasts().ExplainJob(ctx, found.ID, &api.Query{Namespace: found.Namespace})
	return e, err
}

func (c *command) eval(ctx context.Context, o *base.IO, text string) (*insight.Explanation, error) {
	found, err := o.Eval(ctx, text)
	if err != nil {
		return nil, err
	}
	e, _, err := o.Client.Forecasts().ExplainEvaluation(ctx, found.ID, nil)
	return e, err
}

func (c *command) print(o *base.IO, e *insight.Explanation) {
	fields := []string{"Job", e.JobID, "Namespace", e.Namespace, "Type", base.Dash(e.JobType), "Version", fmt.Sprint(e.JobVersion), "Status", base.Dash(e.JobStatus), "Priority", fmt.Sprint(e.Priority)}
	if e.AllocID != "" {
		fields = append(fields, "Allocation", e.AllocID)
	}
	if e.EvalID != "" {
		fields = append(fields, "Evaluation", e.EvalID)
	}
	o.Fields(fields...)
	for _, n := range e.Notes {
		o.Print("* %s", base.Clean(n))
	}
	for _, g := range e.Groups {
		c.group(o, e, g)
	}
}

// counts says how a group stands, in one line.
func counts(e *insight.Explanation, g *insight.Group) string {
	wanted := fmt.Sprintf("%d wanted, ", g.Count)
	if e.JobType == model.JobTypeSystem || e.JobType == model.JobTypeSysbatch {
		wanted = "one a node, "
	}
	text := wanted + fmt.Sprintf("%d placed (%d running)", g.Live, g.Running)
	if g.Waiting > 0 {
		text += fmt.Sprintf(", %d about to be placed", g.Waiting)
	}
	if g.Missing > 0 && len(g.Waits) > 0 {
		text += fmt.Sprintf(", %d not begun", g.Missing)
	} else if g.Missing > 0 {
		text += fmt.Sprintf(", %d cannot be placed", g.Missing)
	}
	return text
}

func (c *command) group(o *base.IO, e *insight.Explanation, g *insight.Group) {
	o.Title(fmt.Sprintf("Group %q: %s", g.Name, counts(e, g)))
	for _, w := range g.Waits {
		o.Print("* It %s", base.Clean(w))
	}
	c.chosen(o, g)
	if len(g.Excluded) > 0 || g.Fits > 0 {
		o.Print("Nodes for one more: %s", nodes(g.Fits))
	}
	if len(g.Excluded) > 0 {
		var rows [][]string
		for _, x := range g.Excluded {
			rows = append(rows, []string{"  " + fmt.Sprint(x.Nodes), base.Dash(x.Class), x.Datacenter, x.Pool, x.Kind, x.Reason, x.Example})
		}
		o.Table([]string{"  Excluded", "Class", "DC", "Pool", "By", "Reason", "Such As"}, rows)
	}
	for _, b := range g.Binds {
		o.Print("* Binding: %s", base.Clean(binding(b)))
	}
	if g.Then != nil && c.Verbose {
		o.Print("When the evaluation was decided:")
		for _, l := range job.Explain(g.Then) {
			o.Print("  %s", base.Clean(l))
		}
	}
	if len(g.Remedies) == 0 {
		return
	}
	o.Print("What would let all of it be placed:")
	for _, r := range g.Remedies {
		text := r.Text
		if !r.Tried {
			text += " (could not be tried)"
		}
		o.Print("- %s", base.Clean(text))
	}
}

func nodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// binding says what there is too little of.
func binding(b *insight.Binding) string {
	unit := map[string]string{"cpu": " MHz", "memory": " MB", "disk": " MB"}[b.Resource]
	text := fmt.Sprintf("%s, on %s that would suit otherwise", b.Resource, nodes(b.Nodes))
	if b.Asked > 0 {
		text += fmt.Sprintf("; %d%s asked for, at most %d%s free (node %s)", b.Asked, unit, b.MostFree, unit, b.On)
	}
	return text
}

// chosen shows why instances are where they are.
func (c *command) chosen(o *base.IO, g *insight.Group) {
	for _, x := range g.Chosen {
		o.Print("%s is on node %s (allocation %s, placed %s)", base.Clean(x.Name), base.Clean(x.NodeName), base.ShortID(x.AllocID, c.Verbose), base.Ago(x.Placed.UnixNano()))
		list, when := x.Now, "now, without it"
		if c.Verbose && len(x.Then) > 0 {
			scores(o, x.Then, "when its group was placed")
		}
		if len(list) > 0 {
			scores(o, list, when)
		}
		if x.Unfit != "" {
			o.Print("  Its node would not take it again: %s", base.Clean(x.Unfit))
		}
		if !c.Verbose {
			if more := len(g.Chosen) - 1; more > 0 {
				o.Print("  -verbose shows %d more, and the scores of then.", more)
			}
			return
		}
	}
}

// scores are a table of nodes, the chosen one marked.
func scores(o *base.IO, list []*insight.Score, when string) {
	names := map[string]bool{}
	for _, s := range list {
		for n := range s.Components {
			names[n] = true
		}
	}
	components := base.Keys(names)
	var rows [][]string
	for _, s := range list {
		mark := "  "
		if s.Chosen {
			mark = "  * "
		}
		row := []string{mark + name(s)}
		for _, n := range components {
			row = append(row, fmt.Sprintf("%.3g", s.Components[n]))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.3g", s.Final)))
	}
	o.Table(append(append([]string{"  Score " + when}, components...), "final"), rows)
}

func name(s *insight.Score) string {
	if s.NodeName == "" {
		return base.ShortID(s.NodeID, false)
	}
	return s.NodeName
}
