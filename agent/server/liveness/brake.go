package liveness

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

// The brake: when a large share of the nodes vanishes together, it is more likely
// that the servers are cut off from a part of the network than that so many
// machines are gone, and replacing all at once would bury those that are left.
//
//	          vanished >= threshold          none is held any more, or released
//	   off ───────────────────────────► on ───────────────────────────────────► off
//	lost nodes are down at once          lost nodes are disconnected: nothing new is
//	                                     placed on them, nothing on them is replaced;
//	                                     Rate of them a minute are given up (down)
//
// It keeps nothing of its own that matters: a held node is one whose status is
// disconnected, so that a new leader goes on where the last one ended, and all
// servers can tell that the brake is on. A held node that comes back registers,
// and is ready as if nothing had been. The others stay held when the first are
// back: they are on their way, too.

const (
	// lossWindow is in which time nodes vanish together.
	lossWindow = 5 * time.Minute
	// releasedFor is how long a release holds: what vanished with the others may
	// come to notice later.
	releasedFor = 10 * time.Minute
	// suspectShare of a lease without a renewal makes a suspect: nodes renew
	// three times in a lease, and renewals are gathered for an eighth of it.
	suspectShare = 2
)

// brake decides. All its times are the cluster's.
type brake struct {
	held  map[string]time.Time // disconnected nodes, since when
	lost  map[string]time.Time // nodes that are down, since when
	on    bool
	since time.Time // when it came on
	next  time.Time // when the next held node is given up; zero: no idea
}

func newBrake() brake {
	return brake{held: make(map[string]time.Time), lost: make(map[string]time.Time)}
}

// note takes in a node as it is now.
func (b *brake) note(n *model.Node) {
	b.forget(n.ID)
	since := time.Unix(n.StatusUpdatedAt, 0)
	switch n.Status {
	case model.NodeStatusDisconnected:
		b.held[n.ID] = since
		b.on = true
		if b.since.IsZero() || since.Before(b.since) {
			b.since = since
		}
	case model.NodeStatusDown:
		b.lost[n.ID] = since
	}
}

func (b *brake) forget(id string) {
	delete(b.held, id)
	delete(b.lost, id)
}

// census counts the nodes that are not down.
type census struct {
	all     int
	over    int      // whose lease is over
	suspect int      // those, and those who are late
	gone    []string // whose loss is sure, sorted
}

// count counts a node whose lease lasts for so long.
func (c *census) count(lasts, ttl time.Duration) {
	c.all++
	if lasts <= 0 {
		c.over++
	}
	if lasts <= ttl/suspectShare {
		c.suspect++
	}
}

// verdict is what is to be done.
type verdict struct {
	down []string // to be taken down
	hold []string // to be noted as disconnected
	why  string   // of hold
	look time.Time
}

// judge decides on the nodes whose loss is sure.
func (b *brake) judge(now time.Time, c *census, cfg *model.SchedulerConfiguration) verdict {
	var set model.MassLossConfig
	if cfg != nil {
		set = cfg.MassLoss
	}
	set = lease.BrakeSettings(set)
	lately := b.lately(now)
	all := c.all + lately
	if len(c.gone) == 0 && len(b.held) == 0 {
		b.on, b.since, b.next = false, time.Time{}, time.Time{}
		return verdict{}
	}
	released := set.ReleasedAt != 0 && now.Before(time.Unix(0, set.ReleasedAt).Add(releasedFor))
	many := lease.Together(set, c.over+lately, all) && !released
	switch {
	case b.on && (released || !many && len(b.held) == 0):
		b.on, b.since, b.next = false, time.Time{}, time.Time{}
	case !b.on && many:
		b.on, b.since = true, now
	case !b.on && !released && lease.Together(set, c.suspect+lately, all):
		// Those that are late are back or over within half a lease; nobody is
		// given up before it is known how many they are.
		return verdict{look: now.Add(grain)}
	}
	if !b.on {
		return verdict{down: c.gone}
	}
	return b.restrain(now, c, set, fmt.Sprintf("held: %d of %d nodes vanished together", c.over+lately, all))
}

// lately is how many nodes were taken down within the window, or since the brake
// is on.
func (b *brake) lately(now time.Time) int {
	from := now.Add(-lossWindow)
	if b.on && b.since.Before(from) {
		from = b.since
	}
	n := 0
	for _, at := range b.lost {
		if at.After(from) {
			n++
		}
	}
	return n
}

// restrain holds the lost nodes, and gives them up one after the other.
func (b *brake) restrain(now time.Time, c *census, set model.MassLossConfig, why string) verdict {
	v := verdict{why: why}
	var waiting []string
	for _, id := range c.gone {
		if _, held := b.held[id]; held {
			waiting = append(waiting, id)
		} else {
			v.hold = append(v.hold, id)
		}
	}
	if set.Rate < 0 {
		return v
	}
	pause := time.Minute / time.Duration(set.Rate)
	if b.next.IsZero() {
		b.next = now.Add(pause)
	}
	slices.SortStableFunc(waiting, func(x, y string) int { return cmp.Or(b.held[x].Compare(b.held[y]), cmp.Compare(x, y)) })
	for ; len(waiting) > 0 && !now.Before(b.next); waiting = waiting[1:] {
		v.down = append(v.down, waiting[0])
		b.next = b.next.Add(pause)
	}
	// Turns that nobody waited for are not saved up.
	if b.next.Before(now) {
		b.next = now.Add(pause)
	}
	v.look = b.next
	return v
}
