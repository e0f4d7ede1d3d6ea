// Package task decides, step by step, what happens to one task on its node.
//
// Step is a pure function: from what is (Status), what is wanted (Desired),
// what was just seen (Observed) and the time, it makes the next Status and at
// most one Action for the shell (package alloc) to carry out. It has no clock,
// no dice and no goroutine; jitter comes from a seed.
//
//	Waiting ──gate opens──▶ Starting ──started──▶ Running ──stop──▶ Draining
//	   │                     ▲    │                │   │               │
//	  stop         delay over│    │failed     ended│   │restart    delay over
//	   ▼                     │    ▼                │   ▼               ▼
//	 Dead ◀──policy says no── Delaying ◀───────────┘  Killing ◀────────┘
//	   ▲                         ▲                        │
//	   └─────────────────────────┴────────ended───────────┘
//
// Invariants:
//
//   - Dead is final, unless a restart of all tasks is asked for.
//   - At most one Start is outstanding, and none while the task runs.
//   - A task that is to stop is never started again.
//   - Within one restart interval a task restarts at most Attempts times by
//     itself; in mode delay the next restart comes when the interval is over.
//
// Example:
//
//	status, action := task.Step(status, desired, task.Observed{Kind: task.Exited, Exit: result}, now)
//	switch action.Verb {
//	case task.VerbStart: // prepare and start, then feed Started or StartFailed
//	case task.VerbKill: // stop it within action.Timeout, then feed Exited
//	}
package task
