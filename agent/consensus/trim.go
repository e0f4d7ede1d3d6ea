package consensus

import "github.com/hashicorp/raft"

// trim takes out of a leader's message what this server's snapshot has; first is
// where its own log begins, 0 for an empty one.
//
// A leader that is refused, as by a full disk, goes back entry by entry. Once it is
// below a log that begins with a snapshot, raft's follower looks for the entries
// there, does not find them, refuses for ever, and never gets anything again. They
// are committed, and so the same here and there.
func trim(rpc raft.RPC, first uint64) raft.RPC {
	req, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok || len(req.Entries) == 0 || req.Entries[0].Index >= first {
		return rpc
	}
	n := 0
	for n < len(req.Entries) && req.Entries[n].Index < first {
		n++
	}
	short := *req
	// Nothing is known here of the entry before the first; 0 is not compared.
	short.Entries, short.PrevLogEntry, short.PrevLogTerm = req.Entries[n:], 0, 0
	rpc.Command = &short
	return rpc
}
