// Package gossip is membership: one memberlist pool of all agents of a region,
// servers and clients alike, and one of the servers of all regions (WAN), both
// encrypted when a key is given.
//
// Contract and invariants:
//
//   - An agent is one member, known by its id. Its Meta is at most MaxMetaBytes
//     encoded, versioned, and unknown later fields are skipped.
//   - The address of any one agent suffices to join.
//   - Members returns the whole known picture; a Subscription first delivers a
//     join for every member known, then changes. Its queue is bounded by the
//     number of members, because changes of one member that nobody read yet are
//     merged to the latest: no state is ever missed, passing states may be.
//   - Failed members are remembered and their addresses tried again, so that
//     both sides of a healed partition find each other.
//   - Members with another key, label (region, or WAN) or meta version are refused
//     and the log says why in words. Who knocks at the wrong pool is told which one
//     it is.
//   - A member of a region's pool is of that region; in the WAN pool only servers
//     are members, and what they say of their region is for requests to it alone.
//
// Example:
//
//	pool, err := gossip.New(gossip.Config{ID: id, Bind: "10.0.0.5:4648", Meta: meta, Keys: keys, Logger: log})
//	go pool.Run(ctx)
//	n, err := pool.Join(ctx, []string{"10.0.0.6:4648"})
//	sub := pool.Subscribe()
//	defer sub.Close()
//	events, err := sub.Next(ctx)
package gossip
