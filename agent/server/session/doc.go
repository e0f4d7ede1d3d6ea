// Package session holds the streams of the nodes that are connected to this
// server: registration, assignments, leases and reports.
//
//	node ──Register, Update──► leader        registered in the state
//	node ──Renew──► collected ──► leader     once per RenewInterval for all nodes
//	node ──Report─► newest per allocation ──► leader ──► acknowledged
//	state ──changes──► outbox ──► node       full set first, then deltas
//
// Contract and invariants:
//
//   - A node's first message is Register. Its assignments begin with a full set,
//     taken from a state that contains the registration; deltas follow in order.
//   - An allocation is assigned from its placement until both sides have ended
//     it, or it is collected; then its id is Removed: the servers have no more to
//     say on it, and what is left of it on the node may go. What a full set does
//     not name must not run.
//   - The outbox of a node is bounded: one that is too slow for its deltas gets a
//     full set instead.
//   - Reports of a node are merged to the newest per allocation while one is
//     being committed; an acknowledgement covers all up to its number.
//   - A renewal is acknowledged when the leader has it. A node that the leader
//     does not think alive is registered again by its server.
//   - One session a node: a new one ends the one before.
//
// Example:
//
//	hub := session.New(session.Config{Store: store, Caller: server.Caller(), ...})
//	hub.Register(server)
//	err := hub.Run(ctx)
package session
