// Package liveness decides which nodes are down: a pure component.
//
//	renewal ──► lease until renewal + TTL
//	                │ over
//	                ▼
//	            suspected ── gossip says dead ──────────► down, with an evaluation
//	                │                                     for each job concerned
//	                └─ another TTL without renewal ─────► down
//
// Contract and invariants:
//
//   - A node is declared down only after a whole TTL without renewal, and then
//     only if gossip agrees or another TTL passes: a slow stream alone, or a lost
//     rumour alone, takes nothing down in TTL.
//   - While nodes register in crowds, one that gossip does not miss has half a minute
//     more: it waits for its turn (crowd.go).
//   - When leadership begins every node has a full TTL, because nobody listened
//     meanwhile. Nobody registers again for that.
//   - A time in which this server itself stood still counts for nobody.
//   - A lease counts from the receipt of a renewal (package lease). From the
//     decision to take a node down to its commit no renewal of it is confirmed.
//   - All nodes found down at once, and the evaluations of all jobs that have
//     something on them, one each, are one command.
//   - When many vanish together the brake holds them (brake.go).
//   - Only nodes in the state count; what becomes ready gets a lease.
//
// Example:
//
//	l := liveness.New(liveness.DefaultTTL, members)
//	l.Reset(snap)
//	l.Renew(now, ids...)
//	cmds, wake := l.Step(now, snap)
package liveness

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

const (
	// DefaultTTL is how long a lease lasts.
	DefaultTTL = lease.TTL
	// grain is how exactly leases are looked at, so that ten thousand of them do
	// not mean ten thousand wake-ups.
	grain = 100 * time.Millisecond
	// maxLate is how late a step may be before the time counts as one in which
	// this server stood still.
	maxLate = time.Second
	// silentLeases is for how many leases more a node is waited for that gossip does
	// not miss: it lives, then, and looks for a server that reaches the leader; of
	// those that it tries, each may cost it a lease.
	silentLeases = 2
	// maxDown bounds the nodes of one command; the next step has the others.
	maxDown = 512
)

// Members is the word of gossip on nodes.
type Members interface {
	// Dead tells whether gossip is sure that the agent is gone; false when it
	// is alive or not known.
	Dead(nodeID string) bool
}

// Liveness is the component.
type Liveness struct {
	ttl     time.Duration
	members Members
	leases  map[string]time.Time // until when, of nodes that are not down; zero: not begun
	due     time.Time            // when the next step was to be; zero: no idea
	decided map[string]bool      // taken down by the last step
	brake   brake
	crowd   crowd
	ahead   time.Duration // of the cluster's clock, which stamps the state, before ours
}

// New makes the component.
func New(ttl time.Duration, members Members) *Liveness {
	return &Liveness{ttl: ttl, members: members, leases: make(map[string]time.Time), brake: newBrake()}
}

// Name implements loop.Component.
func (l *Liveness) Name() string { return "liveness" }

// Reads implements loop.Component.
func (l *Liveness) Reads() []state.Table {
	return []state.Table{state.TableNodes, state.TableConfig}
}

// Reset implements loop.Component.
func (l *Liveness) Reset(snap *state.Snapshot) {
	clear(l.leases)
	l.due = time.Time{}
	l.brake, l.crowd = newBrake(), crowd{}
	for n := range snap.Nodes(state.Range{}) {
		l.brake.note(n)
		if n.Status != model.NodeStatusDown {
			l.leases[n.ID] = time.Time{}
		}
	}
}

// Observe implements loop.Component.
func (l *Liveness) Observe(changes []state.Change) {
	for i := range changes {
		if changes[i].Table != state.TableNodes {
			continue // a look at the brake's settings follows
		}
		before, _ := changes[i].Before.(*model.Node)
		n, _ := changes[i].After.(*model.Node)
		if n == nil {
			l.brake.forget(changes[i].Key)
		} else {
			l.brake.note(n)
		}
		if n == nil || n.Status == model.NodeStatusDown {
			delete(l.leases, changes[i].Key)
		} else if _, known := l.leases[n.ID]; !known || returned(before, n) {
			l.leases[n.ID] = time.Time{}
		}
	}
}

// returned tells whether a node that was held has registered again: a sign of
// life, even if the desk has not heard of it before the next step.
func returned(before, after *model.Node) bool {
	return before != nil && before.Status != model.NodeStatusReady && after.Status == model.NodeStatusReady
}

// Lasts is how long a lease lasts that is renewed now.
func (l *Liveness) Lasts() time.Duration { return lease.Lasts(l.ttl, len(l.leases)) }

// Renew has the leases of nodes last until then.
func (l *Liveness) Renew(until time.Time, ids ...string) {
	for _, id := range ids {
		// A lease that has not begun will last longer than any renewal made so far.
		if old, known := l.leases[id]; known && !old.IsZero() && until.After(old) {
			l.leases[id] = until
		}
	}
}

