// Package hook prepares a task: a chain of small steps turns what the job says
// and what the servers granted into the plugins.TaskConfig that its driver gets.
//
// Contract and invariants:
//
//   - Steps run in the order of Steps, each once per start of the task; the first
//     error ends the chain. Every step may run again after a crash.
//   - A step fills its part of Build.Config and touches nothing else outside the
//     allocation's directory.
//   - ${...} is replaced by one table of values (Env) everywhere: environment,
//     configuration, user, services. A name that the table does not have stays
//     as it is written, except in a driver's configuration, where it is an error.
//
// Example:
//
//	b := &hook.Build{Alloc: alloc, Job: job, Group: group, Task: task, Node: node, Dir: dir, Driver: driver}
//	err := hook.Prepare(ctx, b)
//	handle, _, err := driver.StartTask(ctx, b.Config)
package hook
