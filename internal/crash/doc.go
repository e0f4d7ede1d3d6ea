// Package crash is the matrix of crashes: every system call by which a server, a
// client or a task's shim changes its files × what can go wrong there.
//
// A scripted workload (Work) runs in a process of its own, whose changing system
// calls below its data directory are handed to the test one by one (seccomp user
// notification). Each is a fault point. The workload says what it was acknowledged;
// those words are in the same order as the calls.
//
//	workload ──system call──► Watch: let it pass │ kill │ half of it, then kill │ EIO │ ENOSPC
//	    │                        │
//	    └──"ok 12"───────────────┴──► Recording ──► Disk ──► images after a loss of power
//	                                                              │
//	                              Look: a fresh process opens ◄───┘ and tells what is there
//
// Kinds of faults:
//
//   - kill: the process is killed at the call, which does not happen. That a kill
//     after the call is survived, the next point shows.
//   - torn: half of a write happens, then the process is killed.
//   - eio: the call fails; the workload goes on as it can. After a failed fsync what
//     it should have written is taken for lost, as Linux may drop it.
//   - enospc: for half a second from the call on, all that need space fail.
//   - power-lost, power-names, power-mixed: the power fails after the call. Nothing
//     that no fsync covers survives; or all names do and no contents; or a random
//     part of both: any sectors of any writes, and a prefix of the changes of names.
//     A name survives only by an fsync of its directory: the strictest reading of
//     POSIX; the file systems in use keep more.
//
// Invariants that Judge checks: what was acknowledged is there exactly once, what
// was not tried is not, or the fresh process refuses in words; and it works on.
//
// Example:
//
//	rec, err := Watch(ctx, Server, dir, Fault{At: 17, Kind: Kill})
//	seen, err := Look(ctx, Server, dir)
//	err = Server.Judge(rec.Said(), seen)
package crash
