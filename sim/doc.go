// Package sim runs a whole cluster in one goroutine on virtual time, hurts it,
// and checks that it keeps its promises.
//
//	users ──► admit ──► ledger ──► fsm on every server ──► checks
//	            ▲          ▲ broker, workers, planner, liveness, gc: the leader's
//	            │          └──────────────────────────────────────┘
//	nodes ◄── sessions ◄── changes            (alloc.Core, task.Step, report.Queue)
//
// Production code: model, sched, fsm, the leader's components, admission,
// planner, workers, and on nodes alloc.Core, alloc.Judge, task.Step and
// report.Queue. Simulated: Raft (ledger), the network, gossip, sessions, drivers,
// disks and clocks.
//
// Contract and invariants:
//
//   - One seed is one run: the same binary repeats it exactly. Nothing in a run
//     reads the machine's clock, its dice, or the order of a map.
//   - Faults stop some time before the end; then everything has to converge.
//   - A violated promise ends the run with an error that names it.
//
// What is checked: see check.go. What is done to the cluster: see faults.go.
//
// Example:
//
//	err := sim.Run(sim.Config{Seed: 4711})
package sim
