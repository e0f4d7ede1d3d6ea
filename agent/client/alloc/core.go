package alloc

import (
	"hash/fnv"
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deadline"
	"github.com/steppe-project/steppe/model/lease"
)

// Core is the deciding part of a Runner: the statuses of the tasks of one
// allocation and what follows from them. It is pure: time and what was seen are
// arguments, and what is to be done goes to a callback. The simulator runs it,
// too.
//
//	Order, Observed, now ──► Core ──► Effect: start, cancel, kill
type Core struct {
	id      string
	maxKill time.Duration // bounds kill_timeout; 0 = no bound
	group   *model.TaskGroup
	stopAt  time.Time // when the group's shutdown delay is over
	tasks   []*coreTask
	health  health
	run     span
}

// coreTask is what a Core knows of one task.
type coreTask struct {
	index  int
	task   *model.Task
	role   role
	status task.Status
	nonce  uint64 // restarts asked for
	revive bool
}

// Order is what is wanted of an allocation as a whole.
type Order struct {
	Assigned *msg.AssignedAlloc
	// Hard ends it at once, whatever the servers say.
	Hard bool
	// Silent is for how long the node's lease has not been confirmed, Lasts how long a
	// confirmed one lasts.
	Silent, Lasts time.Duration
}

func (o Order) stop() bool { return o.Assigned.Alloc.Terminal() }

func (o Order) noDelay() bool {
	no := o.Assigned.Alloc.DesiredTransition.NoShutdownDelay
	return no != nil && *no
}

// Effect is one step of one task: its status has changed, and Action is to be
// carried out.
type Effect struct {
	Task   int
	Before task.Status
	Seen   task.Kind
	Action task.Action
}

// NewCore makes the core of an allocation that has not begun. maxKill bounds the
// tasks' kill_timeout.
func NewCore(a *msg.AssignedAlloc, maxKill time.Duration) (*Core, error) {
	group := groupOf(a)
	if group == nil {
		return nil, model.Errorf(model.CodeInvalid, "allocation %s names group %q, which its job does not have", a.Alloc.ID, a.Alloc.TaskGroup)
	}
	c := &Core{id: a.Alloc.ID, maxKill: maxKill, group: group}
	for i, t := range group.Tasks {
		c.tasks = append(c.tasks, &coreTask{index: i, task: t, role: roleOf(t)})
	}
	return c, nil
}

// Tasks is how many tasks there are.
func (c *Core) Tasks() int { return len(c.tasks) }

// Task is the i-th task and its status.
func (c *Core) Task(i int) (*model.Task, task.Status) { return c.tasks[i].task, c.tasks[i].status }

// Resume sets the status of a task as an earlier run of the agent left it.
func (c *Core) Resume(i int, s task.Status) {
	c.tasks[i].status, c.tasks[i].nonce = s, s.RestartSeen
	c.run.resumed = true
}

// Adopt takes over the settings of an update in place. Tasks are matched by
// name; an update in place does not add or remove any.
func (c *Core) Adopt(a *msg.AssignedAlloc) {
	group := groupOf(a)
	if group == nil {
		return
	}
	c.group = group
	for _, t := range c.tasks {
		for _, next := range group.Tasks {
			if next.Name == t.task.Name {
				t.task, t.role = next, roleOf(next)
			}
		}
	}
}

// See takes in what was seen of one task.
func (c *Core) See(o Order, i int, seen task.Observed, now time.Time, carry func(Effect)) {
	w := c.wishes(o, o.stop(), now)[i]
	c.step(o, c.tasks[i], w, seen, now, carry)
}

// Settle lets all tasks react on each other until nothing changes.
func (c *Core) Settle(o Order, now time.Time, carry func(Effect)) {
	stop := o.stop() && c.delayOver(o, now)
	for range maxFixpoint {
		moved := false
		for i, w := range c.wishes(o, stop, now) {
			moved = c.step(o, c.tasks[i], w, task.Observed{}, now, carry) || moved
		}
		if !moved {
			break
		}
	}
}

