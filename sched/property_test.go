package sched_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/verify"
)

// story drives a world with random events. Evaluations are decided in pairs on
// one snapshot and committed one after the other, as parallel workers do.
type story struct {
	t *rapid.T
	w *world
	// constraints that all instances of a job must meet, told by the story
	// itself and checked by code of its own.
	racks map[string]rack
	freed bool // something was freed since the blocked were looked at
}

// rack is what a job asks of its nodes.
type rack struct {
	arch     string // "" for any
	distinct string // "", "hosts" or "arch"
}

func (s *story) draw(label string, lo, hi int) int {
	return rapid.IntRange(lo, hi).Draw(s.t, label)
}

func (s *story) pick(label string, from []string) string {
	return rapid.SampledFrom(from).Draw(s.t, label)
}

func (s *story) nodeIDs() []string { return slices.Sorted(maps.Keys(s.w.nodes)) }
func (s *story) jobIDs() []string  { return slices.Sorted(maps.Keys(s.w.jobs)) }

func (s *story) addNode() {
	id := fmt.Sprintf("n%d", s.draw("node", 1, 8))
	if s.w.nodes[id] != nil {
		return
	}
	// A node that comes back has the size it had: what runs on it still fits.
	var i int
	fmt.Sscanf(id, "n%d", &i)
	args := map[string]string{
		"attr.arch": s.pick("arch", []string{"amd64", "arm64", "riscv"}),
		"mem":       []string{"500", "1000", "2000"}[i%3],
		"devices":   []string{"v/gpu/a:1", "v/gpu/a:1,v/gpu/b:2", "w/gpu/c:2"}[i%3],
	}
	s.w.setNode(buildNode(id, args, i))
	s.evalAll()
}

func (s *story) changeNode() {
	ids := s.nodeIDs()
	if len(ids) == 0 {
		return
	}
	id := s.pick("node", ids)
	args := rapid.SampledFrom([]map[string]string{
		{"status": "down"}, {"status": "ready"}, {"eligibility": "ineligible"}, {"eligibility": "eligible"}, nil,
	}).Draw(s.t, "change")
	if args == nil {
		s.w.deleteNode(id)
	} else {
		next := *s.w.nodes[id]
		applyNode(&next, args)
		s.w.setNode(&next)
	}
	s.evalAll()
}

// evalAll is what the server does when a node changed.
func (s *story) evalAll() {
	for _, id := range s.jobIDs() {
		s.w.newEval(id, model.TriggerNodeUpdate)
	}
	s.freed = true
}

func (s *story) register() {
	id := s.pick("job", []string{"a", "b", "c"})
	old := s.w.jobs[id]
	args := map[string]string{
		"type": s.pick("type", []string{"service", "batch", "system", "sysbatch"}), "count": fmt.Sprint(s.draw("count", 0, 6)),
		"cpu": "100", "mem": s.pick("mem", []string{"50", "200", "400"}), "command": s.pick("command", []string{"one", "two"}),
	}
	args["priority"] = s.pick("priority", []string{"30", "45", "50", "60", "90"})
	if old != nil && s.draw("same type", 0, 9) > 0 {
		args["type"] = old.Type
	}
	if s.draw("ports", 0, 2) == 0 {
		args["ports"] = "web:8080,admin"
	}
	if s.draw("devices", 0, 5) == 0 {
		args["device"] = s.pick("device", []string{"gpu:1", "gpu:2", "v/gpu/a:1", "v/gpu/b:2"})
	}
	if s.draw("cores", 0, 3) == 0 {
		args["cores"] = "2"
	}
	if s.draw("roll", 0, 1) == 0 {
		args["max_parallel"], args["min_healthy"] = "2", "10s"
	}
	if args["type"] != "system" && args["type"] != "sysbatch" && s.draw("gang", 0, 2) == 0 {
		args["gang"] = s.pick("max_partial", []string{"0s", "10s", "40s"})
	}
	if s.draw("reschedule", 0, 2) > 0 {
		args["unlimited"], args["delay"] = "", "5s"
	}
	r, input := rack{}, ""
	if s.draw("constrained", 0, 2) == 0 {
		r.arch = s.pick("want", []string{"amd64", "arm64"})
		input = "${attr.arch} = " + r.arch
	}
	switch s.draw("distinct", 0, 4) {
	case 0:
		r.distinct, input = "hosts", input+"\ndistinct_hosts"
	case 1:
		r.distinct, input = "arch", input+"\n${attr.arch} distinct_property 1"
	}
	if args["type"] == "system" || args["type"] == "sysbatch" {
		r.distinct, input = "", ""
		if r.arch != "" {
			input = "${attr.arch} = " + r.arch
		}
	}
	if s.draw("prefers", 0, 2) == 0 && args["type"] != "system" && args["type"] != "sysbatch" {
		input += "\naffinity ${attr.arch} = " + s.pick("liked", []string{"amd64", "arm64"}) + s.pick("weight", []string{" 100", " -40"})
		input += "\ngroup spread ${attr.arch} 50" + s.pick("shares", []string{"", " amd64=70", " amd64=50 arm64=50"})
	}
	s.racks[id] = r
	s.w.setJob(buildJob(id, args, input))
	s.w.newEval(id, model.TriggerJobRegister)
}

