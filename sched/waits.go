package sched

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/stateful"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// followWindow is how far apart delayed replacements may be that share one
// evaluation: the first of them then waits that much longer.
const followWindow = time.Second

// follow makes the evaluations that look at the job again at a time: for failed
// instances whose delay is not over, and for the next step of a roll.
func (p *process) follow(out *reconcile.Output) {
	p.followFailed(out.Later)
	var at time.Time
	for _, g := range out.Groups {
		roll := g.Roll
		if p.replaced[g.Group.Name] && !g.RollOn.IsZero() {
			roll = g.RollOn
		}
		if !roll.IsZero() && (at.IsZero() || roll.Before(at)) {
			at = roll
		}
	}
	if again := out.Again; !again.IsZero() && (at.IsZero() || again.Before(at)) {
		at = again
	}
	if at.IsZero() {
		return
	}
	for _, e := range p.waiting() {
		if e.TriggeredBy == model.TriggerRollingUpdate && !e.WaitUntil.After(at.Add(followWindow)) {
			p.eval.NextEval = e.ID // it will look, and wait again if need be
			return
		}
	}
	next := p.newEval(model.TriggerRollingUpdate, at)
	next.StatusDescription = "replaces the next instances of an older version"
	if at.Equal(out.Again) {
		next.StatusDescription = "looks at what stateful instances wait for"
	}
	p.eval.NextEval = next.ID
}

// maxWaits bounds the waits that an evaluation tells of.
const maxWaits = 8

// tell says in the evaluation what ordinals of stateful groups wait for.
func (p *process) tell(out *reconcile.Output) {
	var waits []string
	for _, g := range out.Groups {
		waits = append(waits, g.Waits...)
	}
	if p.ordinalWaits = waits; len(waits) == 0 || p.eval.Status != model.EvalComplete {
		return
	}
	if more := len(waits) - maxWaits; more > 0 {
		waits = append(slices.Clone(waits[:maxWaits]), fmt.Sprintf("%d more wait", more))
	}
	p.eval.StatusDescription = stateful.Prefix + strings.Join(waits, "; ")
}

// waiting are the job's other evaluations that wait for a time to come.
func (p *process) waiting() []*model.Evaluation {
	var out []*model.Evaluation
	for _, e := range p.state.EvalsByJob(p.eval.Namespace, p.eval.JobID) {
		if e.Status == model.EvalPending && e.ID != p.eval.ID && e.WaitUntil.After(p.env.Now) {
			out = append(out, e)
		}
	}
	return out
}

// followFailed has failed instances looked at when their delay is over.
// Neighbours in time share an evaluation.
func (p *process) followFailed(list []reconcile.Later) {
	if len(list) == 0 {
		return
	}
	due := make(map[string]bool)
	for _, e := range p.waiting() {
		due[e.ID] = true
	}
	list = slices.DeleteFunc(slices.Clone(list), func(l reconcile.Later) bool { return due[l.Alloc.FollowupEvalID] })
	slices.SortFunc(list, func(a, b reconcile.Later) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Alloc.ID, b.Alloc.ID)
	})
	for len(list) > 0 {
		n := 1
		for n < len(list) && !list[n].At.After(list[0].At.Add(followWindow)) {
			n++
		}
		e := p.newEval(model.TriggerRetryFailed, list[n-1].At)
		e.StatusDescription = list[0].Description
		for _, l := range list[:n] {
			p.plan.Stops = append(p.plan.Stops, &model.PlanStop{ID: l.Alloc.ID, FollowupEvalID: e.ID, KeepDesired: true})
		}
		list = list[n:]
	}
}

// newEval adds a pending evaluation of the job to the plan.
func (p *process) newEval(trigger string, at time.Time) *model.Evaluation {
	e := &model.Evaluation{
		ID: p.ids.next(), Namespace: p.eval.Namespace, JobID: p.eval.JobID, JobModifyIndex: p.eval.JobModifyIndex,
		Priority: p.eval.Priority, Type: p.eval.Type, TriggeredBy: trigger, Status: model.EvalPending,
		WaitUntil: at, PreviousEval: p.eval.ID,
		CreateTime: p.env.Now.UnixNano(), ModifyTime: p.env.Now.UnixNano(),
	}
	if p.job != nil {
		e.JobModifyIndex, e.Priority, e.Type = p.job.JobModifyIndex, p.job.Priority, p.job.Type
	}
	p.plan.NewEvals = append(p.plan.NewEvals, e)
	return e
}

// block leaves one blocked evaluation behind when something could not be placed:
// the job's existing one, else this one if it was blocked before, else a new one.
func (p *process) block() {
	if len(p.failed) == 0 && !p.held {
		return
	}
	blocked := p.blocked()
	blocked.Status = model.EvalBlocked
	// It may have waited since before the job was changed: what has to give way to it, and
	// so what wakes it, goes by the priority that the job has now.
	blocked.JobModifyIndex, blocked.Priority, blocked.Type = p.job.JobModifyIndex, p.job.Priority, p.job.Type
	blocked.StatusDescription = p.blockedFor()
	blocked.WaitUntil, blocked.Gang = time.Time{}, ""
	// It answers why it waits; the evaluation it came from may be collected first.
	blocked.FailedTGAllocs, blocked.QueuedAllocations = p.eval.FailedTGAllocs, p.eval.QueuedAllocations
	for _, e := range p.plan.NewEvals {
		if e.Status == model.EvalComplete { // a gang's clock, which knows nothing of the rest
			e.BlockedEval = blocked.ID
		}
	}
	blocked.SnapshotIndex = p.state.Index()
	blocked.ModifyTime = p.env.Now.UnixNano()
	blocked.ClassEligibility = make(map[string]bool)
	blocked.EscapedComputedClass = false
	for _, k := range p.failed {
		classes, escaped := k.ClassEligibility()
		for class, ok := range classes {
			blocked.ClassEligibility[class] = blocked.ClassEligibility[class] || ok
		}
		blocked.EscapedComputedClass = blocked.EscapedComputedClass || escaped
	}
}

// blockedFor is what a blocked evaluation says of itself.
func (p *process) blockedFor() string {
	var list []string
	if len(p.lacking) > 0 {
		list = append(list, strings.Join(p.lacking, "; ")+": waits for nodes or resources that let all be placed")
	} else if len(p.failed) > 0 {
		list = append(list, "waits for nodes or resources that let the rest be placed")
	}
	for _, g := range p.job.TaskGroups {
		if m := p.eval.FailedTGAllocs[g.Name]; m != nil && len(m.Waits) > 0 {
			list = append(list, "group "+g.Name+" "+m.Waits[0])
		}
	}
	if n := len(list) - maxReasons; n > 0 {
		list = append(list[:maxReasons], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(list, "; ")
}

// maxReasons bounds what a blocked evaluation says of itself.
const maxReasons = 4

func (p *process) blocked() *model.Evaluation {
	for _, e := range p.state.EvalsByJob(p.eval.Namespace, p.eval.JobID) {
		if e.Status != model.EvalBlocked || e.ID == p.eval.ID {
			continue
		}
		same := *e
		same.PreviousEval = p.eval.ID
		p.plan.NewEvals = append(p.plan.NewEvals, &same)
		p.eval.BlockedEval = same.ID
		return &same
	}
	if p.eval.TriggeredBy == model.TriggerQueuedAllocs {
		return p.eval
	}
	e := p.newEval(model.TriggerQueuedAllocs, time.Time{})
	p.eval.BlockedEval = e.ID
	return e
}
