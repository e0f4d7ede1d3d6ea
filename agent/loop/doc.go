// Package loop runs control loops on the leader.
//
// A Component is pure: it observes committed changes and decides on commands.
// The Runner is its shell: one goroutine per component subscribes to the store's
// feed, coalesces changes, steps, proposes, and steps again after failures. It
// runs while this server leads; every term of leadership begins with Reset, so a
// component keeps nothing across terms.
//
// Invariants:
//
//   - Calls of one component never overlap.
//   - Step sees a snapshot that includes everything observed, and its own earlier
//     commands that were applied.
//   - A step that proposes is followed by a step only when something changed, its
//     wake time came, or its proposal failed (after a backoff).
//
// Example:
//
//	runner := loop.New(loop.Config{Source: store, Proposer: host, Clock: loop.SystemClock{}, Logger: log})
//	err := runner.Run(leadershipCtx, drainer, periodic, collector)
package loop
