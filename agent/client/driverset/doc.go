// Package driverset keeps the drivers of a node running: one process for each
// driver, whatever number of tasks it has.
//
// Contract and invariants:
//
//   - Get returns a driver whose process runs, configured, and waits while it is
//     being started. Driver.Gone closes when that process has died; whoever uses
//     it then asks Get again, recovers its tasks and goes on.
//   - A process that died is started again at once, and with growing pauses when
//     it keeps dying. Tasks do not live in driver processes and do not notice.
//   - How to reach a running process is kept by Config.Remember, so that an agent
//     that was restarted finds it again. Stop ends the processes, not the tasks.
//   - A driver that is away for less than healthGrace stays healthy for others.
//
// Example:
//
//	set := driverset.New(driverset.Config{Launchers: launchers, Logger: log})
//	go set.Run(ctx)
//	driver, err := set.Get(ctx, "raw_exec")
//	handle, _, err := driver.StartTask(ctx, taskConfig)
package driverset
