// Package consensus hosts Raft: it turns commands into a replicated, durable,
// ordered log applied to a Machine, behind the Proposer interface.
//
// Contract and invariants:
//
//   - What Propose acknowledged is on the disks of a majority and survives.
//   - Waiting proposals share entries (group commit): one entry holds at most
//     MaxEntryBytes and MaxEntryCommands; while entries are in flight the next
//     one gathers. A lone proposal waits for nothing but its own commit.
//   - Entry times are stamped by the leader and never go back along the log,
//     whatever the clocks do.
//   - Leadership.Self is true only after the machine caught up with all earlier
//     terms, so leader components and ReadIndex start from the truth.
//   - One data directory serves one process (lock file) and refuses an older
//     binary (format file); see the folder datadir.
//
// Example:
//
//	host, err := consensus.Open(consensus.Config{ID: id, Addr: addr, Dir: dir, Streams: streams, Machine: machine, Logger: log})
//	go host.Run(ctx)
//	host.Bootstrap(peers)
//	outcomes, err := host.Propose(ctx, cmd)
package consensus