// Arrived notes that n nodes registered, as those do that moved to another server.
func (l *Liveness) Arrived(at time.Time, n int) { l.crowd.note(at, n, len(l.leases), l.ttl) }

// Step implements loop.Component.
func (l *Liveness) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	l.forgive(now)
	cmds, wake := l.judge(now, snap)
	l.due = wake
	return cmds, wake
}

// forgive begins all leases anew after a time in which this server did not run
// (it was stopped, or its machine was): nobody could renew then.
func (l *Liveness) forgive(now time.Time) {
	if l.due.IsZero() || now.Sub(l.due) < maxLate {
		return
	}
	for id := range l.leases {
		l.leases[id] = time.Time{}
	}
}

// judge finds the leases that are over, and asks the brake what is to come of them.
func (l *Liveness) judge(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	var c census
	var wake time.Time
	lasts, longest := l.Lasts(), lease.Longest(l.ttl, len(l.leases))
	silent := silentLeases*l.ttl + l.crowd.patience(now) // after the lease, without the word of gossip
	for id, until := range l.leases {
		if until.IsZero() {
			until = now.Add(longest)
			l.leases[id] = until
		}
		c.count(until.Sub(now), lasts)
		switch {
		case until.After(now):
		case !until.Add(silent).After(now), l.members.Dead(id):
			c.gone = append(c.gone, id)
			continue
		default:
			until = now // gossip may agree any moment
		}
		if wake.IsZero() || until.Before(wake) {
			wake = until
		}
	}
	l.decided = nil
	slices.Sort(c.gone)
	v := l.brake.judge(now.Add(l.ahead), &c, snap.SchedulerConfig())
	if !v.look.IsZero() {
		if at := v.look.Add(-l.ahead); wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	if soonest := now.Add(grain); !wake.IsZero() && wake.Before(soonest) {
		wake = soonest
	}
	if len(v.down)+len(v.hold) == 0 {
		return nil, wake
	}
	v.down, v.hold = v.down[:min(len(v.down), maxDown)], v.hold[:min(len(v.hold), maxDown)]
	return []fsm.Command{l.declare(now, snap, v)}, now.Add(grain)
}

// declare is the command that takes nodes down, and notes those that are held.
func (l *Liveness) declare(now time.Time, snap *state.Snapshot, v verdict) fsm.Command {
	cmd := &fsm.NodeStatus{}
	for _, id := range v.hold {
		cmd.Updates = append(cmd.Updates, fsm.NodeStatusUpdate{NodeID: id, Status: model.NodeStatusDisconnected, Reason: v.why})
	}
	concerned := map[[2]string]*model.Evaluation{}
	l.decided = make(map[string]bool, len(v.down))
	for _, id := range v.down {
		l.decided[id] = true
		reason := "its lease ended " + l.Lasts().String() + " after the last sign of life"
		if l.members.Dead(id) {
			reason += ", and the other agents cannot reach it"
		}
		cmd.Updates = append(cmd.Updates, fsm.NodeStatusUpdate{NodeID: id, Status: model.NodeStatusDown, Reason: reason})
		evaluate(concerned, now, snap, id)
	}
	for _, key := range slices.SortedFunc(maps.Keys(concerned), compareKeys) {
		cmd.Evals = append(cmd.Evals, concerned[key])
	}
	return proposal.Of(cmd)
}

// evaluate adds an evaluation for each job that has something on a node.
func evaluate(concerned map[[2]string]*model.Evaluation, now time.Time, snap *state.Snapshot, id string) {
	for a := range snap.AllocsByNode(id) {
		key := [2]string{a.Namespace, a.JobID}
		if a.Terminal() || concerned[key] != nil {
			continue
		}
		job := snap.Job(a.Namespace, a.JobID)
		if job == nil {
			job = a.Job
		}
		e := &model.Evaluation{
			ID:        ident.From("node down", a.Namespace, a.JobID, id, strconv.FormatUint(snap.Index(), 10)),
			Namespace: a.Namespace, JobID: a.JobID, Type: model.JobTypeService, Priority: model.DefaultPriority,
			TriggeredBy: model.TriggerNodeUpdate, NodeID: id, Status: model.EvalPending,
			CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(),
		}
		if n := snap.Node(id); n != nil {
			e.NodeModifyIndex = n.ModifyIndex
		}
		if job != nil {
			e.Type, e.Priority, e.JobModifyIndex = job.Type, job.Priority, job.JobModifyIndex
		}
		concerned[key] = e
	}
}

func compareKeys(a, b [2]string) int { return slices.Compare(a[:], b[:]) }
