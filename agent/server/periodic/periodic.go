// Package periodic launches periodic jobs when their schedules say so: a pure component.
//
//	         Grace
//	   ┌──────┴──────┐
//	───┬──────┬──────┬──────────┬──► cluster time
//	 missed  late   now        next
//
// Contract and invariants:
//
//   - What was decided last, of which schedule, is in the state (state.Launches), and
//     the state machine takes each slot once, in order, of the schedule that is in
//     force. So whatever becomes of a proposal, of this leader or of its clock, no slot
//     is launched twice, and none after its job was stopped or given another schedule.
//   - A slot is launched as soon as somebody leads and its time has come. One that is
//     late by Grace at most is launched all the same, each of them: a change of
//     leaders loses none.
//   - Older ones were missed. With catch_up = "last" the newest of them is launched if
//     no later one is due; with "skip" none is.
//   - Whether a child still runs, and a slot is skipped for it, is for the state machine
//     to decide: here it may be seen too late.
//
// Example:
//
//	c := periodic.New()
//	c.Reset(snap)
//	cmds, wake := c.Step(now, snap)
package periodic

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
	"github.com/steppe-project/steppe/model/launch"
)

// Grace is how late a slot may be and still count as launched in time: several times
// what it takes to elect a leader.
const Grace = time.Minute

const (
	// maxLaunches bounds one proposal; what is left follows it.
	maxLaunches = 256
	// maxWait is the longest sleep: a clock that is set ahead is noticed within it.
	maxWait = 10 * time.Second
)

// Launcher is the component.
type Launcher struct {
	jobs map[string]*timetable // by key, of the jobs whose schedule is in force
}

// timetable is one job's.
type timetable struct {
	key      string
	job      *model.Job
	schedule *cron.Schedule
	row      *state.Launches // by which next was found
	next     time.Time       // slot; zero: never
}

// New makes the component.
func New() *Launcher { return &Launcher{jobs: make(map[string]*timetable)} }

// Name implements loop.Component.
func (l *Launcher) Name() string { return "periodic" }

// Reads implements loop.Component.
func (l *Launcher) Reads() []state.Table { return []state.Table{state.TableJobs, state.TableLaunches} }

// Reset implements loop.Component.
func (l *Launcher) Reset(snap *state.Snapshot) {
	clear(l.jobs)
	for job := range snap.Jobs(state.Range{}) {
		l.note(state.JobKey(job.Namespace, job.ID), job)
	}
}

// Observe implements loop.Component.
func (l *Launcher) Observe(changes []state.Change) {
	for i := range changes {
		if changes[i].Table == state.TableJobs {
			after, _ := changes[i].After.(*model.Job)
			l.note(changes[i].Key, after)
		}
	}
}

// note takes in what a job is now, nil for none.
func (l *Launcher) note(key string, job *model.Job) {
	if job == nil || job.Periodic == nil || job.Stop || !job.Periodic.Enabled {
		delete(l.jobs, key)
		return
	}
	if t := l.jobs[key]; t != nil && t.job.JobModifyIndex == job.JobModifyIndex {
		t.job = job
		return
	}
	schedule, err := cron.Of(job.Periodic)
	if err != nil {
		delete(l.jobs, key) // admission has read it; only a zone that this machine does not know is left
		return
	}
	l.jobs[key] = &timetable{key: key, job: job, schedule: schedule}
}

// Step implements loop.Component.
func (l *Launcher) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	var due []*timetable
	wake := now.Add(maxWait)
	for _, t := range l.jobs {
		t.look(snap)
		switch {
		case t.next.IsZero():
		case !t.next.After(now):
			due = append(due, t)
		case t.next.Before(wake):
			wake = t.next
		}
	}
	if len(l.jobs) == 0 {
		return nil, time.Time{}
	}
	slices.SortFunc(due, func(a, b *timetable) int { return strings.Compare(a.key, b.key) })
	var cmds []fsm.Command
	for _, t := range due {
		if len(cmds) >= maxLaunches {
			break
		}
		slots := t.due(now)
		for _, slot := range slots {
			cmds = append(cmds, t.launch(now, slot))
		}
		if len(slots) == 0 { // all of them were missed
			if t.next = t.schedule.Next(now); t.next.Before(wake) && !t.next.IsZero() {
				wake = t.next
			}
		}
	}
	return cmds, wake
}

// look finds the first slot that is not decided on. A job that has changed and was not
// observed yet is left alone: its row would be of another schedule.
func (t *timetable) look(snap *state.Snapshot) {
	if job := snap.Job(t.job.Namespace, t.job.ID); job == nil || job.JobModifyIndex != t.job.JobModifyIndex {
		t.row, t.next = nil, time.Time{}
		return
	}
	row := snap.Launches(t.job.Namespace, t.job.ID)
	if row == t.row {
		return
	}
	t.row, t.next = row, time.Time{}
	if row != nil {
		t.next = t.schedule.Next(time.Unix(row.Slot, 0))
	}
}

// due are the slots to launch now.
func (t *timetable) due(now time.Time) []time.Time {
	decided, late := time.Unix(t.row.Slot, 0), now.Add(-Grace)
	if !decided.Before(late) {
		return t.schedule.Slots(decided, now, maxLaunches)
	}
	if slots := t.schedule.Slots(late, now, maxLaunches); len(slots) > 0 || t.job.Periodic.CatchUp == launch.CatchUpSkip {
		return slots
	}
	if missed := t.schedule.Last(decided, late); !missed.IsZero() {
		return []time.Time{missed}
	}
	return nil
}

func (t *timetable) launch(now, slot time.Time) fsm.Command {
	j := t.job
	id := launch.PeriodicID(j.ID, slot.Unix())
	return proposal.Of(&fsm.LaunchJob{
		Namespace: j.Namespace, ParentID: j.ID, ID: id, Schedule: t.row.Schedule, Slot: slot.Unix(),
		Eval: &model.Evaluation{
			ID: ident.From("slot", j.Namespace, id, strconv.FormatUint(t.row.Schedule, 10)), TriggeredBy: model.TriggerPeriodicJob,
			Status: model.EvalPending, CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(),
		},
	})
}
