package alloc

import "github.com/steppe-project/steppe/agent/client/task"

// member is what wishes needs to know of a task.
type member struct {
	name   string
	role   role
	leader bool
	status task.Status
}

// cause is why a task is to stop.
type cause uint8

const (
	causeNone cause = iota
	causeServer
	causeSibling // a task failed for good
	causeLeader  // the leader has ended
	causeMain    // all main tasks have ended
	causeNever   // its turn will not come
	causeLease   // the node has had no lease for so long
	causeOverran // the group has run for as long as it may
)

// wish is what a task should do.
type wish struct {
	start   bool
	stop    cause
	sibling string // the failed one
}

// wishes decides from the statuses of all tasks of a group what each should do.
//
//	prestart ─(all succeeded, sidecars up)─▶ main ─(all up)─▶ poststart
//	main, all ended ─▶ sidecars stop;  all others ended ─▶ poststop
//
// When the group has to stop, whether the servers say so or a task has failed for
// good, its leader goes first; when that has ended all others go, sidecars after
// the main tasks. hard stops everything at once and skips poststop.
func wishes(members []member, stop, hard bool) []wish {
	v := view(members)
	out := make([]wish, len(members))
	for i, m := range members {
		w := &out[i]
		switch {
		case hard:
			w.stop = causeServer
		case m.role == rolePoststop:
			v.poststop(w)
		default:
			v.stopping(w, m, stop)
			w.start = w.stop == causeNone && v.turn(m.role)
		}
	}
	return out
}

// overview sums up the members.
type overview struct {
	prestartDone  bool // prestart tasks succeeded, prestart sidecars have started
	mainsStarted  bool
	mainsDead     bool
	othersDead    bool // all but poststop tasks
	anyStarted    bool
	leaderAlive   bool // there is a leader and it has not ended
	leaderEnded   bool
	failed        string
	failedPresent bool
}

func view(members []member) overview {
	v := overview{prestartDone: true, mainsStarted: true, mainsDead: true, othersDead: true}
	for _, m := range members {
		s := m.status
		dead := s.Phase == task.Dead
		if m.role == rolePoststop {
			continue
		}
		v.anyStarted = v.anyStarted || s.Started
		v.othersDead = v.othersDead && dead
		switch m.role {
		case rolePrestart:
			v.prestartDone = v.prestartDone && s.Succeeded() && s.Started
		case rolePrestartSidecar:
			v.prestartDone = v.prestartDone && s.Started
		case roleMain:
			v.mainsStarted = v.mainsStarted && s.Started
			v.mainsDead = v.mainsDead && dead
		}
		if m.leader {
			v.leaderAlive = !dead
			v.leaderEnded = dead
		}
		if dead && s.Failed && !v.failedPresent {
			v.failed, v.failedPresent = m.name, true
		}
	}
	return v
}

// turn tells whether a role may start now.
func (v overview) turn(r role) bool {
	switch r {
	case roleMain:
		return v.prestartDone
	case rolePoststart, rolePoststartSidecar:
		return v.mainsStarted && v.prestartDone
	}
	return true
}

// stopping decides whether a task other than poststop has to stop.
func (v overview) stopping(w *wish, m member, stop bool) {
	switch {
	case !v.mayGo(m):
	case v.failedPresent && m.name != v.failed:
		w.stop, w.sibling = causeSibling, v.failed
	case v.leaderEnded && !m.leader:
		w.stop = causeLeader
	case m.role.sidecar() && v.mainsDead:
		w.stop = causeMain
	case stop:
		w.stop = causeServer
	}
}

// mayGo tells whether it would be a task's turn to stop. One that has no process
// need not wait for those that have, and must not start beside them.
func (v overview) mayGo(m member) bool {
	switch {
	case m.leader, m.status.Phase == task.Waiting:
		return true
	case m.role.sidecar():
		return v.mainsDead && !v.leaderAlive
	}
	return !v.leaderAlive || m.status.Phase == task.Delaying
}

// poststop tasks run when all others have ended, if any has run at all.
func (v overview) poststop(w *wish) {
	if !v.othersDead {
		return
	}
	w.start = v.anyStarted
	if !v.anyStarted {
		w.stop = causeNever
	}
}
