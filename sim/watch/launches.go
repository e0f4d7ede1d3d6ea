package watch

import (
	"strconv"
	"strings"
	"time"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
	"github.com/steppe-project/steppe/model/launch"
)

// launches remembers what was launched, by itself: it does not ask the state how far a
// schedule has come.
type launches struct {
	launched map[string]bool  // children that there were
	forced   map[string]bool  // those that an operator wanted
	since    map[string]int64 // when a job's schedule was set (unix ns)
}

func newLaunches() launches {
	return launches{launched: map[string]bool{}, forced: map[string]bool{}, since: map[string]int64{}}
}

// Launched tells whether a periodic job was ever launched for a slot.
func (c *Watch) Launched(parent string, slot time.Time) bool {
	return c.launches.launched[launch.PeriodicID(parent, slot.Unix())]
}

// Launches is how many children there were.
func (c *Watch) Launches() int { return len(c.launches.launched) }

// expect notes the launches in an entry that count for no slot.
func (c *Watch) expect(e fsm.Entry) {
	for _, cmd := range e.Commands {
		if cmd.Kind != fsm.KindLaunchJob {
			continue
		}
		var l fsm.LaunchJob
		if _, err := l.UnmarshalMsg(cmd.Body); err == nil && l.Schedule == 0 && c.store.Snapshot().Job(l.Namespace, l.ID) == nil {
			c.launches.forced[l.ID] = true
		}
	}
}

// parent notes when a schedule begins.
func (c *Watch) parent(before, after *model.Job) {
	inForce := func(j *model.Job) bool { return j != nil && j.Periodic != nil && !j.Stop && j.Periodic.Enabled }
	if inForce(after) && (!inForce(before) || before.Periodic.Spec != after.Periodic.Spec || before.CreateIndex != after.CreateIndex) {
		c.launches.since[after.ID] = c.time
	}
}

// child: a slot is launched at most once, in its time, not before the schedule was there
// and only if the schedule names it; without overlap, alone; of one token there is one.
func (c *Watch) child(j *model.Job) {
	l := &c.launches
	if l.launched[j.ID] {
		c.fail("%s was launched twice", j.ID)
	}
	l.launched[j.ID] = true
	snap := c.store.Snapshot()
	for o := range snap.JobsByParent(j.Namespace, j.ParentID) {
		if o.ID != j.ID && j.DispatchIdempotencyToken != "" && o.DispatchIdempotencyToken == j.DispatchIdempotencyToken {
			c.fail("of token %s there are %s and %s", j.DispatchIdempotencyToken, o.ID, j.ID)
		}
	}
	slot, ok := strings.CutPrefix(j.ID, j.ParentID+"/periodic-")
	parent := snap.Job(j.Namespace, j.ParentID)
	if !ok || parent == nil || parent.Periodic == nil || l.forced[j.ID] {
		return
	}
	unix, err := strconv.ParseInt(slot, 10, 64)
	at := time.Unix(unix, 0)
	schedule, parseErr := cron.Of(parent.Periodic)
	switch {
	case err != nil || parseErr != nil:
		c.fail("%s: %v %v", j.ID, err, parseErr)
	case at.UnixNano() > c.time:
		c.fail("%s was launched before its time", j.ID)
	case at.UnixNano() <= l.since[j.ParentID]:
		c.fail("%s was launched for a time before its schedule was set, %v", j.ID, time.Unix(0, l.since[j.ParentID]))
	case !schedule.Next(at.Add(-time.Second)).Equal(at):
		c.fail("%s was launched, and the schedule does not name it", j.ID)
	}
	if !parent.Periodic.ProhibitOverlap {
		return
	}
	for o := range snap.JobsByParent(j.Namespace, j.ParentID) {
		if o.ID != j.ID && !l.forced[o.ID] && c.alive(o) {
			c.fail("%s was launched while %s is alive", j.ID, o.ID)
		}
	}
}

// alive tells whether something of a child goes on.
func (c *Watch) alive(j *model.Job) bool {
	snap := c.store.Snapshot()
	for a := range snap.AllocsByJob(j.Namespace, j.ID) {
		if !a.Terminal() {
			return true
		}
	}
	for e := range snap.EvalsByJob(j.Namespace, j.ID) {
		if !e.Terminal() {
			return true
		}
	}
	return false
}
