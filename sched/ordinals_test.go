package sched_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/reconcile"
	"github.com/steppe-project/steppe/sched/verify"
)

// ordinalStory drives one job with a stateful group.
type ordinalStory struct {
	t *rapid.T
	w *world
}

func (s *ordinalStory) draw(label string, lo, hi int) int {
	return rapid.IntRange(lo, hi).Draw(s.t, label)
}

// register writes a version of the job: of another count, partition, or command.
func (s *ordinalStory) register(ordered bool) {
	args := map[string]string{
		"stateful": "", "min_healthy": "10s", "unlimited": "", "delay": "5s", "mem": "50",
		"count": fmt.Sprint(s.draw("count", 0, 4)), "partition": fmt.Sprint(max(0, s.draw("partition", -4, 4))),
		"command": rapid.SampledFrom([]string{"one", "two"}).Draw(s.t, "command"),
	}
	if !ordered {
		args["unordered"], args["max_parallel"] = "", "2"
	}
	s.w.setJob(buildJob("db", args, ""))
	s.decide()
}

// stop ends the job.
func (s *ordinalStory) stop() {
	if j := s.w.jobs["db"]; j != nil && !j.Stop {
		next := *j
		next.Stop = true
		s.w.setJob(&next)
		s.decide()
	}
}

