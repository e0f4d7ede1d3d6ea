package whatif

import (
	"context"
	"slices"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// reactions are what the nodes do: they start what they are given, and end what they
// should.
type reactions struct {
	sub    *state.Subscription
	starts []reaction // by time
	stops  []reaction
	health []reaction
}

// reaction is a report that comes at a time.
type reaction struct {
	at time.Time
	id string
}

// open begins with what is on its way.
func (r *reactions) open(s *stage) {
	var snap *state.Snapshot
	snap, r.sub = s.w.Store.Subscribe(state.TableAllocs)
	for a := range snap.Allocs(state.Range{}) {
		r.note(s.w.Now(), a)
	}
}

func (r *reactions) close() {
	if r.sub != nil {
		r.sub.Close()
	}
}

// note takes in an allocation that its node will say something of.
func (r *reactions) note(now time.Time, a *model.Allocation) {
	switch {
	case a == nil || a.ClientTerminal():
	case a.ServerTerminal():
		r.stops = append(r.stops, reaction{now.Add(StopTime), a.ID})
	case a.ClientStatus == model.ClientPending:
		r.starts = append(r.starts, reaction{now.Add(StartTime), a.ID})
	case a.ClientStatus == model.ClientRunning:
		r.judge(now, a)
	}
}

// judge notes when a running allocation of a deployment will be healthy, as its node
// says; nothing fails here.
func (r *reactions) judge(now time.Time, a *model.Allocation) {
	if a.DeploymentID == "" || deploy.Healthy(a) || deploy.Unhealthy(a) {
		return
	}
	g := reconcile.Find(a.Job, a.TaskGroup)
	if g == nil {
		return
	}
	u := deploy.Strategy(a.Job, g)
	if u == nil || u.HealthCheck == deploy.Manual {
		return
	}
	at := now.Add(u.MinHealthyTime)
	i, _ := slices.BinarySearchFunc(r.health, at, func(x reaction, at time.Time) int {
		if x.at.After(at) {
			return 1
		}
		return -1
	})
	r.health = slices.Insert(r.health, i, reaction{at, a.ID})
}

// next is when the next report comes; zero for never.
func (r *reactions) next() time.Time {
	var at time.Time
	for _, list := range [][]reaction{r.starts, r.stops, r.health} {
		if len(list) > 0 && (at.IsZero() || list[0].at.Before(at)) {
			at = list[0].at
		}
	}
	return at
}

// react sends the reports that are due.
func (r *reactions) react(ctx context.Context, s *stage) (bool, error) {
	changes, err := poll(r.sub)
	if err != nil {
		return false, err
	}
	now := s.w.Now()
	for i := range changes {
		a, _ := changes[i].After.(*model.Allocation)
		r.note(now, a)
	}
	req := &msg.NodeReportRequest{}
	snap := s.w.Store.Snapshot()
	for len(r.stops) > 0 && !r.stops[0].at.After(now) {
		s.report(req, snap, r.stops[0].id, true)
		r.stops = r.stops[1:]
	}
	for len(r.starts) > 0 && !r.starts[0].at.After(now) {
		s.report(req, snap, r.starts[0].id, false)
		r.starts = r.starts[1:]
	}
	for len(r.health) > 0 && !r.health[0].at.After(now) {
		s.healthy(req, snap, r.health[0].id)
		r.health = r.health[1:]
	}
	if len(req.Nodes) == 0 {
		return false, nil
	}
	out, err := msg.NodeReportAt.Call(ctx, s.Admit, req)
	if err == nil && len(out.Refused) > 0 {
		err = model.Errorf(model.CodeInternal, "a node's report is refused: %s", out.Refused[0].Message)
	}
	return true, err
}

// speaker is the node of an allocation, nil when it is not there to say anything.
func (s *stage) speaker(snap *state.Snapshot, a *model.Allocation) *model.Node {
	n := snap.Node(a.NodeID)
	if n == nil || s.dead[n.ID] || n.Status != model.NodeStatusReady {
		return nil
	}
	return n
}

// healthy adds a node's word that an allocation is healthy, unless it has said so or is
// not there to. The servers speak for nodes that have no word.
func (s *stage) healthy(req *msg.NodeReportRequest, snap *state.Snapshot, id string) {
	a := snap.Alloc(id)
	if a == nil || a.Terminal() || a.DeploymentID == "" || deploy.Healthy(a) || deploy.Unhealthy(a) {
		return
	}
	n := s.speaker(snap, a)
	if n == nil || n.Attributes[deploy.AttrHealth] == "" {
		return
	}
	yes := true
	up := &model.AllocUpdate{
		ID: id, ClientStatus: a.ClientStatus, TaskStates: a.TaskStates,
		DeploymentStatus: &model.AllocDeploymentStatus{Healthy: &yes, Timestamp: s.w.Now(), ModifyIndex: a.AllocModifyIndex},
	}
	req.Nodes = append(req.Nodes, &msg.NodeUpdateAllocsRequest{NodeID: n.ID, SecretID: n.SecretID, Updates: []*model.AllocUpdate{up}})
}

// report adds what a node says of an allocation, if there is something to say and the
// node is there to say it.
func (s *stage) report(req *msg.NodeReportRequest, snap *state.Snapshot, id string, end bool) {
	a := snap.Alloc(id)
	if a == nil || a.ClientTerminal() || a.ServerTerminal() != end || !end && a.ClientStatus != model.ClientPending {
		return
	}
	n := s.speaker(snap, a)
	if n == nil {
		return
	}
	up := &model.AllocUpdate{ID: id, ClientStatus: model.ClientRunning, TaskStates: states(a, s.w.Now(), end)}
	if end {
		up.ClientStatus = model.ClientComplete
	}
	req.Nodes = append(req.Nodes, &msg.NodeUpdateAllocsRequest{NodeID: n.ID, SecretID: n.SecretID, Updates: []*model.AllocUpdate{up}})
}

// states are those of an allocation's tasks when all have started, or have ended.
func states(a *model.Allocation, now time.Time, end bool) map[string]*model.TaskState {
	out := make(map[string]*model.TaskState)
	g := reconcile.Find(a.Job, a.TaskGroup)
	if g == nil {
		return a.TaskStates
	}
	for _, t := range g.Tasks {
		s := &model.TaskState{State: model.TaskRunning, StartedAt: now}
		if old := a.TaskStates[t.Name]; old != nil {
			c := *old
			s = &c
		}
		passing := t.Lifecycle != nil && !t.Lifecycle.Sidecar && t.Lifecycle.Hook != model.HookPoststop
		switch {
		case end || passing:
			s.State, s.FinishedAt = model.TaskDead, now
		case t.Lifecycle != nil && t.Lifecycle.Hook == model.HookPoststop:
			s.State, s.StartedAt = model.TaskPending, time.Time{}
		default:
			s.State = model.TaskRunning
		}
		out[t.Name] = s
	}
	return out
}