func (s *story) stopJob() {
	ids := s.jobIDs()
	if len(ids) == 0 {
		return
	}
	id := s.pick("job", ids)
	if s.draw("purge", 0, 2) == 0 {
		delete(s.w.jobs, id)
	} else {
		next := *s.w.jobs[id]
		next.Stop = true
		s.w.setJob(&next)
	}
	s.w.newEval(id, model.TriggerJobDeregister)
}

func (s *story) report() {
	var ids []string
	for _, id := range s.w.names {
		a := s.w.allocs[id]
		if n := s.w.nodes[a.NodeID]; !a.ClientTerminal() && n != nil && n.Status == model.NodeStatusReady {
			ids = append(ids, id)
		}
	}
	for i := range min(len(ids), 4) {
		id := ids[(s.draw("alloc", 0, len(ids)-1)+i)%len(ids)]
		a := s.w.allocs[id]
		status := s.pick("status", []string{model.ClientRunning, model.ClientRunning, model.ClientFailed, model.ClientComplete})
		if a.ServerTerminal() && status == model.ClientRunning {
			status = model.ClientComplete
		}
		if a.ClientTerminal() {
			continue
		}
		s.w.report(id, status)
		if s.w.allocs[id].ClientTerminal() {
			s.freed = true
			s.w.newEval(a.JobID, model.TriggerRetryFailed)
		}
	}
}