// step makes one step of one task. It tells whether anything changed.
func (c *Core) step(o Order, t *coreTask, w wish, seen task.Observed, now time.Time, carry func(Effect)) bool {
	before := t.status
	next, action := task.Step(before, c.desired(o, t, w, now), seen, now)
	if w.stop == causeLease && before.Phase != task.Dead {
		next.Fenced = true
	}
	if overruns(w, before) && (seen.Kind != task.Exited || !next.Succeeded()) { // else it was done by itself
		next.Overran = true
	}
	if next == before && action.Verb == task.VerbNone && len(action.Events) == 0 {
		return false
	}
	t.status = next
	carry(Effect{Task: t.index, Before: before, Seen: seen.Kind, Action: action})
	return true
}

// delayOver tells whether the group's shutdown delay is over (or does not apply).
func (c *Core) delayOver(o Order, now time.Time) bool {
	if o.Hard || c.group.ShutdownDelay <= 0 || o.noDelay() {
		return true
	}
	if c.stopAt.IsZero() {
		c.stopAt = now.Add(c.group.ShutdownDelay)
	}
	return !now.Before(c.stopAt)
}

// WakeAt is when to settle again though nothing is seen; zero for never.
func (c *Core) WakeAt(o Order, now time.Time) time.Time {
	next := time.Time{}
	consider := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if now.Before(c.stopAt) {
		consider(c.stopAt)
	}
	consider(c.fenceAt(o, now))
	consider(c.judgeAt(o))
	consider(c.overAt(now))
	for _, t := range c.tasks {
		consider(t.status.WakeAt)
	}
	return next
}

// Dead tells whether every task has ended for good.
func (c *Core) Dead() bool {
	for _, t := range c.tasks {
		if t.status.Phase != task.Dead {
			return false
		}
	}
	return true
}

// ClientStatus is the status of the allocation that follows from its tasks.
func (c *Core) ClientStatus() (status, description string) {
	status, description = clientStatus(c.members())
	if status == model.ClientFailed && c.flagged() {
		description = deadline.Words(c.group.MaxRunDuration)
	}
	return status, description
}

func (c *Core) members() []member {
	out := make([]member, len(c.tasks))
	for i, t := range c.tasks {
		out[i] = member{name: t.task.Name, role: t.role, leader: t.task.Leader, status: t.status}
	}
	return out
}

// stopping is how the i-th task is to be ended now, for a kill that is repeated.
func (c *Core) stopping(o Order, i int, now time.Time) task.Action {
	d := c.desired(o, c.tasks[i], c.wishes(o, o.stop(), now)[i], now)
	return task.Action{Verb: task.VerbKill, Timeout: d.KillTimeout, Signal: d.KillSignal}
}

// desired words a wish for one task in terms of task.Step.
func (c *Core) desired(o Order, t *coreTask, w wish, now time.Time) task.Desired {
	d := task.Desired{
		Start: w.start, Stop: w.stop != causeNone, Fails: t.status.Overran || overruns(w, t.status), NoDelay: o.noDelay() || w.stop == causeNever,
		RestartNonce: t.nonce, Revive: t.revive,
		RestartOnSuccess: t.role.restartsOnSuccess(o.Assigned.Job.Type),
		KillTimeout:      t.task.KillTimeout, KillSignal: t.task.KillSignal, ShutdownDelay: t.task.ShutdownDelay,
		Seed: seedOf(c.id, t.task.Name),
	}
	if c.maxKill > 0 {
		d.KillTimeout = min(d.KillTimeout, c.maxKill)
	}
	switch {
	case t.task.RestartPolicy != nil:
		d.Policy = *t.task.RestartPolicy
	case c.group.RestartPolicy != nil:
		d.Policy = *c.group.RestartPolicy
	default:
		d.Policy = *model.NewRestartPolicy(o.Assigned.Job.Type)
	}
	switch w.stop {
	case causeSibling:
		d.StopEvent = task.SiblingFailedEvent(now, w.sibling)
	case causeLeader:
		d.StopEvent = task.LeaderDeadEvent(now)
	case causeMain:
		d.StopEvent = task.MainTasksDeadEvent(now)
	case causeLease:
		d.StopEvent, d.NoDelay = task.DisconnectedEvent(now, lease.StopAfter(c.group)), true
	case causeOverran:
		d.StopEvent = task.OverranEvent(now, c.group.MaxRunDuration)
	}
	return d
}

// seedOf makes the jitter of each task its own, and the same after a restart.
func seedOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum64()
}
