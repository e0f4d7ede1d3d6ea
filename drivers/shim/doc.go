// Package shim holds each task with one tiny process that outlives the agent
// and the driver.
//
// Contract: Start runs a program under a shim and returns when the program has
// been executed, or with an error in words that tell what to change. The shim
// is the task's parent and the reaper of all its descendants. It pumps and
// rotates the logs and records the exit in its control directory, whoever else
// lives or dies. Load takes a task over again after any restart.
//
// Invariants:
//   - a task whose shim lives has exactly one exit record after its end, with
//     the true exit code, on disk before Wait returns;
//   - when a task's main process ends, its descendants are killed;
//   - when a shim is killed its task is killed too, and Wait reports it lost;
//   - process ids are only used together with start times (or as pidfds), so
//     a reused id is never signalled.
//
// The shim is the same binary, re-executed with the argument "__shim"; a C
// constructor takes over before the Go runtime starts. A program that imports
// this package therefore can run tasks without further set-up:
//
//	t, err := shim.Start(ctx, &shim.Config{Dir: dir, Path: "/bin/true", Args: []string{"true"}, WorkDir: "/"})
//	...
//	exit, err := t.Wait(ctx)
package shim