// report has one instance start, end, or fail, or be moved.
func (s *ordinalStory) report() {
	var ids []string
	for _, id := range s.w.names {
		if a := s.w.allocs[id]; !a.ClientTerminal() && s.w.nodes[a.NodeID].Status == model.NodeStatusReady {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	id := rapid.SampledFrom(ids).Draw(s.t, "alloc")
	switch a := s.w.allocs[id]; {
	case a.ServerTerminal():
		s.w.report(id, model.ClientComplete)
	case s.draw("fate", 0, 9) == 0:
		s.w.report(id, model.ClientFailed)
	case s.draw("fate", 0, 9) == 0:
		yes := true
		s.w.changeAlloc(id, func(a *model.Allocation) { a.DesiredTransition.Migrate = &yes })
	case a.ClientStatus == model.ClientPending:
		s.w.report(id, model.ClientRunning)
	}
	s.decide()
}

// node takes a node down, or brings it back.
func (s *ordinalStory) node() {
	next := *s.w.nodes[fmt.Sprintf("n%d", s.draw("node", 1, 3))]
	next.Status = map[string]string{model.NodeStatusReady: model.NodeStatusDown, model.NodeStatusDown: model.NodeStatusReady}[next.Status]
	s.w.setNode(&next)
	s.decide()
}

// decide decides what is due, and looks at each decision.
func (s *ordinalStory) decide() {
	if s.w.jobs["db"] != nil {
		s.w.newEval("db", model.TriggerJobRegister)
	}
	for range 50 {
		due := s.w.due()
		if len(due) == 0 {
			return
		}
		plan, _ := verify.Check(s.w, s.w.process(due[0]))
		s.before(plan)
		s.w.apply(plan)
		s.w.check(s.t)
		s.single()
	}
	s.t.Fatalf("the evaluations never come to an end")
}

func (s *ordinalStory) well(a *model.Allocation) bool {
	since, runs := reconcile.StartedAt(a, a.Job.TaskGroups[0])
	return !a.Terminal() && runs && !since.Add(10*time.Second).After(s.w.now)
}

// single: of a name at most one allocation has not ended.
func (s *ordinalStory) single() {
	names := map[string]string{}
	for _, a := range s.w.AllocsByJob("", "db") {
		if !a.ClientTerminal() {
			once(s.t, names, a.Name, a.ID)
		}
	}
}

// before looks at a plan on the state that it changes.
func (s *ordinalStory) before(plan *model.Plan) {
	job := s.w.jobs["db"]
	g := job.TaskGroups[0]
	if !g.Stateful.Ordered {
		return
	}
	all := s.w.AllocsByJob("", "db")
	live := func(i int) *model.Allocation {
		for _, a := range all {
			if a.Index() == i && !a.Terminal() {
				return a
			}
		}
		return nil
	}
	for _, pg := range plan.Groups {
		for _, p := range pg.Placements {
			for i := range p.Index {
				if a := live(i); a == nil || !s.well(a) {
					s.t.Fatalf("ordinal %d is placed, and %d is not healthy", p.Index, i)
				}
			}
			if prev := s.w.allocs[p.PreviousAllocation]; prev != nil && p.Index < g.Stateful.Partition && prev.JobVersion != job.Version && !pg.OfPrevious {
				s.t.Fatalf("ordinal %d below the partition is updated", p.Index)
			}
		}
		for _, u := range pg.InPlace {
			if a := s.w.allocs[u.ID]; a.Index() < g.Stateful.Partition {
				s.t.Fatalf("ordinal %d below the partition is updated in place", a.Index())
			}
		}
	}
	stops, lost := 0, map[string]bool{} // given up: their nodes have stopped them by now
	for _, st := range plan.Stops {
		lost[st.ID] = st.ClientStatus == model.ClientLost
	}
	for _, st := range plan.Stops {
		a := s.w.allocs[st.ID]
		if st.KeepDesired || st.ClientStatus != "" || a.ClientTerminal() {
			continue
		}
		switch st.Description {
		case reconcile.DescUpdating, reconcile.DescMending:
			stops++
			if a.Index() < g.Stateful.Partition {
				s.t.Fatalf("ordinal %d below the partition is stopped for an update", a.Index())
			}
			for i := range g.Count {
				if o := live(i); s.well(a) && (o == nil || !s.well(o) || i > a.Index() && reconcile.Changed(o.Job, job, "g")) {
					s.t.Fatalf("ordinal %d is stopped for an update, and %d does not do well or has yet to be updated", a.Index(), i)
				}
			}
		case reconcile.DescNotNeeded, reconcile.DescStopped:
			stops++
			for _, o := range all {
				if o.Index() > a.Index() && !o.ClientTerminal() && !lost[o.ID] && (!o.ServerTerminal() || s.w.now.Sub(time.Unix(0, o.ModifyTime)) < 6*time.Second) {
					s.t.Fatalf("ordinal %d is stopped before %d has ended", a.Index(), o.Index())
				}
			}
		}
	}
	if stops > 1 {
		s.t.Fatalf("%d instances are stopped at once", stops)
	}
}

// settle lets all that was begun end.
func (s *ordinalStory) settle() {
	for id, n := range s.w.nodes {
		next := *n
		if next.Status = model.NodeStatusReady; n.Status != model.NodeStatusReady {
			s.w.setNode(&next)
		}
		_ = id
	}
	for range 300 {
		for _, id := range s.w.names {
			switch a := s.w.allocs[id]; {
			case a.ClientTerminal():
			case a.ServerTerminal():
				s.w.report(id, model.ClientComplete)
			case a.ClientStatus == model.ClientPending:
				s.w.report(id, model.ClientRunning)
			}
		}
		s.w.now = s.w.now.Add(5 * time.Second)
		s.decide()
	}
	job := s.w.jobs["db"]
	want := job.TaskGroups[0].Count
	if job.Stop {
		want = 0
	}
	n := 0
	for _, a := range s.w.AllocsByJob("", "db") {
		if a.Terminal() {
			continue
		}
		n++
		if a.Index() >= job.TaskGroups[0].Stateful.Partition && a.JobVersion != job.Version {
			s.t.Fatalf("%s is at version %d of %d", a.Name, a.JobVersion, job.Version)
		}
	}
	if n != want {
		s.t.Fatalf("there are %d instances, and %d are wanted", n, want)
	}
}

// TestOrdinals: whatever happens to instances and nodes, of an ordinal there is one at
// most; they start from below, stop and are updated from above, none below the partition;
// and in the end all are there.
func TestOrdinals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &ordinalStory{t: t, w: newWorld()}
		for i := range 3 {
			s.w.setNode(buildNode(fmt.Sprintf("n%d", i+1), map[string]string{}, i))
		}
		ordered := rapid.IntRange(0, 3).Draw(t, "ordered") > 0
		s.register(ordered)
		t.Repeat(map[string]func(*rapid.T){
			"register": func(*rapid.T) { s.register(ordered) }, "stop": func(*rapid.T) { s.stop() }, "node": func(*rapid.T) { s.node() },
			"report": func(*rapid.T) { s.report() }, "report2": func(*rapid.T) { s.report() }, "report3": func(*rapid.T) { s.report() },
			"time": func(*rapid.T) {
				s.w.now = s.w.now.Add(time.Duration(s.draw("seconds", 1, 30)) * time.Second)
				s.decide()
			},
		})
		s.settle()
	})
}
