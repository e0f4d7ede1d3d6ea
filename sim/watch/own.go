package watch

import (
	"github.com/steppe-project/steppe/agent/client/alloc"
	"github.com/steppe-project/steppe/agent/client/task"
)

// Own tells whether a node ends a task though the servers want it to run: its group has a
// policy for that, or the job's other tasks are a reason.
func Own(core *alloc.Core, i int) bool {
	t, s := core.Task(i)
	if s.Fenced || s.Overran {
		return true // its group's policy
	}
	for j := range core.Tasks() {
		t, s := core.Task(j)
		if j != i && (s.Phase == task.Dead && s.Failed || t.Leader && s.Phase == task.Dead) {
			return true // the job's own rules
		}
	}
	return t.Lifecycle != nil && t.Lifecycle.Sidecar // its main tasks have ended
}
