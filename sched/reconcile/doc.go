// Package reconcile compares what should exist of a job with what does, and
// says what to stop, to update, to place now and to wait for. It knows nothing of
// where instances go.
//
//	           ┌─ node down ──────────► lost, placed anew at once, or when the node
//	           │                        has stopped it (stop_on_client_after)
//	           ├─ asked to move ──────► stopped, placed anew
//	allocation ┼─ failed ─────────────► placed anew now, later, or never (reschedule)
//	of a name  ├─ older job version ──► kept in place, or replaced a few at a time
//	           ├─ name not wanted ────► stopped
//	           └─ else ───────────────► ignored
//	name without any ─────────────────► placed
//
// Contract and invariants:
//
//   - Names are <job>.<group>[0..count-1]; of each name at most one allocation is
//     kept, and free names are filled lowest first. Scaling down stops the
//     highest. System jobs have one instance named [0] per node and group.
//   - A batch instance that completed is never run again for the same
//     specification; completed ones of an earlier version count as long as the
//     change would not have restarted a running one.
//   - At most update.max_parallel instances of an older version are given up for
//     a replacement while earlier replacements are not yet healthy; a failed
//     replacement pauses the roll.
//   - Nothing here has an effect; equal inputs give equal outputs.
//
// Example:
//
//	out := reconcile.Job(reconcile.Input{Job: job, Allocs: allocs, Node: state.Node, Now: now, Eval: eval, InPlace: fits})
//	for _, g := range out.Groups { for _, p := range g.Places { ... } }
package reconcile
