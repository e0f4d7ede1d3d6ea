package broker

import (
	"fmt"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Step implements loop.Component. The evaluations that became ready are handed
// out by Deliver.
func (b *Broker) Step(now time.Time, _ *state.Snapshot) ([]fsm.Command, time.Time) {
	b.sort(now)
	b.blocked.mark()
	var evals []*model.Evaluation
	evals = b.expire(now, evals)
	evals = b.cancel(now, evals)
	evals = b.wake(now, evals)
	return append(commands(evals), b.bury(now)...), b.next()
}

// sort puts what was observed, and what has become due, where it belongs.
func (b *Broker) sort(now time.Time) {
	fresh := b.fresh
	b.fresh = nil
	for _, e := range fresh {
		if e.eval.Attempts >= MaxAttempts {
			b.move(e, placeDead)
			b.dead[e] = struct{}{}
			continue
		}
		if e.due = due(e.eval, now); e.due.After(now) {
			b.move(e, placeDelayed)
			b.delayed.add(e)
			continue
		}
		b.await(e)
	}
	for e := b.delayed.first(); e != nil && !e.due.After(now); e = b.delayed.first() {
		b.delayed.remove(e)
		b.await(e)
	}
}

// due is when an evaluation seen now may be worked on.
func due(eval *model.Evaluation, now time.Time) time.Time {
	at := eval.WaitUntil
	if eval.Attempts == 0 {
		return at
	}
	backoff := backoffMax
	if shift := eval.Attempts - 1; shift < 16 {
		backoff = min(backoffMax, backoffMin<<shift)
	}
	if retry := now.Add(backoff); retry.After(at) {
		return retry
	}
	return at
}

// await lets e wait for its job's turn. Only the newest of a job waits; it will
// see all that the others would have.
func (b *Broker) await(e *entry) {
	q := e.job
	if q.head == nil {
		b.lead(e)
		return
	}
	if newer(q.head.eval, e.eval) {
		b.supersede(e, q.head)
		return
	}
	old := q.head
	b.ready.remove(old)
	b.supersede(old, e)
	b.lead(e)
}

func (b *Broker) lead(e *entry) {
	b.move(e, placeWaiting)
	e.job.head = e
	if e.job.running == nil {
		b.ready.add(e)
	}
}

func (b *Broker) supersede(e, by *entry) {
	b.move(e, placeSuperseded)
	e.by = by.eval.ID
	b.superseded[e] = struct{}{}
}

// expire takes back evaluations that no answer came for.
func (b *Broker) expire(now time.Time, evals []*model.Evaluation) []*model.Evaluation {
	var again []*entry
	for e := b.running.first(); e != nil && !e.due.After(now); e = b.running.first() {
		b.running.remove(e)
		again = append(again, e)
	}
	for _, e := range again {
		// It stays out until its row changes; then this is the next time to look.
		e.due = now.Add(AnswerTimeout)
		b.running.add(e)
		c := change(e.eval, now, model.EvalPending, "no worker answered within "+AnswerTimeout.String())
		c.Attempts++
		evals = append(evals, c)
	}
	return evals
}

// cancel ends the evaluations whose work a newer one does.
func (b *Broker) cancel(now time.Time, evals []*model.Evaluation) []*model.Evaluation {
	for _, e := range ordered(b.superseded) {
		evals = append(evals, change(e.eval, now, model.EvalCancelled, "superseded by the newer evaluation "+e.by))
	}
	for _, e := range ordered(b.idle) {
		evals = append(evals, change(e.eval, now, model.EvalCancelled, "superseded by the newer blocked evaluation "+e.by))
	}
	return evals
}

// bury fails the evaluations that were tried too often, each with a follow-up.
func (b *Broker) bury(now time.Time) []fsm.Command {
	var cmds []fsm.Command
	for _, e := range ordered(b.dead) {
		why := e.eval.StatusDescription
		if why == "" {
			why = "no attempt made progress"
		}
		follow := &model.Evaluation{
			ID:        ident.From("follow-up", e.eval.ID, strconv.FormatUint(e.eval.ModifyIndex, 10)),
			Namespace: e.eval.Namespace, JobID: e.eval.JobID, Type: e.eval.Type, Priority: e.eval.Priority,
			JobModifyIndex: e.eval.JobModifyIndex, TriggeredBy: model.TriggerFailedFollowUp,
			Status: model.EvalPending, PreviousEval: e.eval.ID,
			StatusDescription: fmt.Sprintf("tries again %s after evaluation %s failed", FollowUpDelay, e.eval.ID),
			WaitUntil:         now.Add(FollowUpDelay).UTC(), CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(),
		}
		failed := change(e.eval, now, model.EvalFailed,
			fmt.Sprintf("given up after %d attempts: %s", e.eval.Attempts, why))
		failed.NextEval = follow.ID
		cmds = append(cmds, proposal.Of(&fsm.UpsertEvals{Evals: []*model.Evaluation{failed, follow}}))
	}
	return cmds
}

// wake makes blocked evaluations pending that a change could help.
func (b *Broker) wake(now time.Time, evals []*model.Evaluation) []*model.Evaluation {
	if b.paused {
		return evals
	}
	for _, e := range b.blocked.woken(MaxWakes, b.idle) {
		c := change(e.eval, now, model.EvalPending, "")
		c.Attempts, c.WaitUntil = 0, time.Time{}
		evals = append(evals, c)
	}
	return evals
}

// change is a copy of eval with another status.
func change(eval *model.Evaluation, now time.Time, status, description string) *model.Evaluation {
	c := *eval
	c.Status, c.StatusDescription, c.ModifyTime = status, description, now.UnixNano()
	return &c
}

// commands packs evaluations into as few commands as their limit allows.
func commands(evals []*model.Evaluation) []fsm.Command {
	var cmds []fsm.Command
	for len(evals) > 0 {
		n := min(len(evals), MaxCommandEvals)
		cmds = append(cmds, proposal.Of(&fsm.UpsertEvals{Evals: evals[:n]}))
		evals = evals[n:]
	}
	return cmds
}

// next is when to step again though nothing is observed.
func (b *Broker) next() time.Time {
	var at time.Time
	for _, e := range []*entry{b.delayed.first(), b.running.first()} {
		if e != nil && (at.IsZero() || e.due.Before(at)) {
			at = e.due
		}
	}
	return at
}

// Deliver hands out up to room ready evaluations; each is out until its row
// changes. They are immutable.
func (b *Broker) Deliver(now time.Time, room int) []*model.Evaluation {
	if b.paused {
		return nil
	}
	var out []*model.Evaluation
	for len(out) < room {
		e := b.ready.first()
		if e == nil {
			break
		}
		b.ready.remove(e)
		q := e.job
		q.head, q.running = nil, e
		b.move(e, placeRunning)
		e.due = now.Add(AnswerTimeout)
		b.running.add(e)
		out = append(out, e.eval)
	}
	return out
}
