package node

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
	rules "github.com/steppe-project/steppe/model/drain"
)

const (
	// drainDeadline is what is given when nothing is said.
	drainDeadline = time.Hour
	// drainLook is how often a drain is looked at: people wait for it.
	drainLook = 500 * time.Millisecond
	// mostLeft bounds the instances that are named in one line.
	mostLeft = 5
)

// Drain is "node drain".
var Drain = &base.Command{
	Name: "node drain", Synopsis: "Empty a node", Args: "[NODE]", MaxArgs: 1,
	Long: `With -enable the node takes no new work, and what runs on it leaves: services move as fast as their migrate blocks allow, each when it has a place elsewhere; batch jobs end by themselves; system jobs are stopped last. What is still there at the deadline is stopped. The command follows the drain until every task on the node has ended; interrupted, the drain goes on. With -disable a drain is called off.

Exit codes: 0 the drain is complete (with -detach: has begun), 1 an error, or the drain was called off meanwhile, 130 interrupted.`,
	Example: "steppe node drain -enable -deadline 30m -m 'new disk' node-3\nsteppe node drain -enable -self\nsteppe node drain -monitor node-3\nsteppe node drain -disable node-3",
	New:     func() base.Runner { return &drain{} },
}

type drain struct {
	enable, disable, monitor, detach, self bool
	force, noDeadline, ignoreSystem        bool
	keepIneligible                         bool
	deadline                               time.Duration
	message                                string
	meta                                   base.Strings
}

func (d *drain) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&d.enable, "enable", false, "Begin a drain, or change the deadline of one.")
	fs.BoolVar(&d.disable, "disable", false, "Call a drain off; the node takes new work again unless -keep-ineligible is given.")
	fs.BoolVar(&d.monitor, "monitor", false, "Follow a drain that has begun.")
	fs.BoolVar(&d.detach, "detach", false, "Do not follow the drain.")
	fs.BoolVar(&d.self, "self", false, "The node of the agent that is asked.")
	fs.DurationVar(&d.deadline, "deadline", drainDeadline, "How `long` tasks have to leave by themselves.")
	fs.BoolVar(&d.force, "force", false, "Stop everything now.")
	fs.BoolVar(&d.noDeadline, "no-deadline", false, "Wait for however long it takes.")
	fs.BoolVar(&d.ignoreSystem, "ignore-system", false, "Let system jobs stay.")
	fs.BoolVar(&d.keepIneligible, "keep-ineligible", false, "With -disable: the node takes no new work still.")
	fs.StringVar(&d.message, "m", "", "Why, kept with the drain: a `text`.")
	fs.Var(&d.meta, "meta", "`Key=value` that is kept with the drain; may be given many times.")
}

func (d *drain) Run(ctx context.Context, o *base.IO, args []string) error {
	spec, meta, err := d.wanted()
	if err != nil {
		return err
	}
	id, err := chosen(ctx, o, d.self, args)
	if err != nil {
		return err
	}
	n, err := o.Node(ctx, id)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s (%s)", base.Clean(n.Name), base.ShortID(n.ID, false))
	switch {
	case d.monitor && n.DrainStrategy == nil:
		o.Say("Node %s is not being drained", name)
		return nil
	case d.disable && n.DrainStrategy == nil:
		return model.Errorf(model.CodeConflict, "node %s is not being drained; steppe node eligibility opens it for new work", name)
	case d.disable:
		if err := o.Client.Nodes().Drain(ctx, n.ID, nil, !d.keepIneligible, meta); err != nil {
			return err
		}
		o.Say("Drain of node %s is called off", name)
		return nil
	case d.enable:
		if err := o.Client.Nodes().Drain(ctx, n.ID, spec, false, meta); err != nil {
			return err
		}
		o.Say("Node %s is being drained, %s", name, limit(spec))
	}
	if d.detach {
		return nil
	}
	w := &drainWatch{o: o, id: n.ID, name: name}
	return w.follow(ctx)
}

// wanted is what the options ask for.
func (d *drain) wanted() (*model.DrainSpec, map[string]string, error) {
	chosen := 0
	for _, on := range []bool{d.enable, d.disable, d.monitor} {
		if on {
			chosen++
		}
	}
	switch {
	case chosen != 1:
		return nil, nil, model.Errorf(model.CodeInvalid, "give one of -enable, -disable and -monitor")
	case d.force && d.noDeadline:
		return nil, nil, model.Errorf(model.CodeInvalid, "-force and -no-deadline exclude each other")
	case d.deadline <= 0:
		return nil, nil, model.Errorf(model.CodeInvalid, "-deadline %s: a duration above 0, or -force, or -no-deadline", d.deadline)
	}
	meta := map[string]string{}
	for _, kv := range d.meta {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, nil, model.Errorf(model.CodeInvalid, "-meta %q: key=value", kv)
		}
		meta[k] = v
	}
	if d.message != "" {
		meta["message"] = d.message
	}
	spec := &model.DrainSpec{Deadline: d.deadline, IgnoreSystemJobs: d.ignoreSystem}
	switch {
	case d.force:
		spec.Deadline = -1
	case d.noDeadline:
		spec.Deadline = 0
	}
	return spec, meta, nil
}

