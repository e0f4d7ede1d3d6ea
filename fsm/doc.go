// Package fsm is the replicated state machine: commands, what each does to the
// state, and the encoding of log entries and snapshots.
//
// Contract. FSM.Apply is a function of the state and the entry: no clock, no
// dice, no input or output. Times come with the entry, ids with the commands.
// An entry carries many commands; each is one transaction, all or nothing, with
// an outcome of its own; all of an entry become visible together. Servers that
// applied the same log have the same state: state.Snapshot.Hash agrees.
//
// Invariants. Kinds and the formats of entries and snapshots are never reused;
// what a newer version wrote is a FatalError, never skipped. What came with a
// feature level is refused before the cluster has reached it. Observed status
// only moves forward. Rows are re-checked for existence only: whether a plan
// fits is the planner's business.
//
// Example:
//
//	cmd, err := fsm.NewCommand(&fsm.RegisterJob{Job: job, Eval: eval})
//	data, err := fsm.EncodeEntry(now.UnixNano(), []fsm.Command{cmd})
//	// ... replicate data as log entry number index ...
//	entry, err := fsm.DecodeEntry(index, term, data)
//	out := machine.Apply(entry)[0]
//	result := out.Value.(*fsm.JobResult)
package fsm

//go:generate bash ../internal/check/msgp.sh

//msgp:ignore Kind Command Entry Outcome FatalError FSM tx kind planApply entryReader