func (s *story) move() {
	var ids []string
	for _, id := range s.w.names {
		if !s.w.allocs[id].Terminal() {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	id := s.pick("alloc", ids)
	yes := true
	s.w.changeAlloc(id, func(a *model.Allocation) { a.DesiredTransition.Migrate = &yes })
	s.w.newEval(s.w.allocs[id].JobID, model.TriggerAllocStop)
}

func (s *story) wait() {
	s.w.now = s.w.now.Add(time.Duration(s.draw("seconds", 1, 20)) * time.Second)
}

// decide takes what is due, at most one evaluation of each job, decides all on
// one snapshot and commits one after the other.
func (s *story) decide() {
	seen := map[string]bool{}
	var plans []*model.Plan
	for _, e := range s.w.due() {
		if seen[e.JobID] {
			continue
		}
		seen[e.JobID] = true
		plan := s.w.process(e)
		if again := s.w.process(e); fingerprint(plan) != fingerprint(again) {
			s.t.Fatalf("the same input gave two plans:\n%s\n%s", fingerprint(plan), fingerprint(again))
		}
		plans = append(plans, plan)
	}
	for _, p := range plans {
		kept, result := verify.Check(s.w, p)
		s.t.Logf("%s %s: %s refused %v", p.JobID, p.Eval.TriggeredBy, kept.Eval.Status, result.RefusedNodes)
		s.w.apply(kept)
		s.w.check(s.t)
		s.checkConstraints(p.JobID, kept)
		s.checkVictims(kept)
		s.checkGang(p, kept)
		if len(result.RefusedNodes) > 0 && kept.Eval.Status != model.EvalPending {
			s.t.Fatalf("refused %v, but the evaluation is %s", result.RefusedNodes, kept.Eval.Status)
		}
	}
}

// fingerprint is the plan in bytes; unlike the codec, JSON orders maps.
func fingerprint(p *model.Plan) string {
	out, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// checkConstraints looks at the placements of a plan with rules of its own.
func (s *story) checkConstraints(jobID string, plan *model.Plan) {
	r := s.racks[jobID]
	hosts, archs := map[string]int{}, map[string]int{}
	for _, a := range s.w.AllocsByJob("", jobID) {
		if n := s.w.nodes[a.NodeID]; n != nil && !a.Terminal() {
			hosts[a.NodeID]++
			archs[n.Attributes["arch"]]++
		}
	}
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			n := s.w.nodes[p.NodeID]
			if n == nil || !n.Ready() {
				s.t.Fatalf("%s was placed on a node that takes no work", p.ID)
			}
			if r.arch != "" && n.Attributes["arch"] != r.arch {
				s.t.Fatalf("job %s wants %s and was placed on %s", jobID, r.arch, n.Attributes["arch"])
			}
			if r.distinct == "hosts" && hosts[p.NodeID] > 1 {
				s.t.Fatalf("job %s has %d instances on %s", jobID, hosts[p.NodeID], p.NodeID)
			}
			if r.distinct == "arch" && archs[n.Attributes["arch"]] > 1 {
				s.t.Fatalf("job %s has %d instances on %s", jobID, archs[n.Attributes["arch"]], n.Attributes["arch"])
			}
		}
	}
}

// checkVictims looks at what a plan has give way: each for a placement of it, of a
// job that matters less, which is looked at again.
func (s *story) checkVictims(plan *model.Plan) {
	for _, st := range plan.Stops {
		if st.PreemptedBy == "" {
			continue
		}
		victim, by := s.w.allocs[st.ID], s.w.allocs[st.PreemptedBy]
		if by == nil || by.EvalID != plan.EvalID || by.NodeID != victim.NodeID || !slices.Contains(by.PreemptedAllocations, victim.ID) {
			s.t.Fatalf("%s gave way to %v", victim.ID, by)
		}
		if s.w.config == nil {
			if by.Job.Type != model.JobTypeSystem {
				s.t.Fatalf("%s gave way to a job that may not ask for that", victim.Name)
			}
		}
		if victim.Job.Priority+sched.PreemptionDistance > by.Job.Priority {
			s.t.Fatalf("%s of priority %d gave way to %s of %d", victim.Name, victim.Job.Priority, by.Name, by.Job.Priority)
		}
		looked := s.w.jobs[victim.JobID] == nil
		for _, e := range s.w.EvalsByJob("", victim.JobID) {
			looked = looked || e.TriggeredBy == model.TriggerPreemption && e.Status == model.EvalPending
		}
		if !looked {
			s.t.Fatalf("nobody looks at job %s, which lost %s", victim.JobID, victim.Name)
		}
	}
}

// settle lets everything that was started come to rest: what should run runs,
// and every evaluation that is or becomes due is decided.
func (s *story) settle() {
	for range 200 {
		for _, id := range s.w.names {
			a := s.w.allocs[id]
			n := s.w.nodes[a.NodeID]
			if a.ClientTerminal() || n == nil || n.Status != model.NodeStatusReady {
				continue
			}
			switch {
			case a.ServerTerminal():
				s.w.report(id, model.ClientComplete)
			case a.ClientStatus == model.ClientPending:
				s.w.report(id, model.ClientRunning)
			}
		}
		for _, e := range s.w.evals {
			if e.Status == model.EvalBlocked && s.freed {
				next := *e
				next.Status = model.EvalPending
				s.w.evals[e.ID] = &next
			}
		}
		s.freed = false
		s.decide()
		var next time.Time
		for _, e := range s.w.evals {
			if e.Status == model.EvalPending && (next.IsZero() || e.WaitUntil.Before(next)) {
				next = e.WaitUntil
				if !next.After(s.w.now) {
					next = s.w.now
				}
			}
		}
		if next.IsZero() {
			return
		}
		s.w.now = next
	}
	for _, e := range s.w.due() {
		s.t.Errorf("job %s: %s %s", e.JobID, e.TriggeredBy, e.StatusDescription)
		for _, a := range s.w.AllocsByJob("", e.JobID) {
			s.t.Logf("%s %s v%d %s %s/%s", s.w.short(a.ID), a.Name, a.JobVersion, a.NodeID, a.DesiredStatus, a.ClientStatus)
		}
	}
	s.t.Fatalf("the evaluations never came to an end")
}

// complete checks that each job has what it wants, or says what it lacks.
func (s *story) complete() {
	for _, id := range s.jobIDs() {
		j := s.w.jobs[id]
		held, live := map[int]bool{}, 0
		for _, a := range s.w.AllocsByJob("", id) {
			switch {
			case !a.Terminal():
				live++
				held[a.Index()] = true
				if !j.Stop && a.JobVersion != j.Version && s.canRoll(j, a) && j.Type != model.JobTypeSystem && j.Type != model.JobTypeSysbatch {
					s.t.Fatalf("%s is still at version %d of %d", a.Name, a.JobVersion, j.Version)
				}
			case a.NextAllocation == "" && a.DesiredStatus == model.DesiredRun:
				held[a.Index()] = true // completed, or failed for good
			}
		}
		if j.Stop {
			if live > 0 {
				s.t.Fatalf("job %s is stopped and has %d live instances", id, live)
			}
			continue
		}
		if j.Type != model.JobTypeService && j.Type != model.JobTypeBatch || s.disbanded(j) {
			continue
		}
		count := j.TaskGroups[0].Count
		if live > count {
			s.t.Fatalf("job %s has %d live instances and wants %d", id, live, count)
		}
		for i := range count {
			if !held[i] && !s.isBlocked(id) {
				s.t.Fatalf("job %s lacks instance %d and waits for nothing", id, i)
			}
		}
	}
}

// canRoll tells whether nothing stands in the way of an instance's update.
func (s *story) canRoll(j *model.Job, a *model.Allocation) bool {
	if s.isBlocked(j.ID) {
		return false
	}
	for _, other := range s.w.AllocsByJob("", j.ID) {
		if other.ClientTerminal() && !other.ServerTerminal() && other.NextAllocation == "" {
			return false // one that failed for good pauses the roll
		}
	}
	return true
}

func (s *story) isBlocked(job string) bool {
	n := 0
	for _, e := range s.w.EvalsByJob("", job) {
		if e.Status == model.EvalBlocked {
			n++
		}
	}
	if n > 1 {
		s.t.Fatalf("job %s has %d blocked evaluations", job, n)
	}
	return n == 1
}

// TestStories checks safety after every commit (see world.check and
// checkConstraints) and liveness at the end: all comes to rest, and each job has
// what it wants or a blocked evaluation.
func TestStories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &story{t: t, w: newWorld(), racks: map[string]rack{}}
		s.w.seed = rapid.Uint64().Draw(t, "seed")
		if rapid.Bool().Draw(t, "preempts") {
			s.w.config = &model.SchedulerConfiguration{PreemptionConfig: everyonePreempts}
		}
		steps := map[string]func(*rapid.T){
			"node": func(*rapid.T) { s.addNode() }, "node2": func(*rapid.T) { s.addNode() },
			"change": func(*rapid.T) { s.changeNode() }, "register": func(*rapid.T) { s.register() },
			"stop": func(*rapid.T) { s.stopJob() }, "report": func(*rapid.T) { s.report() },
			"move": func(*rapid.T) { s.move() }, "wait": func(*rapid.T) { s.wait() },
			"decide": func(*rapid.T) { s.decide() }, "decide2": func(*rapid.T) { s.decide() },
		}
		t.Repeat(steps)
		s.settle()
		s.complete()
	})
}

