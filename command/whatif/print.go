package whatif

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/job"
	"github.com/steppe-project/steppe/model/insight"
)

// mostFates and mostGroups bound what is listed without -verbose.
const (
	mostFates  = 20
	mostGroups = 20
	mostNodes  = 10
)

type printer struct {
	o       *base.IO
	verbose bool
}

func (p *printer) answer(a *insight.Answer) {
	for _, w := range a.Warnings {
		p.o.Say("%s %s", p.o.Paint(base.Yellow, "Warning:"), base.Clean(w))
	}
	p.nodes("Lost", a.Lost)
	p.nodes("Drained", a.Drained)
	p.nodes("Added", a.Added)
	p.total(a)
	p.groups(a)
	p.fates(a)
	p.full(a)
	p.time(a)
	p.waiting(a)
}

func (p *printer) nodes(what string, list []*insight.NodeRef) {
	if len(list) == 0 {
		return
	}
	var names []string
	for _, n := range list {
		names = append(names, base.Clean(n.Name))
	}
	if len(names) > mostNodes && !p.verbose {
		names = append(names[:mostNodes], fmt.Sprintf("and %d more", len(list)-mostNodes))
	}
	p.o.Print("%s: %d (%s)", what, len(list), strings.Join(names, ", "))
}

// total says it in one line.
func (p *printer) total(a *insight.Answer) {
	n := map[string]int{}
	pending, waited := 0, 0
	for _, g := range a.Groups {
		n["move"] += g.Move
		n["start"] += g.Start
		n["stop"] += g.Stop
		n["are updated"] += g.Update
		pending, waited = pending+g.Pending, waited+g.Waited
	}
	var parts []string
	for _, what := range []string{"move", "start", "stop", "are updated"} {
		if n[what] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[what], what))
		}
	}
	switch {
	case pending > 0 && waited > 0:
		parts = append(parts, p.o.Paint(base.Yellow, fmt.Sprintf("%d wait for a place (%d did before)", pending, waited)))
	case pending > 0:
		parts = append(parts, p.o.Paint(base.Yellow, fmt.Sprintf("%d wait for a place", pending)))
	case waited > 0:
		parts = append(parts, fmt.Sprintf("%d that wait have a place then", waited))
	}
	if len(parts) == 0 && len(a.Groups) == 0 {
		parts = append(parts, "nothing changes")
	}
	p.o.Print("Instances: %d stay%s", a.Stays, strings.Join(append([]string{""}, parts...), ", "))
}

func (p *printer) groups(a *insight.Answer) {
	if len(a.Groups) == 0 {
		return
	}
	list := slices.Clone(a.Groups)
	slices.SortStableFunc(list, func(x, y *insight.Outcome) int { return cmp.Compare(y.Pending, x.Pending) })
	p.o.Title("Groups that change")
	var rows [][]string
	for i, g := range list {
		if i == mostGroups && !p.verbose {
			break
		}
		rows = append(rows, []string{
			g.JobID + "/" + g.Group, fmt.Sprint(g.Count), fmt.Sprintf("%d → %d", g.Before, g.After), num(g.Stay), num(g.Move), num(g.Update), num(g.Start), num(g.Stop), num(g.Pending),
		})
	}
	p.o.Table([]string{"Job/Group", "Wanted", "Placed", "Stay", "Move", "Update", "Start", "Stop", "Waiting"}, rows)
	if more := len(list) - mostGroups; more > 0 && !p.verbose {
		p.o.Print("and %d more; -verbose lists them", more)
	}
}

func num(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func (p *printer) fates(a *insight.Answer) {
	if len(a.Allocs) == 0 {
		return
	}
	p.o.Title("Instances")
	var rows [][]string
	for i, f := range a.Allocs {
		if i == mostFates && !p.verbose {
			break
		}
		rows = append(rows, []string{f.Name, f.What, base.Dash(f.NodeName), base.Dash(f.ToName), after(f.After), base.Dash(f.Reason)})
	}
	p.o.Table([]string{"Instance", "What", "From", "To", "After", "Why"}, rows)
	if more := a.Fates - len(rows); more > 0 {
		p.o.Print("and %d more; -verbose or -json lists them", more)
	}
}

func after(d time.Duration) string {
	if d == 0 {
		return "at once"
	}
	return base.Age(d)
}

// full compares how full the nodes are.
func (p *printer) full(a *insight.Answer) {
	before := map[[2]string]*insight.Fullness{}
	for _, f := range a.Before {
		before[[2]string{f.Datacenter, f.Pool}] = f
	}
	seen := map[[2]string]bool{}
	var rows [][]string
	row := func(b, f *insight.Fullness, dc, pool string) {
		rows = append(rows, []string{dc, pool, fmt.Sprintf("%d → %d", b.Nodes, f.Nodes), change(b.CPU, f.CPU), change(b.Memory, f.Memory), change(b.Disk, f.Disk)})
	}
	none := &insight.Fullness{}
	for _, f := range a.After {
		key := [2]string{f.Datacenter, f.Pool}
		seen[key] = true
		b := before[key]
		if b == nil {
			b = none
		}
		row(b, f, f.Datacenter, f.Pool)
	}
	for _, b := range a.Before {
		if !seen[[2]string{b.Datacenter, b.Pool}] {
			row(b, none, b.Datacenter, b.Pool)
		}
	}
	if len(rows) == 0 {
		return
	}
	p.o.Title("How full the nodes are: on average, and the fullest")
	p.o.Table([]string{"Datacenter", "Pool", "Nodes", "CPU", "Memory", "Disk"}, rows)
}

func change(b, a insight.Fill) string {
	text := fmt.Sprintf("%.0f%% → %.0f%%, %.0f%% → %.0f%%", b.Average, a.Average, b.Worst, a.Worst)
	if a.On != "" {
		text += " (" + a.On + ")"
	}
	return text
}

// time says how long it takes, and of what that is made.
func (p *printer) time(a *insight.Answer) {
	p.o.Title(fmt.Sprintf("It takes about %s", base.Age(a.Lasts)))
	for _, m := range a.MadeOf {
		p.o.Print("* %s", base.Clean(m))
	}
	if a.Unended != "" {
		p.o.Print("* %s", p.o.Paint(base.Yellow, base.Clean(a.Unended)))
	}
	if p.verbose {
		for _, m := range a.Moments {
			p.o.Print("  after %s: %s", base.Age(m.At), base.Clean(m.What))
		}
	}
}

// waiting says of each group that has no place in the end why, and what would help.
func (p *printer) waiting(a *insight.Answer) {
	for _, g := range a.Groups {
		if g.Pending == 0 {
			continue
		}
		p.o.Title(fmt.Sprintf("Group %q of job %q: %d wait for a place", g.Group, g.JobID, g.Pending))
		if g.Why != nil {
			why := *g.Why
			if len(g.Remedies) > 0 {
				why.Remedies = nil // these help for all that waits
			}
			for _, l := range job.Explain(&why) {
				p.o.Print("  %s", base.Clean(l))
			}
		}
		if len(g.Remedies) > 0 {
			p.o.Print("  What would let all of it be placed:")
		}
		for _, r := range g.Remedies {
			p.o.Print("  - %s", base.Clean(r.Text))
		}
	}
}
