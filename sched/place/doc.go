// Package place answers where instances can run. Fleet is the columnar view of
// all nodes and of what their allocations hold; an Ask is what one instance of
// a group needs; a Board is the working copy that one decision books on.
//
//	State.Fleet ──Fork──► Board ──Select(ask)──► Selector ──Next──► Choice
//	   shared by all       one decision           rank.Lanes of all  node + grant
//	                                              feasible nodes
//
// Contract and invariants:
//
//   - One feasibility function (Board.check over Ask and Fleet.fit) serves the
//     scheduler, the plan verifier and the remedies: they cannot disagree.
//   - What a node has left is derived from allocations. An allocation counts
//     until it is Terminal: one that the servers want stopped no longer counts,
//     though the node may not have ended it yet. So a replacement can be placed
//     into the room of the instance it replaces also when a cluster is full; the
//     node starts it only once its predecessor has ended.
//   - A Fleet has one owner that changes it. A Fork shares all chunks until
//     either side writes; a Fleet that was never written to since it was forked
//     may be forked and read by many goroutines at once.
//   - Affinities and spread blocks are parts of the score (rank.Mean); they keep no
//     node out and are not looked at by the verifier.
//   - The same fleet, ask and seed give the same choices.
//
// Example:
//
//	f := place.NewFleet()
//	f.UpsertNode(node)
//	f.UpsertAlloc(nil, alloc)
//	b := place.NewBoard(f.Fork(), place.Settings{Seed: 7})
//	s := b.Select(place.NewAsk(job, job.TaskGroups[0]))
//	choice := s.Next(nil) // choice.NodeID, choice.Resources; nil: see s.Metrics()
package place