// TestFeasibleAndRoomMeansPlaced: what fits somewhere is placed.
func TestFeasibleAndRoomMeansPlaced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		rooms := 0
		mem := rapid.IntRange(1, 500).Draw(t, "mem")
		for i := range rapid.IntRange(0, 12).Draw(t, "nodes") {
			n := buildNode(fmt.Sprintf("n%d", i), map[string]string{"mem": fmt.Sprint(rapid.IntRange(1, 1500).Draw(t, "node mem"))}, i)
			if rapid.IntRange(0, 4).Draw(t, "other") == 0 {
				n.Datacenter = "far"
			} else {
				rooms += min(int(n.NodeResources.Memory.MemoryMB)/mem, 40)
			}
			w.setNode(n)
		}
		count := rapid.IntRange(1, 60).Draw(t, "count")
		w.setJob(buildJob("j", map[string]string{"mem": fmt.Sprint(mem), "count": fmt.Sprint(count), "dcs": "dc1", "cpu": "100"}, ""))
		plan, _ := w.run(w.newEval("j", model.TriggerJobRegister))
		placed := 0
		for _, g := range plan.Groups {
			placed += len(g.Placements)
		}
		if want := min(count, rooms); placed != want {
			t.Fatalf("%d placed of %d with room for %d", placed, count, rooms)
		}
		if queued := plan.Eval.QueuedAllocations["g"]; queued != count-placed {
			t.Fatalf("%d queued, %d were not placed", queued, count-placed)
		}
	})
}

var _ sched.State = (*world)(nil)
