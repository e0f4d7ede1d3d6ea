package watch

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

// What is on a node that is down has to be looked at: by an evaluation that is made
// with the loss, or, when its plan was on its way just then, soon after.
const (
	// soonEntries and soonTime must both be over.
	soonEntries = 100
	soonTime    = int64(30 * time.Second)
)

// overlooked is an allocation on a node that is down, of whose job no evaluation was
// made with the loss.
type overlooked struct {
	alloc, node string
	at          uint64 // the entry
	time        int64
}

// lost notes what a node that is taken down had, and nobody looks at.
func (c *Watch) lost(n *model.Node) {
	for a := range c.store.Snapshot().AllocsByNode(n.ID) {
		c.suspect(a)
	}
}

// placed notes an allocation that is placed on a node that is down.
func (c *Watch) placed(a *model.Allocation) {
	if n := c.store.Snapshot().Node(a.NodeID); n != nil && n.Status == model.NodeStatusDown {
		c.suspect(a)
	}
}

func (c *Watch) suspect(a *model.Allocation) {
	at := c.store.Snapshot().Index()
	if !a.Terminal() && !c.looked(a, at) {
		c.suspects = append(c.suspects, overlooked{a.ID, a.NodeID, at, c.time})
	}
}

// looked tells whether a decision on an allocation's job was made on the state at an
// entry, or is about to be.
func (c *Watch) looked(a *model.Allocation, at uint64) bool {
	for e := range c.store.Snapshot().EvalsByJob(a.Namespace, a.JobID) {
		if e.SnapshotIndex >= at || e.Status == model.EvalPending {
			return true
		}
	}
	return false
}

// overdue finds those at whom somebody should have looked by now.
func (c *Watch) overdue() {
	snap := c.store.Snapshot()
	for len(c.suspects) > 0 {
		s := c.suspects[0]
		if snap.Index() < s.at+soonEntries || c.time < s.time+soonTime {
			return
		}
		c.suspects = c.suspects[1:]
		a, n := snap.Alloc(s.alloc), snap.Node(s.node)
		if a != nil && n != nil && n.Status == model.NodeStatusDown && !a.Terminal() && !c.looked(a, s.at) {
			c.fail("node %s is down, and nobody looks at job %s for %s", n.Name, a.JobID, a.ID)
		}
	}
}
