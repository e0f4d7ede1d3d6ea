package alloc

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/model"
)

// group draws a group of tasks that all wait.
func group(t *rapid.T) []member {
	roles := rapid.SliceOfN(rapid.SampledFrom([]role{
		roleMain, rolePrestart, rolePrestartSidecar, rolePoststart, rolePoststartSidecar, rolePoststop,
	}), 0, 5).Draw(t, "roles")
	members := []member{{name: "main", role: roleMain}}
	for i, r := range roles {
		members = append(members, member{name: string(rune('a' + i)), role: r})
	}
	leader := rapid.IntRange(-1, len(members)-1).Draw(t, "leader")
	if leader >= 0 && members[leader].role != rolePoststop {
		members[leader].leader = true
	}
	return members
}

// play lets a group react on itself and on chance until nothing moves.
type play struct {
	t       *rapid.T
	members []member
	stop    bool
	now     time.Time
}

func (p *play) settle() {
	for moved := true; moved; {
		moved = false
		for i, w := range wishes(p.members, p.stop, false) {
			if w.start && w.stop != causeNone {
				p.t.Fatalf("%s should both start and stop", p.members[i].name)
			}
			moved = p.step(i, w, task.Observed{}) || moved
		}
	}
}

func (p *play) step(i int, w wish, o task.Observed) bool {
	m := &p.members[i]
	d := task.Desired{
		Start: w.start, Stop: w.stop != causeNone, RestartOnSuccess: m.role.restartsOnSuccess(model.JobTypeBatch),
		Policy: model.RestartPolicy{Mode: model.RestartModeFail},
	}
	next, a := task.Step(m.status, d, o, p.now)
	switch a.Verb {
	case task.VerbStart:
		p.checkStart(*m)
	case task.VerbKill:
		p.checkKill(*m)
	}
	moved := next != m.status
	m.status = next
	return moved
}

// checkStart holds the order of the roles against a start.
func (p *play) checkStart(m member) {
	for _, other := range p.members {
		s := other.status
		switch {
		case other.name == m.name:
		case m.role == roleMain && other.role == rolePrestart && !s.Succeeded():
			p.t.Fatalf("%s starts before %s succeeded", m.name, other.name)
		case m.role == roleMain && other.role == rolePrestartSidecar && !s.Started:
			p.t.Fatalf("%s starts before %s runs", m.name, other.name)
		case (m.role == rolePoststart || m.role == rolePoststartSidecar) && other.role == roleMain && !s.Started:
			p.t.Fatalf("%s starts before %s runs", m.name, other.name)
		case m.role == rolePoststop && other.role != rolePoststop && s.Phase != task.Dead:
			p.t.Fatalf("%s starts before %s has ended", m.name, other.name)
		}
	}
}

// checkKill holds the order of stopping against a kill: leaders first, sidecars last.
func (p *play) checkKill(m member) {
	for _, other := range p.members {
		s := other.status
		switch {
		case other.name == m.name || s.Phase == task.Dead || m.leader:
		case other.leader:
			p.t.Fatalf("%s is killed before the leader %s has ended", m.name, other.name)
		case m.role.sidecar() && other.role == roleMain:
			p.t.Fatalf("%s is killed before %s has ended", m.name, other.name)
		}
	}
}

// chance lets one living task get on: start, or end well or badly.
func (p *play) chance() bool {
	var alive []int
	for i, m := range p.members {
		if m.status.Alive() {
			alive = append(alive, i)
		}
	}
	if len(alive) == 0 {
		return false
	}
	i := rapid.SampledFrom(alive).Draw(p.t, "task")
	o := task.Observed{Kind: task.Started}
	if p.members[i].status.Phase != task.Starting {
		o = task.Observed{Kind: task.Exited, Err: rapid.SampledFrom([]string{"", "", "failed"}).Draw(p.t, "end")}
		if o.Err == "" {
			o.Exit = exitedWell
		}
	}
	stop := wishes(p.members, p.stop, false)[i]
	p.step(i, stop, o)
	return true
}

// TestOrder (safety and liveness): whatever the tasks of a group do, they start
// in the order of their roles; and a group whose tasks all end comes to its end.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &play{t: t, members: group(t), now: time.Unix(0, 0)}
		stopAt := rapid.IntRange(0, 30).Draw(t, "stop at")
		for i := range 200 {
			p.stop = p.stop || i == stopAt
			p.settle()
			if !p.chance() {
				break
			}
		}
		p.stop = true
		for p.settle(); p.chance(); p.settle() {
		}
		status, _ := clientStatus(p.members)
		if !ended(status) {
			t.Fatalf("%s: %+v", status, p.members)
		}
		failed := false
		for _, m := range p.members {
			failed = failed || m.status.Failed
		}
		if failed != (status == model.ClientFailed) {
			t.Fatalf("%s with failed %v", status, failed)
		}
	})
}

// TestSiblingFailsBesideLeader: the leader goes first, the others wait for its end.
func TestSiblingFailsBesideLeader(t *testing.T) {
	up := task.Status{Phase: task.Running, Started: true}
	killing := task.Status{Phase: task.Killing, Started: true, StopSeen: true}
	members := []member{
		{name: "main", role: roleMain, leader: true, status: up},
		{name: "worker", role: roleMain, status: task.Status{Phase: task.Dead, Started: true, Failed: true}},
		{name: "other", role: roleMain, status: up},
		{name: "again", role: roleMain, status: task.Status{Phase: task.Delaying, Started: true}},
		{name: "proxy", role: rolePrestartSidecar, status: up},
		{name: "clean", role: rolePoststop},
	}
	want := func(when string, wanted ...cause) {
		t.Helper()
		for i, w := range wishes(members, false, false) {
			if w.stop != wanted[i] || w.start && i != 5 && w.stop != causeNone {
				t.Errorf("%s, %s: %+v", when, members[i].name, w)
			}
		}
	}
	want("leader runs", causeSibling, causeNone, causeNone, causeSibling, causeNone, causeNone)
	members[0].status = killing
	want("leader is told", causeSibling, causeNone, causeNone, causeSibling, causeNone, causeNone)
	dead := task.Status{Phase: task.Dead, Started: true}
	members[0].status, members[3].status = dead, dead
	want("leader has ended", causeSibling, causeLeader, causeSibling, causeSibling, causeNone, causeNone)
	members[2].status = dead
	want("mains have ended", causeSibling, causeLeader, causeSibling, causeSibling, causeSibling, causeNone)
	members[4].status = dead
	if w := wishes(members, false, false)[5]; !w.start {
		t.Error("poststop does not run")
	}
}

func TestClientStatus(t *testing.T) {
	dead, bad := task.Status{Phase: task.Dead, Started: true}, task.Status{Phase: task.Dead, Started: true, Failed: true}
	up, waiting := task.Status{Phase: task.Running, Started: true}, task.Status{}
	for _, tc := range []struct {
		statuses []task.Status
		want     string
	}{
		{[]task.Status{waiting, waiting}, model.ClientPending}, {[]task.Status{up, waiting}, model.ClientRunning},
		{[]task.Status{dead, waiting}, model.ClientRunning}, {[]task.Status{bad, up}, model.ClientRunning},
		{[]task.Status{{Phase: task.Delaying, Started: true}}, model.ClientRunning},
		{[]task.Status{dead, dead}, model.ClientComplete}, {[]task.Status{dead, bad}, model.ClientFailed},
	} {
		var members []member
		for _, s := range tc.statuses {
			members = append(members, member{status: s})
		}
		if got, _ := clientStatus(members); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.statuses, got, tc.want)
		}
	}
}
