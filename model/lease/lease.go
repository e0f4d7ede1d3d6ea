// Package lease is the fence between the servers and a node that they cannot
// hear: the rules by which the node knows that its lease is over before the
// servers replace its work. Pure: times are arguments.
//
//	node      sent ────────────── TTL − margin ──► over: it knows, and stops what
//	            │                                  is to stop after so long
//	server      └─► received ──────── TTL ───────────────► may be taken down ──► replaced
//
// Contract and invariants:
//
//   - A node counts from when it sent the newest renewal that was confirmed; the
//     leader from when it received that renewal, which is later.
//   - Only the word on a renewal confirms a lease, and says how long it lasts: a
//     registration does not extend it. How long is the leader's to say, by the number
//     of nodes; one that has just come to lead waits for the longest (Longest).
//   - Clocks may differ in pace by MaxDrift each, and still the node's lease ends
//     first. Neither clock may be one that is set, or stands still while the
//     machine sleeps.
//   - A group that its node stops after some time without a lease is replaced when
//     its node has been down for GoneAfter, which contains the time that stopping takes.
//
// Example:
//
//	held.Sent(seq, now)            // when the renewal goes out
//	held.Confirmed(seq, ttl)       // when the servers' word on it is back
//	if held.Over(now) { ... }
package lease

import (
	"math"
	"time"

	"github.com/steppe-project/steppe/model"
)

const (
	// TTL is how long a lease lasts. Nodes renew three times in it (Interval), and a
	// restarted agent is back long before, so its tasks stay; what a lost
	// machine ran is elsewhere within ten seconds even if gossip stays silent.
	TTL = 2750 * time.Millisecond
	// manySessions of one server are renewed less often: of each renewal's cost most
	// is waking up for it, and a server of thousands does little else.
	manySessions = 1024
	// manyNodes of a region have leases of twice the length: ten thousand would keep
	// more than a core busy with nothing else.
	manyNodes = 4096
	// MaxDrift is by which share a clock may run too fast or too slow. Quartz
	// is a thousand times better, virtual machines under load are not always.
	MaxDrift = 0.05
	// marginShare of a lease is what the node counts less than the servers. With
	// both clocks off by MaxDrift, (1 − 1/8)/(1 − 0.05) is still below 1/(1 + 0.05).
	marginShare = 8
	// driftShare of a long time is added before the servers take a group for
	// stopped: clocks that differ by minutes a day were seen, more were not.
	driftShare = 128
	// maxSent bounds the renewals whose confirmation is awaited.
	maxSent = 64
	// ending is what it takes from the kill of a task to its end.
	ending = time.Second
	// told is until a node that is back has heard what it is to stop.
	told = 2 * time.Second
)

// Never is how long a lease has not been confirmed that never was.
const Never = time.Duration(math.MaxInt64)

// Margin is what a node counts less than the servers.
func Margin(ttl time.Duration) time.Duration { return ttl / marginShare }

// Interval is how often a node renews, by how many sessions its server has: a third
// of the lease, half of it where they are many.
func Interval(ttl time.Duration, sessions int) time.Duration {
	if sessions > manySessions {
		return ttl / 2
	}
	return ttl / 3
}

// Lasts is how long a lease lasts that is renewed now, in a region of so many nodes.
func Lasts(ttl time.Duration, nodes int) time.Duration {
	if nodes > manyNodes {
		return 2 * ttl
	}
	return ttl
}

// Longest is how long a lease may last that another leader confirmed, when there
// were more nodes perhaps.
func Longest(ttl time.Duration, nodes int) time.Duration { return Lasts(ttl, 2*nodes) }

// Until is when a lease ends for the servers that was renewed at a time.
func Until(received time.Time, ttl time.Duration) time.Time { return received.Add(ttl) }

// Held is a node's own lease.
type Held struct {
	ttl  time.Duration // of the newest confirmed renewal; 0: TTL
	says time.Duration // how long leases last, by the session's server
	from time.Time     // when the newest confirmed renewal was sent; zero: none was
	sent []sending     // renewals whose confirmation is awaited, oldest first
}

