package rpc

// Router tells a server where the leader and the other servers are. Consensus
// and gossip know; the composition root joins them.
type Router interface {
	// Leader returns who leads now. changed is closed when that is superseded.
	// addr is "" when nobody is known to lead; self is true only when this
	// server leads and is ready to serve as leader.
	Leader() (addr string, self bool, changed <-chan struct{})
	// Servers returns the rpc addresses of the region's other live servers.
	Servers() []string
}
