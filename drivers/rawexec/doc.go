// Package rawexec is the driver "raw_exec": it runs a program of the machine as
// it is, without any isolation, as the agent's user or another one.
//
// Contract: plugins.Driver with signals, exec and events. Disabled unless the
// agent's configuration enables it. A task and all its descendants live in
// control groups named after allocation and task, or, where there are none, are
// followed by the process tree; either way they end together.
//
// Invariants: no limit is enforced beyond a share of a busy processor; a task
// survives this process and is found again by its handle.
//
//	plugin "raw_exec" { config { enabled = true } }
//
//	task "web" {
//	  driver = "raw_exec"
//	  config { command = "/usr/bin/python3", args = ["-m", "http.server"] }
//	}
package rawexec
