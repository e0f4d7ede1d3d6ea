// Package broker decides which evaluation is worked on next. It is a pure
// component: it observes evaluations, nodes and allocations, and proposes the
// changes of evaluations that follow from waiting, failing and being unblocked.
//
//	            Observe(pending)                  Deliver
//	    ┌──────────────┐  due   ┌─────────┐ head  ┌─────────┐
//	───►│ delayed      │───────►│ waiting │──────►│ running │──► worker ──► planner
//	    │ WaitUntil,   │        │ of its  │       │ at most │
//	    │ backoff      │        │ job     │       │ one/job │──┐ no news in time:
//	    └──────▲───────┘        └──┬──────┘       └─────────┘  │ pending, one
//	           │ not the newest:   ▼                           │ attempt more
//	           │              canceled                         │
//	           └───────────────────────────────────────────────┘
//	    ┌──────────────┐ resources freed, node new or changed
//	    │ blocked      │────────────────────────────────────────► pending
//	    └──────────────┘
//
// Contract and invariants:
//
//   - At most one evaluation of a job is out at any time; it is out until its
//     row changes. A worker never answers the broker: the store does.
//   - Of several waiting evaluations of one job only the newest is delivered,
//     the others are canceled in one command: a storm of a thousand node changes
//     costs each job one pass.
//   - Ready evaluations leave by priority, then by age.
//   - Every pending evaluation is delivered in the end, or is canceled for a
//     newer one, or has failed MaxAttempts times: then it fails with words and
//     a follow-up tries again later (dead letter).
//   - A blocked evaluation wakes only for a change that could help: a node that
//     became ready or changed, or resources given back, in a computed class that
//     is not known to be unfit. Changes since the snapshot it was decided on count.
//
// Example:
//
//	b := broker.New()
//	b.Reset(snap)
//	b.Observe(changes)
//	cmds, wake := b.Step(now, snap)
//	for _, eval := range b.Deliver(now, room) { ... }
package broker
