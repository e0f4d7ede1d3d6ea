package task

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// Step decides what happens next. It may be called at any time with
// Observed{}; Status.WakeAt, when set in Delaying or Draining, is when it must
// be called at the latest.
func Step(s Status, d Desired, o Observed, now time.Time) (Status, Action) {
	m := machine{s: s, d: d, now: now}
	if o.At.IsZero() {
		o.At = now
	}
	m.observe(o)
	m.want()
	return m.s, m.a
}

// machine is one Step in progress.
type machine struct {
	s   Status
	d   Desired
	now time.Time
	a   Action
}

func (m *machine) event(e *model.TaskEvent) { m.a.Events = append(m.a.Events, e) }

// observe takes in what was seen.
func (m *machine) observe(o Observed) {
	switch o.Kind {
	case SetupFailed:
		m.failedStart(setupFailureEvent(o.At, o.Err), o.Recoverable)
	case StartFailed:
		m.failedStart(driverFailureEvent(o.At, o.Err), o.Recoverable)
	case Started:
		if m.s.Phase == Starting {
			if m.s.FirstStart = m.s.RanSince(); m.s.FirstStart.IsZero() {
				m.s.FirstStart = o.At
			}
			m.s.Phase, m.s.Started, m.s.StartedAt = Running, true, o.At
			m.s.FinishedAt = time.Time{}
			m.event(startedEvent(o.At))
		}
	case Exited:
		m.exited(o)
	case Vanished:
		m.vanished(o)
	}
}

// failedStart follows a start that did not succeed. One that was given up is no
// failure.
func (m *machine) failedStart(why *model.TaskEvent, recoverable bool) {
	if m.s.Phase != Starting {
		return
	}
	if m.d.Stop || m.s.StopSeen {
		m.die(m.d.Fails)
		return
	}
	m.event(why)
	if !recoverable {
		m.event(notRestartingEvent(m.now, reasonUnrecoverable))
		m.die(true)
		return
	}
	m.again()
}

// exited follows the end of a running task.
func (m *machine) exited(o Observed) {
	if !m.s.Up() {
		return
	}
	r := o.Exit
	if r == nil {
		r = &plugins.ExitResult{ExitCode: -1, Err: o.Err}
	}
	m.event(terminatedEvent(o.At, r))
	m.s.FinishedAt = o.At
	failed := r.ExitCode != 0 || r.Signal != 0 || r.OOMKilled || r.Err != ""
	switch {
	case m.d.Stop || m.s.StopSeen:
		if m.s.Phase == Killing {
			m.event(killedEvent(o.At))
		}
		m.die(m.d.Fails && (m.s.StopSeen || failed)) // else it was done before it was told to end
	case m.s.Phase == Killing: // for a restart
		m.restartNow()
	case !failed && !m.d.RestartOnSuccess:
		m.die(false)
	default:
		m.again()
	}
}

// vanished follows a task that the driver lost, without word on how it ended:
// the machine was restarted, or the driver's own record is gone. The task is
// started anew; that is nobody's failure and is not counted.
func (m *machine) vanished(o Observed) {
	if !m.s.Alive() {
		return
	}
	if m.s.Up() {
		m.event(terminatedEvent(o.At, &plugins.ExitResult{ExitCode: -1, Err: o.Err}))
	}
	m.s.FinishedAt = o.At
	if m.d.Stop || m.s.StopSeen {
		m.die(m.d.Fails)
		return
	}
	m.restartNow()
}

// again asks the restart policy for what follows.
func (m *machine) again() {
	v := m.s.judge(m.d, m.now)
	if !v.restart {
		m.event(notRestartingEvent(m.now, v.reason))
		m.die(true)
		return
	}
	m.event(restartingEvent(m.now, v))
	m.s.Phase, m.s.WakeAt = Delaying, m.now.Add(v.after)
}

// restartNow starts the task again outside of the policy.
func (m *machine) restartNow() {
	m.s.Restarting = false
	m.s.Phase, m.s.WakeAt = Delaying, m.now
}

// die ends the task for good.
func (m *machine) die(failed bool) {
	m.s.Phase, m.s.Failed = Dead, failed
	m.s.WakeAt, m.s.Restarting = time.Time{}, false
	m.s.StopSeen = m.s.StopSeen || m.d.Stop
	if m.s.FinishedAt.IsZero() || m.s.FinishedAt.Before(m.s.StartedAt) {
		m.s.FinishedAt = m.now
	}
}

// want compares what is with what is wanted.
func (m *machine) want() {
	if m.d.Stop {
		m.wantStopped()
		return
	}
	restart := m.d.RestartNonce > m.s.RestartSeen
	switch m.s.Phase {
	case Waiting:
		if m.d.Start {
			m.start()
		}
	case Delaying:
		if restart || !m.now.Before(m.s.WakeAt) {
			m.s.Restarts++
			m.s.LastRestart = m.now
			m.start()
		}
	case Running:
		if restart {
			m.s.RestartSeen = m.d.RestartNonce
			m.event(restartSignalEvent(m.now))
			m.s.Restarting = true
			m.kill()
		}
	case Dead:
		m.wantRevived(restart)
	}
	if restart {
		m.s.RestartSeen = m.d.RestartNonce
	}
}

// wantRevived starts a dead task again if that is asked for.
func (m *machine) wantRevived(restart bool) {
	if !restart || !m.d.Revive || m.s.StopSeen {
		return
	}
	m.event(restartSignalEvent(m.now))
	m.s.Failed = false
	m.s.Restarts++
	m.s.LastRestart = m.now
	m.start()
}

func (m *machine) start() {
	m.s.Phase, m.s.WakeAt = Starting, time.Time{}
	m.a.Verb = VerbStart
}

// wantStopped moves a task towards its end.
func (m *machine) wantStopped() {
	first := !m.s.StopSeen
	if first && m.s.Phase != Dead && m.d.StopEvent != nil {
		m.event(m.d.StopEvent)
	}
	m.s.StopSeen = true
	switch m.s.Phase {
	case Waiting, Delaying:
		m.die(m.d.Fails && m.s.Started)
	case Starting:
		if first {
			m.a.Verb = VerbCancel
		}
	case Running:
		if m.d.ShutdownDelay > 0 && !m.d.NoDelay {
			m.s.Phase, m.s.WakeAt = Draining, m.now.Add(m.d.ShutdownDelay)
			return
		}
		m.kill()
	case Draining:
		if m.d.NoDelay || !m.now.Before(m.s.WakeAt) {
			m.kill()
		}
	}
}

func (m *machine) kill() {
	m.s.Phase, m.s.WakeAt = Killing, time.Time{}
	m.event(killingEvent(m.now, m.d))
	m.a.Verb, m.a.Timeout, m.a.Signal = VerbKill, m.d.KillTimeout, m.d.KillSignal
}
