// Package mock is the driver "mock_driver": tasks that do what their job file
// says and nothing else, for tests of everything above a driver.
//
// Contract: plugins.Driver with signals and exec, in process: no shim, no child
// process, no privilege. A task ends by its run_for, by StopTask (kill_after
// later), or by nothing. Where LogRotation is set, stdout_string is written to
// the first log file, as often as stdout_repeat says.
//
// Invariants: a task's outcome depends on its configuration and on the calls
// alone; RecoverTask resumes a task from its handle, so that one whose run_for
// passed meanwhile reports the same exit as if the driver had lived.
//
//	task "sleep" {
//	  driver = "mock_driver"
//	  config { run_for = "10s", exit_code = 3 }
//	}
package mock
