package broker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// checkOut fails when two evaluations of one job are out.
func checkOut(t *rapid.T, s *scene) {
	out := map[string]string{}
	for _, e := range s.out {
		now := s.store.Snapshot().Eval(e.ID)
		if now == nil || now.ModifyIndex != e.ModifyIndex {
			continue // answered
		}
		if other, twice := out[e.JobID]; twice {
			t.Fatalf("%s and %s of job %s are both out", other, e.ID, e.JobID)
		}
		out[e.JobID] = e.ID
	}
}

// answer writes what a worker made of one of the delivered evaluations.
func answer(t *rapid.T, s *scene, e *model.Evaluation) {
	c := *e
	switch rapid.SampledFrom([]string{"complete", "refused", "blocked"}).Draw(t, "answer") {
	case "complete":
		c.Status = model.EvalComplete
	case "refused":
		c.Attempts++
	case "blocked":
		c.Status = model.EvalBlocked
		c.SnapshotIndex = s.index
		c.ClassEligibility = map[string]bool{"A": rapid.Bool().Draw(t, "fits A")}
	}
	s.apply(must(&fsm.UpsertEvals{Evals: []*model.Evaluation{&c}}))
}

// Safety: never two evaluations of a job are out. Liveness: when answers come
// and no more work does, no evaluation stays pending.
func TestDeliveries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScene()
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { checkOut(t, s) },
			"evals": func(t *rapid.T) {
				var up []*model.Evaluation
				for range rapid.IntRange(1, 4).Draw(t, "count") {
					n++
					e := &model.Evaluation{
						ID: fmt.Sprintf("e%03d", n), Namespace: model.DefaultNamespace, Status: model.EvalPending,
						JobID:    rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "job"),
						Priority: rapid.IntRange(1, 3).Draw(t, "priority"),
					}
					if rapid.IntRange(0, 3).Draw(t, "delayed") == 0 {
						e.WaitUntil = s.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "wait")) * time.Second)
					}
					up = append(up, e)
				}
				s.apply(must(&fsm.UpsertEvals{Evals: up}))
			},
			"step": func(t *rapid.T) {
				s.now = s.now.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "ms")) * time.Millisecond)
				s.step()
				s.deliver(rapid.IntRange(0, 3).Draw(t, "room"))
			},
			"answer": func(t *rapid.T) {
				if len(s.out) == 0 {
					t.Skip("nothing is out")
				}
				e := rapid.SampledFrom(s.out).Draw(t, "eval")
				if now := s.store.Snapshot().Eval(e.ID); now != nil && now.ModifyIndex == e.ModifyIndex {
					answer(t, s, e)
				}
			},
			"node": func(t *rapid.T) {
				class := rapid.SampledFrom([]string{"A", "B"}).Draw(t, "class")
				s.apply(must(&fsm.RegisterNode{Node: &model.Node{
					ID: "n" + class, ComputedClass: class, Status: model.NodeStatusReady,
					SchedulingEligibility: model.NodeEligible,
				}}))
			},
			"leader": func(t *rapid.T) {
				s.sub.Close()
				s.reset()
				s.out = nil // its workers ended with the old leader
			},
		})
		s.finish(t)
	})
}

// finish answers everything with "complete" until nothing is pending.
func (s *scene) finish(t *rapid.T) {
	for range 2000 {
		s.now = s.now.Add(time.Second)
		s.step()
		s.deliver(4)
		checkOut(t, s)
		for _, e := range s.out {
			if now := s.store.Snapshot().Eval(e.ID); now != nil && now.ModifyIndex == e.ModifyIndex {
				c := *e
				c.Status = model.EvalComplete
				s.apply(must(&fsm.UpsertEvals{Evals: []*model.Evaluation{&c}}))
			}
		}
		s.out = nil
		if len(slices.Collect(s.store.Snapshot().EvalsByStatus(model.EvalPending))) == 0 {
			return
		}
	}
	t.Fatalf("still pending: %v", slices.Collect(s.store.Snapshot().EvalsByStatus(model.EvalPending)))
}
