// Package whatif holds the verb that foretells.
//
// Invariant: nothing is changed.
package whatif

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/job"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
)

// WhatIf is "whatif".
var WhatIf = &base.Command{
	Name: "whatif", Synopsis: "Show what would happen", MaxArgs: 0,
	Long: `Shows which instances would stop, move, start or wait for a place, and why, how full the nodes are before and after, and how long it takes, if nodes were lost, drained or added, or jobs run, scaled or stopped. Several of these may be asked at once: all of them happen. It is decided by the code that would do it, on a copy of the state; nothing is changed.

NODES names nodes: by name, id or the beginning of one, or by what they have in common: dc:NAME, pool:NAME, class:NAME, or a rule such as meta.rack=r1, attr.cpu.arch!=arm64 or attr.os.version>=22. Several with commas between, without spaces, must all hold.

Exit codes: 0 nothing has to wait for a place that does not already, 2 something would, 1 an error.`,
	Example: "steppe whatif -lose meta.rack=r1\nsteppe whatif -drain node7 -deadline 10m\nsteppe whatif -scale web/servers=+20 -add 3:node7\nsteppe whatif -run web.hcl -lose dc:dc2,class:c5",
	New:     func() base.Runner { return &command{} },
}

type command struct {
	base.DataOptions
	lose, drain, add, run, scale, stop base.Strings
	deadline                           time.Duration
	ignoreSystem                       bool
	horizon                            time.Duration
	file                               job.File
}

func (c *command) Flags(fs *flag.FlagSet) {
	c.DataFlags(fs)
	fs.Var(&c.lose, "lose", "`nodes` that vanish; may be given many times.")
	fs.Var(&c.drain, "drain", "`nodes` that are drained; may be given many times.")
	fs.DurationVar(&c.deadline, "deadline", time.Hour, "The deadline of -drain, a `duration`; 0 for none.")
	fs.BoolVar(&c.ignoreSystem, "ignore-system", false, "With -drain: system jobs stay.")
	fs.Var(&c.add, "add", "`n:nodes`: so many nodes are added that are like the first of these; may be given many times.")
	fs.Var(&c.run, "run", "A job `file` that is run; may be given many times.")
	fs.Var(&c.scale, "scale", "`job[/group]=n`: that group gets n instances, +n or -n more or fewer; may be given many times.")
	fs.Var(&c.stop, "stop", "A `job` that is stopped; may be given many times.")
	fs.DurationVar(&c.horizon, "horizon", 24*time.Hour, "How far to look ahead, a `duration`.")
	c.file.Register(fs)
}

func (c *command) Run(ctx context.Context, o *base.IO, _ []string) error {
	q, err := c.question(o)
	if err != nil {
		return err
	}
	a, _, err := o.Client.Forecasts().WhatIf(ctx, q, nil)
	if err != nil {
		return err
	}
	pending := &base.Exit{Code: base.ExitPlacement}
	if done, err := o.Data(c.DataOptions, a); done {
		if err == nil && waits(a) {
			return pending
		}
		return err
	}
	(&printer{o, c.Verbose}).answer(a)
	if waits(a) {
		return pending
	}
	return nil
}

// waits tells whether something has no place in the end that has one now, or is wanted
// only then.
func waits(a *insight.Answer) bool {
	for _, g := range a.Groups {
		if g.Pending > g.Waited {
			return true
		}
	}
	for _, f := range a.Allocs {
		if f.What == insight.FatePending {
			return true
		}
	}
	return false
}

