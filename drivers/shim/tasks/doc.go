// Package tasks is what drivers that hold their tasks by shims have in common:
// the register of tasks, and all calls of the driver contract but the start.
//
// Contract: a driver embeds a Set, starts tasks itself and adds them; the Set
// answers WaitTask, StopTask, DestroyTask, InspectTask, SignalTask, TaskStats,
// TaskEvents and RecoverTask. A Set is safe for concurrent use.
//
// Invariants: a task is known from its start or recovery until DestroyTask; its
// exit is explained once, while its control group still tells why; nothing is
// kept on disk but the shim's own records, below the task's private directory
// (ControlDir), so that a task is also found again by allocation and name when
// its handle has been lost.
//
//	type Driver struct{ *tasks.Set }
//
//	t, err := shim.Start(ctx, cfg)
//	handle, err := d.Add(&tasks.Task{Config: c, Shim: t, Scope: scope})
package tasks
