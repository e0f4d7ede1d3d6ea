// Package e2e tests the built binary end to end: command lines as people type
// them against real agents. The scripts are command/testdata/script (all of them
// share one dev agent and run at once, each with job names of its own) and
// command/testdata/script-own (for what changes a whole cluster: each starts its
// own agents).
//
// Besides the commands of testscript, scripts have:
//
//	code N PROGRAM ARGS...            run it; it must exit with N
//	until PATTERN PROGRAM ARGS...     run it again and again until its output matches
//	set NAME PROGRAM ARGS...          run it; its output becomes a variable
//	agent NAME [-dev] [FILE]          start an agent (again) with a configuration; it answers at $STEPPE_ADDR
//	end NAME | crash NAME              end an agent by SIGINT | by SIGKILL
//
// and the conditions [container] (the exec driver works here) and [cgroup1].
//
// An agent's ports are chosen when it is first started and are $PORT_HTTP,
// $PORT_RPC, $PORT_SERF of the last one. Nothing sleeps; what has to happen is
// waited for, generously.
package e2e
