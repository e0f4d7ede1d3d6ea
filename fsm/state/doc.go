// Package state is the store of everything the cluster knows: typed tables with
// indexes, immutable snapshots of them, watches, and a feed of changes.
//
// Contract. Readers take a Snapshot: it costs nothing, never changes and needs
// no lock. The replicated state machine (package fsm) is the only writer: it
// opens one Txn for each log entry, runs each command in it with Do (all or
// nothing) and publishes the result. Subscribers then get every Change in
// order without a gap; watches wake only when their topic changed.
//
// Invariants. Rows are immutable once in the store. Every index of a table
// holds the same rows. A job's Status and its JobSummary always agree with the
// allocations, evaluations and child jobs that exist. Equal logs make equal
// states: Hash agrees.
//
// The indexes are persistent B-trees of row pointers: with several indexes on a
// million allocations, a radix tree with a channel and a key in each node
// (go-memdb) would need four times the memory of the rows themselves.
//
// Example:
//
//	snap := store.Snapshot()
//	for a := range snap.AllocsByJob("default", "web") {
//		fmt.Println(a.Name, a.ClientStatus)
//	}
package state
