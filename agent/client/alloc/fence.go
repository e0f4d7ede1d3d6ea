package alloc

import (
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/model/lease"
)

// holdPause is how often an allocation that must not start without a lease looks
// whether there is one again.
const holdPause = 250 * time.Millisecond

// fence is what the node's lease means to an allocation whose group has a policy
// for disconnection: the servers replace it after a time, so after a shorter one
// it has to stop, or must not begin. What has begun to stop goes on to.
func (c *Core) fence(o Order) (stop, hold bool) {
	begun := false
	for _, t := range c.tasks {
		if t.status.Fenced {
			return true, false
		}
		begun = begun || t.status.Phase != task.Waiting
	}
	after := c.stopAfter(o)
	if after == 0 || o.Silent < after {
		return false, false
	}
	return begun, !begun
}

// stopAfter is after how long without a confirmed lease the allocation has to stop:
// not while the lease lasts, however short the group's time is. 0 is never.
func (c *Core) stopAfter(o Order) time.Duration {
	after := lease.StopAfter(c.group)
	if after > 0 {
		after = max(after, o.Lasts)
	}
	return after
}

// fenceAt is when the fence may fall, or be lifted; zero for never.
func (c *Core) fenceAt(o Order, now time.Time) time.Time {
	after := c.stopAfter(o)
	stop, hold := c.fence(o)
	switch {
	case after == 0 || stop || c.Dead():
		return time.Time{}
	case hold:
		return now.Add(holdPause)
	}
	return now.Add(after - o.Silent)
}

// wishes are what each task should do. stop tells that the servers want it, and
// that it is time to.
func (c *Core) wishes(o Order, stop bool, now time.Time) []wish {
	fenced, hold := c.fence(o)
	over := !fenced && c.over(now)
	out := wishes(c.members(), stop || fenced || over, o.Hard)
	for i := range out {
		w := &out[i]
		switch own := !o.stop() && !o.Hard; {
		case own && fenced && w.stop == causeServer:
			w.stop = causeLease
		case own && over && w.stop != causeNone && w.stop != causeNever:
			w.stop = causeOverran
		}
		w.start = w.start && !hold
	}
	return out
}
