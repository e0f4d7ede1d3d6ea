// Package alloc runs the allocations that the servers assign to this node.
//
// A Set takes assignments, keeps them on disk and owns one Runner for each. A
// Runner is one goroutine that owns the statuses of its tasks: it asks the pure
// functions wishes (what each task should do, given the others) and task.Step
// (what that means now), and lets short-lived goroutines carry out the actions.
//
// Contract and invariants:
//
//   - An assignment is on disk before a task of it starts, a task's handle before
//     the task is reported running, an exit before the driver forgets the task.
//   - Nothing but the servers' wish, the job's own rules or an operator's request
//     stops a task: not the loss of servers, driver or agent.
//   - A client status only moves forward: pending, running, complete or failed. A
//     terminal one is reported when every task has ended, not before.
//   - What ends is destroyed in its driver before the same task starts again.
//   - An allocation that needs what an ending one on this node still holds (its
//     predecessor, ports, cores) starts when that has ended.
//
// Example:
//
//	set := alloc.NewSet(alloc.Deps{DB: store, Drivers: drivers, Reports: queue, ...})
//	go set.Run(ctx)
//	err := set.Apply(ctx, assignment)
package alloc
