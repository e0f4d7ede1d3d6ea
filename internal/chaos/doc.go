// Package chaos has a cluster of real agents suffer faults at random while it is
// written to and read from, and checks afterwards that nobody could have told.
//
// Contract: a Cluster is servers and clients of package faults, each in a network
// namespace of its own. An Injector does one fault after the other to it, chosen
// by a seed; a Workload of clients registers and reads jobs through all servers
// and records what it saw; watchers look at state hashes and tasks meanwhile.
//
// What is checked:
//
//   - linearizability: each job is a register with a check-index. Writes,
//     compare-and-set writes and reads in default and consistent mode must be
//     explained by one order (porcupine). A write without an answer may have
//     happened or not, at any later time, but once. Log indexes rise in that order.
//   - stale reads: per server and life of its process, they never go back.
//   - acknowledged writes are neither lost nor doubled: no value has two indexes, no
//     job has two versions of a value.
//   - servers at the same index have the same state hash.
//   - tasks keep their processes, and none is left at the end.
//
// A violation leaves the history as text and porcupine's drawing of it in files,
// whose paths are printed with the seed. Real processes do not replay exactly: the
// seed repeats the faults, not their timing to the packet.
//
// Example:
//
//	make soak MINUTES=10
//	go test ./internal/chaos -run TestLinearizable -seed 42  (root)
package chaos