func limit(s *model.DrainSpec) string {
	switch {
	case s.Deadline < 0:
		return "by force"
	case s.Deadline == 0:
		return "without a deadline"
	}
	return "within " + s.Deadline.String()
}

// drainWatch follows a drain.
type drainWatch struct {
	o        *base.IO
	id, name string
	said     map[string]string // what was said last of each instance
	waiting  string
}

func (w *drainWatch) follow(ctx context.Context) error {
	w.said = map[string]string{}
	for {
		n, _, err := w.o.Client.Nodes().Get(ctx, w.id, nil)
		if err != nil {
			return w.interrupted(ctx, err)
		}
		allocs, _, err := w.o.Client.Nodes().Allocations(ctx, w.id, &api.Query{Namespace: model.AllNamespaces})
		if err != nil {
			return w.interrupted(ctx, err)
		}
		w.tell(n, allocs)
		if n.DrainStrategy == nil {
			return w.conclude(n)
		}
		select {
		case <-time.After(drainLook):
		case <-ctx.Done():
			return w.interrupted(ctx, ctx.Err())
		}
	}
}

func (w *drainWatch) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		w.o.Say("Following has ended; the drain goes on. See: steppe node drain -monitor %s", base.ShortID(w.id, false))
	}
	return err
}

func (w *drainWatch) conclude(n *model.Node) error {
	if n.LastDrain != nil && n.LastDrain.Status == rules.Complete {
		w.o.Say("%s", w.o.Paint(base.Green, "Drain of node "+w.name+" is complete: every task on it has ended"))
		return nil
	}
	w.o.Say("%s", w.o.Paint(base.Yellow, "Drain of node "+w.name+" was called off"))
	return &base.Exit{Code: base.ExitError}
}

// tell says what changed since it was told last, and what is waited for.
func (w *drainWatch) tell(n *model.Node, allocs []*model.Allocation) {
	slices.SortFunc(allocs, func(a, b *model.Allocation) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	var left []string
	for _, a := range allocs {
		now := state(a, n)
		before, known := w.said[a.ID]
		w.said[a.ID] = now
		if now == ended && !known {
			continue // long before the drain
		}
		if now != before {
			w.o.Say("  %s  %s  %s", base.ShortID(a.ID, false), base.Clean(a.Name), now)
		}
		if now != ended && now != stays {
			left = append(left, base.Clean(a.Name))
		}
	}
	w.wait(n, left)
}

// What a drain does with an instance.
const (
	ended   = "has ended"
	stays   = "stays: a system job"
	runsOut = "ends by itself, or at the deadline"
	waits   = "waits until others of its group are healthy elsewhere"
	looks   = "leaves when it has a place elsewhere"
	stops   = "is being stopped"
)

func state(a *model.Allocation, n *model.Node) string {
	moves := a.DesiredTransition.Migrate != nil && *a.DesiredTransition.Migrate
	system := a.Job != nil && (a.Job.Type == model.JobTypeSystem || a.Job.Type == model.JobTypeSysbatch)
	switch {
	case a.ClientTerminal():
		return ended
	case a.ServerTerminal():
		return stops
	case system && n.DrainStrategy != nil && n.DrainStrategy.IgnoreSystemJobs:
		return stays
	case moves:
		return looks
	case system:
		return "leaves when the others have"
	case a.Job != nil && a.Job.Type == model.JobTypeBatch:
		return runsOut
	}
	return waits
}

// wait says what is waited for, when that has changed.
func (w *drainWatch) wait(n *model.Node, left []string) {
	if n.DrainStrategy == nil || len(left) == 0 {
		return
	}
	text := fmt.Sprintf("Waiting for %d: %s", len(left), strings.Join(left[:min(len(left), mostLeft)], " "))
	if len(left) > mostLeft {
		text += " ..."
	}
	if n.Status == model.NodeStatusDown {
		text = "The node is down: what ran on it is replaced, and the drain is complete when it is back and says that all has ended, or when the node is purged"
	}
	if text != w.waiting {
		w.waiting = text
		w.o.Say("%s", text)
	}
}
