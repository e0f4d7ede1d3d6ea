package task

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deadline"
	"github.com/steppe-project/steppe/plugins"
)

// Event makes an event of a type with the message people see.
func Event(kind string, now time.Time, message string) *model.TaskEvent {
	return &model.TaskEvent{Type: kind, Time: now.UnixNano(), DisplayMessage: message, Details: map[string]string{}}
}

// ReceivedEvent is a task's first.
func ReceivedEvent(now time.Time) *model.TaskEvent {
	return Event(model.EventReceived, now, "Task received by client")
}

// SetupEvent tells what is being prepared.
func SetupEvent(now time.Time, message string) *model.TaskEvent {
	e := Event(model.EventTaskSetup, now, message)
	e.Message = message
	e.Details["message"] = message
	return e
}

// DriverEvent is a driver's own message.
func DriverEvent(now time.Time, message string, notes map[string]string) *model.TaskEvent {
	e := Event(model.EventDriver, now, message)
	for k, v := range notes {
		e.Details[k] = v
	}
	e.Details["driver_message"] = message
	return e
}

// SiblingFailedEvent is for the tasks that die with a failed one.
func SiblingFailedEvent(now time.Time, sibling string) *model.TaskEvent {
	e := Event(model.EventSiblingFailed, now, fmt.Sprintf("Task's sibling %q failed", sibling))
	e.Details["failed_sibling"] = sibling
	return e
}

// LeaderDeadEvent is for the tasks that die with their leader.
func LeaderDeadEvent(now time.Time) *model.TaskEvent {
	return Event(model.EventLeaderDead, now, "Leader Task in Group dead")
}

// MainTasksDeadEvent is for sidecars that have nothing left to serve.
func MainTasksDeadEvent(now time.Time) *model.TaskEvent {
	return Event(model.EventMainTasksDead, now, "Main tasks in the group died")
}

// DisconnectedEvent is for tasks that end because their node has no lease.
func DisconnectedEvent(now time.Time, after time.Duration) *model.TaskEvent {
	message := fmt.Sprintf("No contact with the servers for %v: the task is stopped, as stop_on_client_after asks", after)
	e := Event(model.EventDisconnected, now, message)
	e.Details["stop_on_client_after"] = after.String()
	return e
}

// OverranEvent is for tasks that end because their group has run for too long.
func OverranEvent(now time.Time, bound time.Duration) *model.TaskEvent {
	e := Event(deadline.EventOverran, now, deadline.Words(bound))
	e.Details["max_run_duration"] = deadline.Text(bound)
	return e
}

// SignalEvent tells that a signal was asked for.
func SignalEvent(now time.Time, signal string) *model.TaskEvent {
	e := Event(model.EventSignaling, now, fmt.Sprintf("Task being sent signal %s", signal))
	e.Details["signal"] = signal
	return e
}

func restartSignalEvent(now time.Time) *model.TaskEvent {
	return Event(model.EventRestartSignal, now, "Task signaled to restart")
}

func startedEvent(now time.Time) *model.TaskEvent {
	return Event(model.EventStarted, now, "Task started by client")
}

func setupFailureEvent(now time.Time, err string) *model.TaskEvent {
	e := Event(model.EventSetupFailure, now, err)
	e.Message = err
	e.Details["message"] = err
	return e
}

func driverFailureEvent(now time.Time, err string) *model.TaskEvent {
	e := Event(model.EventDriverFailure, now, err)
	e.DriverError = err
	e.Details["driver_error"] = err
	return e
}

// terminatedEvent words how a task ended.
func terminatedEvent(now time.Time, r *plugins.ExitResult) *model.TaskEvent {
	var b strings.Builder
	fmt.Fprintf(&b, "Exit Code: %d", r.ExitCode)
	if r.Signal != 0 {
		fmt.Fprintf(&b, ", Signal: %d", r.Signal)
	}
	message := r.Err
	if message == "" && r.OOMKilled {
		message = "OOM Killed"
	}
	if message != "" {
		fmt.Fprintf(&b, ", Exit Message: %q", message)
	}
	e := Event(model.EventTerminated, now, b.String())
	e.ExitCode, e.Signal, e.Message = r.ExitCode, r.Signal, message
	e.Details["exit_code"] = strconv.Itoa(r.ExitCode)
	e.Details["signal"] = strconv.Itoa(r.Signal)
	e.Details["oom_killed"] = strconv.FormatBool(r.OOMKilled)
	if message != "" {
		e.Details["exit_message"] = message
	}
	return e
}

func restartingEvent(now time.Time, v verdict) *model.TaskEvent {
	message := "Task restarting in " + v.after.Round(time.Millisecond).String()
	if v.reason != reasonWithinPolicy {
		message = v.reason + " - " + message
	}
	e := Event(model.EventRestarting, now, message)
	e.RestartReason, e.StartDelay = v.reason, int64(v.after)
	e.Details["restart_reason"] = v.reason
	e.Details["start_delay"] = strconv.FormatInt(int64(v.after), 10)
	return e
}

func notRestartingEvent(now time.Time, reason string) *model.TaskEvent {
	e := Event(model.EventNotRestarting, now, reason)
	e.RestartReason, e.FailsTask = reason, true
	e.Details["restart_reason"] = reason
	e.Details["fails_task"] = "true"
	return e
}

func killingEvent(now time.Time, d Desired) *model.TaskEvent {
	message := d.StopReason
	if message == "" {
		message = fmt.Sprintf("Sent interrupt. Waiting %v before force killing", d.KillTimeout)
	}
	e := Event(model.EventKilling, now, message)
	e.KillTimeout, e.KillReason = d.KillTimeout, d.StopReason
	e.Details["kill_timeout"] = d.KillTimeout.String()
	if d.StopReason != "" {
		e.Details["kill_reason"] = d.StopReason
	}
	return e
}

func killedEvent(now time.Time) *model.TaskEvent {
	return Event(model.EventKilled, now, "Task successfully killed")
}
