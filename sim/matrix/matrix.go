// Package matrix counts what features of the orchestrator did while faults were on: each
// cell says how often the simulator saw the two together.
//
// Example:
//
//	m := matrix.Matrix{}
//	m.Add(matrix.Of(change), harm.On())
//	text := m.Markdown(faults)
package matrix

import (
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deadline"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/model/stateful"
)

// Features are those that are counted, in their order, with what is counted of each.
var Features = [][2]string{
	{"service", "an instance of a service job is placed, or changes its status"},
	{"batch", "one of a batch job"},
	{"system", "one of a system job"},
	{"sysbatch", "one of a sysbatch job"},
	{"deployment", "a deployment begins, goes on or ends"},
	{"canary", "a canary is placed, or changes its status"},
	{"reschedule", "a failed instance is replaced"},
	{"lost", "an instance is lost with its node"},
	{"migrate", "an instance is to leave its node"},
	{"drain", "a node's drain begins or ends"},
	{"disconnect", "an instance of a group with stop_on_client_after changes"},
	{"periodic", "a periodic job launches one"},
	{"dispatch", "a parameterized job launches one"},
	{"depends_on", "an instance of a job with dependencies changes"},
	{"stateful", "an instance of a stateful group changes"},
	{"gang", "an instance of a gang changes"},
	{"time limit", "an instance is ended for want of time"},
	{"preemption", "an instance gives way to another"},
	{"affinity, spread", "an instance of a group that prefers nodes is placed"},
	{"distinct", "an instance of a group with distinct_hosts or distinct_property is placed"},
	{"node pool", "an instance is placed in a pool other than the default"},
	{"namespace, quota", "an instance is placed in a namespace other than the default"},
}

// Of are the features that a change is of.
func Of(ch *state.Change) []string {
	switch after := ch.After.(type) {
	case *model.Deployment:
		return []string{"deployment"}
	case *model.Node:
		if before, ok := ch.Before.(*model.Node); ok && (before.DrainStrategy == nil) != (after.DrainStrategy == nil) {
			return []string{"drain"}
		}
	case *model.Job:
		switch {
		case ch.Before != nil || after.ParentID == "":
		case after.Dispatched:
			return []string{"dispatch"}
		default:
			return []string{"periodic"}
		}
	case *model.Allocation:
		before, _ := ch.Before.(*model.Allocation)
		return ofAlloc(before, after)
	}
	return nil
}

func ofAlloc(before, after *model.Allocation) []string {
	if after.Job == nil {
		return nil
	}
	g := stateful.Group(after.Job, after.TaskGroup)
	out := []string{after.Job.Type}
	note := func(is bool, feature string) {
		if is {
			out = append(out, feature)
		}
	}
	placed := before == nil
	note(deploy.Canary(after), "canary")
	note(placed && after.RescheduleTracker != nil, "reschedule")
	note(after.ClientStatus == model.ClientLost && !placed && before.ClientStatus != model.ClientLost, "lost")
	note(!placed && !leaves(before) && leaves(after), "migrate")
	note(precedence.Uses(after.Job), "depends_on")
	note(deadline.Overran(after), "time limit")
	note(after.PreemptedByAllocation != "" && !placed && before.PreemptedByAllocation == "", "preemption")
	note(placed && after.Job.NodePool != model.DefaultNodePool, "node pool")
	note(placed && after.Namespace != model.DefaultNamespace, "namespace, quota")
	if g == nil {
		return out
	}
	note(g.Disconnect != nil && g.Disconnect.StopOnClientAfter > 0, "disconnect")
	note(g.Stateful != nil, "stateful")
	note(g.Gang != nil, "gang")
	note(placed && len(g.Affinities)+len(g.Spreads)+len(after.Job.Affinities)+len(after.Job.Spreads) > 0, "affinity, spread")
	note(placed && slices.ContainsFunc(slices.Concat(g.Constraints, after.Job.Constraints), func(c *model.Constraint) bool {
		return strings.HasPrefix(c.Operand, "distinct_")
	}), "distinct")
	return out
}

func leaves(a *model.Allocation) bool {
	return a.DesiredTransition.Migrate != nil && *a.DesiredTransition.Migrate
}

// Matrix counts, by feature and fault.
type Matrix map[[2]string]int

// Add counts features while faults are on.
func (m Matrix) Add(features, faults []string) {
	for _, feature := range features {
		for _, fault := range faults {
			m[[2]string{feature, fault}]++
		}
	}
}

// Join adds another one.
func (m Matrix) Join(o Matrix) {
	for k, n := range o {
		m[k] += n
	}
}

// Empty are the cells without a count: the two were never seen together.
func (m Matrix) Empty(faults []string) []string {
	var out []string
	for _, f := range Features {
		for _, fault := range faults {
			if m[[2]string{f[0], fault}] == 0 {
				out = append(out, f[0]+" x "+fault)
			}
		}
	}
	return out
}

// Markdown is the matrix as a document: a row for each fault, a column for each feature.
func (m Matrix) Markdown(faults []string) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, f := range Features {
		b.WriteString(" " + f[0] + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(Features)) + "\n")
	for _, fault := range faults {
		b.WriteString("| " + fault + " |")
		for _, f := range Features {
			fmt.Fprintf(&b, " %d |", m[[2]string{f[0], fault}])
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for _, f := range Features {
		fmt.Fprintf(&b, "- **%s**: %s\n", f[0], f[1])
	}
	return b.String()
}
