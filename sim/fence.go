package sim

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/sim/engine"
	"github.com/steppe-project/steppe/sim/watch"
)

// ticks is the node's clock that nobody sets; it runs too fast or too slow.
func (n *node) ticks() time.Time {
	return n.w.Now.Add(time.Duration(n.drift * float64(n.w.Now.Sub(engine.Epoch))))
}

// takeUpLease begins with what an earlier agent knew of the lease.
func (n *node) takeUpLease() {
	n.steady, n.leased = n.w.Now, !n.disk.Lease.IsZero()
	n.held = lease.Since(n.ticks(), 0)
	if n.leased {
		n.held = lease.Since(n.disk.Lease, 0)
	}
}

// renew sends a renewal.
func (n *node) renew(ss *session) {
	n.seq++
	n.held.Sent(n.seq, n.ticks())
	ss.renew(n.seq)
}

func (n *node) leaseConfirmed(seq uint64) {
	if n.held.Confirmed(seq, 0) {
		n.leased, n.disk.Lease = true, n.held.From()
	}
}

// fenced looks at a node whose status has changed: one that is taken down and
// runs knows that its lease is over; and no three go at once.
func (c *checks) fenced(before, after *model.Node) {
	if after == nil || before == nil || before.Status == after.Status {
		return
	}
	w := c.w
	w.Tracef("%s is %s: %s", after.Name, after.Status, after.StatusDescription)
	c.brake.Up(after.ID)
	if after.Status == model.NodeStatusDisconnected {
		w.report.Held++
	}
	if after.Status != model.NodeStatusDown {
		return
	}
	w.report.Downs++
	for _, n := range w.nodes {
		if n.id == after.ID && n.running() && n.leased && !n.held.Over(n.ticks()) {
			w.Fail("%s is taken down, and counts on its lease: confirmed for what it sent %s ago", n.name, n.held.Silent(n.ticks()))
		}
	}
	if lately := c.brake.Down(after.ID, c.w.Now); lately > 2 && !c.w.stepped {
		c.w.Fail("%d nodes are taken down within %s", lately, watch.AtOnce)
	}
}

// resumed is how long an agent that went on, or was started again, may take to
// end what it has to.
const resumed = 15 * time.Second

// apart: what starts in place of what its node had to stop by itself does not run
// beside it, unless there was no agent to stop it; of a stateful group nothing of its name
// does.
func (c *checks) apart(n *node, r *runner) {
	for _, o := range c.w.nodes {
		if o != n && (!o.running() || !o.leased || c.w.Now.Sub(o.steady) < resumed) {
			continue
		}
		for _, id := range sortedKeys(o.procs) {
			if p := o.procs[id]; !p.ended && c.Clash(r.assigned.Alloc, p.alloc, p.task, o == n) {
				c.w.Fail("%s starts %s, and %s still runs %s: silent for %s", n.name, r.id, o.name, p.id, o.held.Silent(o.ticks()))
			}
		}
	}
}