// question reads the options.
func (c *command) question(o *base.IO) (*insight.Question, error) {
	q := &insight.Question{Horizon: c.horizon}
	for _, text := range c.lose {
		sel, err := Nodes(text)
		if err != nil {
			return nil, err
		}
		q.Lose = append(q.Lose, sel)
	}
	for _, text := range c.drain {
		sel, err := Nodes(text)
		if err != nil {
			return nil, err
		}
		q.Drain = append(q.Drain, &insight.Draining{Selection: *sel, Deadline: c.deadline, IgnoreSystemJobs: c.ignoreSystem})
	}
	for _, text := range c.add {
		n, like, ok := strings.Cut(text, ":")
		count, err := strconv.Atoi(n)
		if !ok || err != nil || count < 1 {
			return nil, model.Errorf(model.CodeInvalid, "-add %q is not n:nodes, such as 3:node7", text)
		}
		sel, err := Nodes(like)
		if err != nil {
			return nil, err
		}
		q.Add = append(q.Add, &insight.Addition{Count: count, Like: *sel})
	}
	for _, path := range c.run {
		j, err := c.file.Load(o, path)
		if err != nil {
			return nil, err
		}
		q.Jobs = append(q.Jobs, j)
	}
	for _, text := range c.scale {
		s, err := Scale(text)
		if err != nil {
			return nil, err
		}
		q.Scale = append(q.Scale, s)
	}
	for _, id := range c.stop {
		q.Stop = append(q.Stop, &model.NamespacedID{ID: id})
	}
	if len(q.Lose)+len(q.Drain)+len(q.Add)+len(q.Jobs)+len(q.Scale)+len(q.Stop) == 0 {
		return nil, model.Errorf(model.CodeInvalid, "what if what? Name nodes with -lose, -drain or -add, or jobs with -run, -scale or -stop. For help: steppe whatif -help")
	}
	return q, nil
}

// Scale reads "job/group=+3".
func Scale(text string) (*insight.Scaling, error) {
	name, count, ok := strings.Cut(text, "=")
	n, err := strconv.Atoi(strings.TrimPrefix(count, "+"))
	relative := strings.HasPrefix(count, "+") || strings.HasPrefix(count, "-")
	if !ok || err != nil || name == "" {
		return nil, model.Errorf(model.CodeInvalid, "-scale %q is not job[/group]=n, such as web=5 or web/servers=+3", text)
	}
	s := &insight.Scaling{JobID: name, Count: n, Relative: relative}
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		s.JobID, s.Group = name[:i], name[i+1:]
	}
	return s, nil
}

// operators of rules, the longer ones first.
var operators = []string{"!=", ">=", "<=", "=", ">", "<"}

// Nodes reads a selection of nodes.
func Nodes(text string) (*insight.Selection, error) {
	sel := &insight.Selection{}
	for _, part := range strings.Split(text, ",") {
		if err := one(sel, strings.TrimSpace(part)); err != nil {
			return nil, err
		}
	}
	return sel, nil
}

func one(sel *insight.Selection, part string) error {
	kind, value, named := strings.Cut(part, ":")
	for name, field := range map[string]*string{"node": &sel.Node, "dc": &sel.Datacenter, "pool": &sel.Pool, "class": &sel.Class} {
		if named && kind == name {
			if value == "" || *field != "" {
				return model.Errorf(model.CodeInvalid, "%q: one %s is to be named", part, name)
			}
			*field = value
			return nil
		}
	}
	at, op := -1, ""
	for _, o := range operators {
		if i := strings.Index(part, o); i > 0 && (at < 0 || i < at) {
			at, op = i, o
		}
	}
	if at < 0 {
		if part == "" || sel.Node != "" {
			return model.Errorf(model.CodeInvalid, "nodes are named by a name, an id, dc:NAME, pool:NAME, class:NAME or a rule such as meta.rack=r1, not by %q", part)
		}
		sel.Node = part
		return nil
	}
	left, right := strings.TrimSpace(part[:at]), strings.TrimSpace(part[at+len(op):])
	if !strings.HasPrefix(left, "meta.") && !strings.HasPrefix(left, "attr.") && !strings.HasPrefix(left, "node.") {
		return model.Errorf(model.CodeInvalid, "rule %q: %q begins with none of meta., attr. and node.", part, left)
	}
	sel.Rules = append(sel.Rules, &model.Constraint{LTarget: fmt.Sprintf("${%s}", left), Operand: op, RTarget: right})
	return nil
}
