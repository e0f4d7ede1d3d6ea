package liveness

import "time"

const (
	// minCrowd nodes that register within a TTL are a crowd, or one in crowdShare of
	// all where that is more.
	minCrowd   = 32
	crowdShare = 64
	// crowdPatience is how much longer than else nodes that gossip does not miss are
	// waited for while a crowd comes: ten thousand need about fifteen seconds.
	crowdPatience = 30 * time.Second
)

// crowd notices a storm: a server is gone and its nodes come to the others, each
// when its handshake's turn has come. Those that still wait have not failed.
type crowd struct {
	since time.Time // when count began
	count int
	until time.Time // it is a crowd until then
}

// note notes n registrations in a fleet of so many nodes.
func (c *crowd) note(at time.Time, n, nodes int, ttl time.Duration) {
	if at.Sub(c.since) > ttl {
		c.since, c.count = at, 0
	}
	c.count += n
	if c.count >= max(minCrowd, nodes/crowdShare) {
		c.until = at.Add(ttl)
	}
}

// patience is how much longer than else to wait for a node.
func (c *crowd) patience(now time.Time) time.Duration {
	if now.Before(c.until) {
		return crowdPatience
	}
	return 0
}
