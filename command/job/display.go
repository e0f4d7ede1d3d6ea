package job

import (
	"fmt"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/deployment"
	"github.com/steppe-project/steppe/model/deploy"
)

const (
	// mostRows is how many instances are shown one by one; of more, groups are
	// counted.
	mostRows = 20
	// countEvery is how often such counts are printed where nothing is redrawn.
	countEvery = time.Second
)

// display shows progress: in place on a terminal, else a line for every change.
type display struct {
	o       *base.IO
	verbose bool
	started time.Time
	screen  *base.Screen      // nil where nothing is redrawn
	seen    map[string]string // allocation → state said last
	counts  string            // said last
	said    time.Time         // when
	last    *progress
}

func newDisplay(o *base.IO, verbose bool) *display {
	d := &display{o: o, verbose: verbose, started: time.Now(), seen: map[string]string{}, said: time.Now()}
	if o.Live {
		d.screen = o.Screen()
	}
	return d
}

func (d *display) begin(jobID, evalID string) {
	d.say("Evaluation %s of job %q", base.ShortID(evalID, d.verbose), base.Clean(jobID))
}

func (d *display) stamp() string { return fmt.Sprintf("%7.2fs", time.Since(d.started).Seconds()) }

// say prints a line that stays, above what is redrawn.
func (d *display) say(format string, args ...any) {
	if d.screen != nil {
		d.screen.Draw(nil)
	}
	d.o.Say("%s  %s", d.stamp(), fmt.Sprintf(format, args...))
	d.said = time.Now()
	if d.screen != nil && d.last != nil {
		d.screen.Draw(d.lines(d.last))
	}
}

// final prints the last word; the screen stays as it is.
func (d *display) final(color, format string, args ...any) {
	d.screen = nil
	d.o.Say("%s  %s", d.stamp(), d.o.Paint(color, fmt.Sprintf(format, args...)))
}

// show shows progress.
func (d *display) show(p *progress) {
	d.last = p
	d.deployment(p)
	if d.screen != nil {
		d.screen.Draw(d.lines(p))
		return
	}
	if len(p.instances) > mostRows {
		text := p.summary()
		if over := p.outcome != waiting; text != d.counts && (over || time.Since(d.said) >= countEvery) {
			d.counts = text
			d.say("%s", text)
		}
	} else {
		for _, l := range d.rows(p) {
			if d.seen[l.id] != l.Tail {
				d.seen[l.id] = l.Tail
				d.say("%s%s", l.Text, l.Tail)
			}
		}
	}
	if p.outcome == waiting && time.Since(d.said) >= quietAfter {
		d.say("Still waiting: %s", p.summary())
	}
}

// deployment says how far each group has come, where nothing is redrawn.
func (d *display) deployment(p *progress) {
	if p.deployment == nil || d.screen != nil {
		return
	}
	for _, name := range deploy.Groups(p.deployment) {
		text := deployment.Counts(p.deployment.TaskGroups[name], time.Time{})
		if key := p.deployment.ID + "/" + name; d.seen[key] != text {
			d.seen[key] = text
			d.say("deployment %s, group %s: %s", base.ShortID(p.deployment.ID, d.verbose), base.Clean(name), text)
		}
	}
}

// row is one instance's line.
type row struct {
	base.Line
	id string
}

func (d *display) rows(p *progress) []row {
	colors := map[kind]string{running: base.Green, done: base.Green, failed: base.Red, late: base.Red}
	name, node := 0, 0
	for _, i := range p.instances {
		name, node = max(name, len(i.Name)), max(node, len(i.NodeName))
	}
	var out []row
	for _, i := range p.instances {
		l := base.Line{
			Text: fmt.Sprintf("%s  %-*s  %-*s  ", base.ShortID(i.ID, d.verbose), name, base.Clean(i.Name), node, base.Clean(i.NodeName)),
			Tail: i.state, Color: base.Yellow,
		}
		if c := colors[i.kind]; c != "" {
			l.Color = c
		}
		out = append(out, row{l, i.ID})
	}
	return out
}

// lines are what a terminal shows: the instances and a clock.
func (d *display) lines(p *progress) []base.Line {
	var out []base.Line
	if len(p.instances) <= mostRows {
		for _, r := range d.rows(p) {
			r.Text = "          " + r.Text
			out = append(out, r.Line)
		}
	}
	if p.deployment != nil {
		for _, l := range deployment.Lines(p.deployment, time.Now()) {
			l.Text = "          " + l.Text
			out = append(out, l)
		}
	}
	if p.outcome == waiting {
		out = append(out, base.Line{Text: d.stamp() + "  " + p.summary()})
	}
	return out
}
