package consensus

// Peer is a server as gossip shows it, for bootstrap.
type Peer struct {
	// ID is the server id, Addr its rpc address (host:port).
	ID   string
	Addr string
	// Expect is its bootstrap_expect, zero when not given.
	Expect int
	// Bootstrapped is true when it has a raft configuration already.
	Bootstrapped bool
	// NonVoter servers do not count for bootstrap.
	NonVoter bool
}

// Server is a member of the raft configuration.
type Server struct {
	ID     string
	Addr   string
	Voter  bool
	Leader bool
}
