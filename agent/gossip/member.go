package gossip

import (
	"errors"
	"time"
)

// Meta is what a member tells about itself in every gossip message.
type Meta struct {
	// Name is the agent's name for people, "n1"; not unique.
	Name string
	// Region and Datacenter place the agent.
	Region     string
	Datacenter string
	// Server and Client are the agent's roles; a development agent has both.
	Server bool
	Client bool
	// RPCAddr is host:port of the server's rpc and raft, empty on a client.
	RPCAddr string
	// HTTPAddr is host:port of the agent's HTTP API, empty when not served.
	HTTPAddr string
	// WANAddr is host:port of the server's gossip with other regions, empty
	// without. Servers of its region join it there.
	WANAddr string
	// Build is the agent's version, "1.2.3".
	Build string
	// Protocol is the version of the agents' rpc protocol spoken.
	Protocol int
	// Expect is the server's bootstrap_expect, zero when not given.
	Expect int
	// Bootstrapped is true when the server has a raft configuration.
	Bootstrapped bool
	// NonVoter is true for a server that shall not vote.
	NonVoter bool
	// Zone is the server's redundancy zone, Upgrade the version that its operator
	// gave it for migrations; empty without.
	Zone    string
	Upgrade string
	// Level is the newest feature level that the server understands, 0 from agents
	// that know no levels; Active is that of its state, 0 while it is not known.
	Level  int
	Active int
	// Holds is true for a server whose operator wants feature levels to be
	// activated by hand.
	Holds bool
}

// federates tells what a member lacks to be one of the WAN pool.
func (m Meta) federates() error {
	if !m.Server || m.RPCAddr == "" || m.Region == "" {
		return errors.New("only servers that tell their region and rpc address federate")
	}
	return nil
}

// Status is what is known of a member's life.
type Status string

// The statuses.
const (
	StatusAlive  Status = "alive"
	StatusFailed Status = "failed"
	StatusLeft   Status = "left"
)

// Member is one agent of the region.
type Member struct {
	// ID is the agent's id: raft server id and node id.
	ID string
	// Addr is host:port of its gossip.
	Addr   string
	Status Status
	Meta   Meta
	// Since is when the status was reached, by the local clock.
	Since time.Time

	leaving time.Time // when it announced to leave
}

// EventType says what happened to a member.
type EventType string

// The event types.
const (
	EventJoin   EventType = "join"   // new, or back from failed or left
	EventUpdate EventType = "update" // its Meta or address changed
	EventFail   EventType = "fail"   // gossip is sure that it is gone
	EventLeave  EventType = "leave"  // it left, or was forced out
	EventReap   EventType = "reap"   // failed or left for so long that it is forgotten
)

// Event is a change of one member; Member is its state after it.
type Event struct {
	Type   EventType
	Member Member
}