type sending struct {
	seq uint64
	at  time.Time
}

// Since makes a lease that was last confirmed for a renewal sent at a time, for ttl
// (0: TTL), as an earlier run of the agent knew.
func Since(from time.Time, ttl time.Duration) Held { return Held{from: from, ttl: ttl} }

// Begin forgets what was sent: a new session counts its renewals anew. ttl is
// what its server says of leases; what was confirmed before does not last longer by it.
func (h *Held) Begin(ttl time.Duration) { h.says, h.sent = ttl, nil }

// Sent notes a renewal that goes out.
func (h *Held) Sent(seq uint64, at time.Time) {
	h.sent = append(h.sent, sending{seq, at})
	if len(h.sent) > maxSent {
		h.sent = h.sent[1:]
	}
}

// Confirmed takes in the servers' word on a renewal, and on all before it: they last
// for ttl, or for what the session's server said if that is 0. It tells whether
// there is a newer one now.
func (h *Held) Confirmed(seq uint64, ttl time.Duration) bool {
	if ttl <= 0 {
		ttl = h.says
	}
	later := false
	for len(h.sent) > 0 && h.sent[0].seq <= seq {
		if h.sent[0].at.After(h.from) {
			h.from, h.ttl, later = h.sent[0].at, ttl, true
		}
		h.sent = h.sent[1:]
	}
	return later
}

// From is when the newest confirmed renewal was sent; zero: none was.
func (h *Held) From() time.Time { return h.from }

// Silent is for how long the lease has not been confirmed.
func (h *Held) Silent(now time.Time) time.Duration {
	if h.from.IsZero() {
		return Never
	}
	return max(now.Sub(h.from), 0)
}

// TTL is how long the servers said that the newest confirmed renewal lasts.
func (h *Held) TTL() time.Duration {
	if h.ttl <= 0 {
		return TTL
	}
	return h.ttl
}

// Lasts is how long the node counts on a confirmed renewal.
func (h *Held) Lasts() time.Duration { return h.TTL() - Margin(h.TTL()) }

// Over tells whether the servers may take the node down from now on.
func (h *Held) Over(now time.Time) bool { return h.Silent(now) >= h.Lasts() }

// StopAfter is after how long without a confirmed lease a node stops an
// allocation of the group by itself, unless its lease lasts longer. 0 is never.
func StopAfter(g *model.TaskGroup) time.Duration {
	after := time.Duration(0)
	switch {
	case g == nil:
	case g.Disconnect != nil && g.Disconnect.StopOnClientAfter > 0:
		after = g.Disconnect.StopOnClientAfter
	case g.StopAfterClientDisconnect > 0:
		after = g.StopAfterClientDisconnect
	}
	if after > 0 {
		after = max(after, TTL-Margin(TTL))
	}
	return after
}

// GoneAfter is for how long a node has to be down before an allocation of the
// group may be replaced; 0 is at once. What its poststop tasks do is not waited for.
func GoneAfter(g *model.TaskGroup) time.Duration {
	after := StopAfter(g)
	if after == 0 {
		return 0
	}
	return after + after/driftShare + Stopping(g)
}

// EndAfter is for how long a node has to be back before an allocation of the group
// may be replaced that was given up as lost: what a node stops by itself it may still
// be stopping, told by the servers now; 0 is at once.
func EndAfter(g *model.TaskGroup) time.Duration {
	if StopAfter(g) == 0 {
		return 0
	}
	return told + Stopping(g)
}

// Stopping is how long it takes until all but poststop tasks have ended.
func Stopping(g *model.TaskGroup) time.Duration {
	// The leader ends first, then the main tasks, then the sidecars.
	var leader, mains, sidecars time.Duration
	for _, t := range g.Tasks {
		end := &mains
		switch {
		case t.Leader:
			end = &leader
		case t.Lifecycle != nil && t.Lifecycle.Sidecar:
			end = &sidecars
		}
		*end = max(*end, t.KillTimeout+ending)
	}
	return leader + mains + sidecars
}
