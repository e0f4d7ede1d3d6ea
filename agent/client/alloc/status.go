package alloc

import (
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/model"
)

// clientStatus derives an allocation's status from those of its tasks. Once it
// has run it is running until it has ended, also between two attempts.
func clientStatus(members []member) (status, description string) {
	dead, failed, started, fenced := true, false, false, false
	for _, m := range members {
		dead = dead && m.status.Phase == task.Dead
		failed = failed || m.status.Phase == task.Dead && (m.status.Failed || m.status.Overran)
		started = started || m.status.Started
		fenced = fenced || m.status.Fenced
	}
	switch {
	case dead && failed:
		return model.ClientFailed, "Failed tasks"
	case dead && fenced: // nobody's failure, and not done
		return model.ClientLost, "Stopped by its node, which had no contact with the servers"
	case dead:
		return model.ClientComplete, "All tasks have completed"
	case started:
		return model.ClientRunning, "Tasks are running"
	}
	return model.ClientPending, "No tasks have started"
}
