package task

import (
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// Phase is where a task is in its life (see the package's drawing).
type Phase uint8

// The phases. Their numbers are written to disk.
const (
	Waiting  Phase = iota // its turn has not come
	Starting              // the shell prepares and starts it
	Running               // it runs
	Delaying              // it ended and starts again at Status.WakeAt
	Draining              // it runs, and is killed at Status.WakeAt
	Killing               // it was told to end
	Dead                  // it has ended for good
)

// Status is what a node remembers of a task. It is kept on disk: fields are
// only added.
type Status struct {
	Phase       Phase
	Failed      bool // meaningful when Dead
	Started     bool // it has run at least once
	Restarts    uint64
	LastRestart time.Time
	StartedAt   time.Time
	FinishedAt  time.Time
	WakeAt      time.Time // end of Delaying or Draining
	// WindowStart and WindowCount are the restarts of the current interval.
	WindowStart time.Time
	WindowCount int
	// Restarting: the kill under way is for a restart that was asked for.
	Restarting bool
	// StopSeen: the wish to stop has been acted on (and its event written).
	StopSeen bool
	// Fenced: it was told to end because its node had no lease.
	Fenced bool `json:",omitempty"`
	// Overran: it was told to end because its group had run for too long.
	Overran bool `json:",omitempty"`
	// FirstStart is when it started the first time; see RanSince.
	FirstStart time.Time `json:",omitzero"`
	// RestartSeen is the last Desired.RestartNonce acted on.
	RestartSeen uint64
}

// Alive tells whether the task has, or may have, a process.
func (s Status) Alive() bool {
	switch s.Phase {
	case Starting, Running, Draining, Killing:
		return true
	}
	return false
}

// Up tells whether the task has started and not ended.
func (s Status) Up() bool {
	return s.Phase == Running || s.Phase == Draining || s.Phase == Killing
}

// Succeeded tells whether the task ended well.
func (s Status) Succeeded() bool { return s.Phase == Dead && !s.Failed }

// RanSince is when the task started the first time; zero if it never did. Records of
// earlier versions know only the newest start.
func (s Status) RanSince() time.Time {
	if s.FirstStart.IsZero() && s.Started {
		return s.StartedAt
	}
	return s.FirstStart
}

// State is the status as the API shows it, with events as its history.
func (s Status) State(events []*model.TaskEvent) *model.TaskState {
	out := &model.TaskState{
		State: model.TaskPending, Restarts: s.Restarts, LastRestart: s.LastRestart,
		StartedAt: s.StartedAt, FinishedAt: s.FinishedAt, Events: events, Overran: s.Overran,
	}
	switch {
	case s.Phase == Dead:
		out.State, out.Failed = model.TaskDead, s.Failed
	case s.Up():
		out.State = model.TaskRunning
	}
	return out
}

// Desired is what is wanted of a task: its job's words and the servers' wish.
type Desired struct {
	// Start opens the gate: the task's turn has come.
	Start bool
	// Stop ends the task for good. StopReason is shown to people ("" = the
	// usual words) and StopEvent, when set, precedes the kill in the history.
	Stop       bool
	StopReason string
	StopEvent  *model.TaskEvent
	// Fails makes an end that Stop brings about a failure.
	Fails bool
	// NoDelay skips ShutdownDelay.
	NoDelay bool
	// RestartNonce asks for a restart when it is above Status.RestartSeen;
	// Revive makes that include a task that has ended.
	RestartNonce uint64
	Revive       bool

	Policy model.RestartPolicy
	// RestartOnSuccess: an end with exit code 0 counts as an end too soon.
	RestartOnSuccess bool
	// KillTimeout is already bounded by the node's maximum.
	KillTimeout   time.Duration
	KillSignal    string
	ShutdownDelay time.Duration
	// Seed decides the jitter of restart delays.
	Seed uint64
}

// Kind is a kind of observation.
type Kind uint8

// The kinds of observations.
const (
	Nothing     Kind = iota // only time has passed, or wishes have changed
	SetupFailed             // a step before the driver failed: Err
	StartFailed             // the driver could not start it: Err, Recoverable
	Started                 // it runs
	Exited                  // it has ended: Exit
	Vanished                // the driver does not know it any more: Err
)

// Observed is one observation of the shell.
type Observed struct {
	Kind        Kind
	Exit        *plugins.ExitResult
	Err         string
	Recoverable bool
	At          time.Time // when it happened, zero = now
}

// Verb is what the shell has to do.
type Verb uint8

// The verbs.
const (
	VerbNone   Verb = iota
	VerbStart       // prepare and start; answer with Started, SetupFailed or StartFailed
	VerbCancel      // give up the start under way; its answer still comes
	VerbKill        // stop within Timeout by Signal; Exited comes when it ended
)

// Action is the outcome of a Step for the shell. Events are to be added to the
// history whatever the verb.
type Action struct {
	Verb    Verb
	Timeout time.Duration
	Signal  string
	Events  []*model.TaskEvent
}
