package forecast

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/feature"
)

func (s *stage) explain(t *testing.T, kind, id string) *msg.ExplainResponse {
	t.Helper()
	out, err := msg.Explain.Call(t.Context(), s.call, &msg.ExplainRequest{Kind: kind, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// One group waits for room, another for the first: both are said.
func TestExplainBoth(t *testing.T) {
	s := newStage(t)
	s.Must(&fsm.FeatureLevel{Level: feature.Newest})
	s.node(1, 4000)
	j := web(6, 1000, "1")
	next := *j.TaskGroups[0]
	next.Name, next.Count, next.DependsOn = "next", 1, []*depends.Dependency{{Name: "g", Condition: depends.Started}}
	j.TaskGroups = append(j.TaskGroups, &next)
	s.run(t, j, 0)
	out := s.explain(t, msg.ExplainJob, "web").Explanation
	if notes := out.Notes; len(notes) != 1 || !strings.Contains(notes[0], "waits for nodes or resources and, elsewhere, for what the job depends on") {
		t.Errorf("notes: %q", notes)
	}
	if g, next := out.Groups[0], out.Groups[1]; len(g.Remedies) == 0 || len(g.Waits) > 0 || len(next.Waits) != 1 || len(next.Remedies) > 0 {
		t.Errorf("the groups: %+v, %+v", g, next)
	}
}

func TestExplain(t *testing.T) {
	s := newStage(t)
	s.node(1, 4000)
	s.node(2, 500)
	plan := s.run(t, web(6, 1000, "1"), 0)
	job := s.explain(t, msg.ExplainJob, "web")
	g := job.Explanation.Groups[0]
	if g.Live != 4 || g.Missing != 2 || len(g.Remedies) == 0 || !job.KnownLeader || job.Index != s.Store.Snapshot().Index() {
		t.Errorf("the job: %+v", g)
	}
	if len(job.Explanation.Notes) != 1 || !strings.Contains(job.Explanation.Notes[0], "waits for nodes or resources") {
		t.Errorf("notes: %q", job.Explanation.Notes)
	}
	id := plan.Groups[0].Placements[0].ID
	alloc := s.explain(t, msg.ExplainAlloc, id).Explanation
	if c := alloc.Groups[0].Chosen; alloc.AllocID != id || len(c) != 1 || c[0].AllocID != id || len(c[0].Then) == 0 || len(c[0].Now) == 0 {
		t.Errorf("the allocation: %+v", alloc.Groups[0])
	}
	eval := s.explain(t, msg.ExplainEval, plan.EvalID).Explanation
	if eval.EvalID != plan.EvalID || eval.Groups[0].Then == nil || !strings.Contains(eval.Notes[0], "job-register") {
		t.Errorf("the evaluation: %+v %q", eval.Groups[0], eval.Notes)
	}
	for _, kind := range []string{msg.ExplainJob, msg.ExplainAlloc, msg.ExplainEval} {
		if _, err := msg.Explain.Call(t.Context(), s.call, &msg.ExplainRequest{Kind: kind, ID: "nobody"}); model.CodeOf(err) != model.CodeNotFound || !strings.Contains(err.Error(), "nobody") {
			t.Errorf("an unknown %s: %v", kind, err)
		}
	}
	if _, err := msg.Explain.Call(t.Context(), s.call, &msg.ExplainRequest{Kind: "weather", ID: "x"}); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("an unknown kind: %v", err)
	}
	s.Fail(model.Errorf(model.CodeNotLeader, "this server does not lead"))
	if _, err := msg.Explain.Call(t.Context(), s.call, &msg.ExplainRequest{Kind: msg.ExplainJob, ID: "web"}); model.CodeOf(err) != model.CodeNotLeader {
		t.Errorf("a deposed leader: %v", err)
	}
	stale := &msg.ExplainRequest{Kind: msg.ExplainJob, ID: "web"}
	stale.Stale = true
	if _, err := msg.Explain.Call(t.Context(), s.call, stale); err != nil {
		t.Errorf("a stale read: %v", err)
	}
}

// The remedies of a plan help for all that is missing, not for one instance more.
func TestPlanAdvises(t *testing.T) {
	s := newStage(t)
	s.node(1, 4000)
	p := s.plan(t, web(6, 1000, "1"))
	want := `lower memory of task "t" from 1000 MB to 666 MB`
	if got := p.FailedTGAllocs["g"].Remedies; len(got) == 0 || got[0] != want {
		t.Errorf("%q, want %q first", got, want)
	}
}

// The view that worlds are made of is kept current, and made anew after it was dropped.
func TestSource(t *testing.T) {
	s := newStage(t)
	src := NewSource(s.Store)
	defer src.Close()
	for i := range 3 {
		s.node(i, 1000)
		basis, err := src.Basis(t.Context())
		if err != nil || basis.Fleet().Len() != i+1 || basis.Index() != s.Store.Snapshot().Index() {
			t.Fatalf("%d nodes: %v", basis.Fleet().Len(), err)
		}
		if i == 1 {
			src.drop(0)
		}
	}
	view := src.view
	if src.drop(time.Hour); src.view != view {
		t.Error("a view that was just asked is dropped")
	}
	var open []*World
	for range maxWorlds {
		w, err := src.World(t.Context(), s.Now())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, w)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := src.World(ctx, s.Now()); err == nil {
		t.Error("more worlds than may be")
	}
	cmd, err := fsm.NewCommand(&fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{}})
	if err != nil {
		t.Fatal(err)
	}
	before := s.Store.Snapshot().Hash()
	if _, err := open[0].Propose(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if s.Store.Snapshot().Hash() != before || open[1].Store.Snapshot().Hash() != before || open[0].Store.Snapshot().Hash() == before {
		t.Error("a write in one world is seen elsewhere, or nowhere")
	}
	for _, w := range open {
		w.Close()
	}
}
