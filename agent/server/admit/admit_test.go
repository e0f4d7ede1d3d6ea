package admit

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/scaling"
)

type stage struct {
	*memlog.Log
	call rpc.Caller
	// seen are the nodes that were heard of, heard those before the newest entry.
	seen, heard []string
}

// Propose notes who was heard of before there was an entry.
func (s *stage) Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	s.heard = slices.Clone(s.seen)
	return s.Log.Propose(ctx, cmds...)
}

func newStage() *stage {
	s := &stage{Log: memlog.New()}
	srv := rpc.NewServer(rpc.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	New(Config{Store: s.Store, Proposer: s, Region: model.DefaultRegion, Now: s.Now,
		Seen: func(id string) { s.seen = append(s.seen, id) }}).Register(srv)
	s.call = srv.Caller()
	return s
}

func web() *model.Job {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name = "web", "web"
	g := model.NewTaskGroup(j)
	g.Name = "g"
	task := model.NewTask(g)
	task.Name, task.Driver, task.Config = "t", "raw_exec", map[string]any{"command": "/bin/true"}
	g.Tasks = append(g.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, g)
	return j
}

func (s *stage) register(t *testing.T, r *msg.JobRegisterRequest) *msg.JobRegisterResponse {
	t.Helper()
	resp, err := msg.JobRegister.Call(t.Context(), s.call, r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestRegister(t *testing.T) {
	s := newStage()
	first := s.register(t, &msg.JobRegisterRequest{Job: web()})
	job := s.Store.Snapshot().Job(model.DefaultNamespace, "web")
	eval := s.Store.Snapshot().Eval(first.EvalID)
	switch {
	case job == nil || eval == nil:
		t.Fatal("job or evaluation is missing")
	case first.Index != job.ModifyIndex || first.JobModifyIndex != job.JobModifyIndex || first.EvalCreateIndex != eval.CreateIndex:
		t.Errorf("answer %+v for job %d/%d", first, job.ModifyIndex, job.JobModifyIndex)
	case eval.TriggeredBy != model.TriggerJobRegister || eval.JobModifyIndex != job.JobModifyIndex || eval.CreateTime == 0:
		t.Errorf("evaluation %+v", eval)
	case job.SubmitTime != s.Now().UnixNano():
		t.Errorf("submitted at %d", job.SubmitTime)
	}
	again := s.register(t, &msg.JobRegisterRequest{Job: web()})
	if now := s.Store.Snapshot().Job(model.DefaultNamespace, "web"); now.Version != 0 || again.EvalID == first.EvalID {
		t.Errorf("the same job again: version %d, evaluation %s", now.Version, again.EvalID)
	}
	changed := web()
	changed.TaskGroups[0].Count = 9
	s.register(t, &msg.JobRegisterRequest{Job: changed, PreserveCounts: true})
	if now := s.Store.Snapshot().Job(model.DefaultNamespace, "web"); now.TaskGroups[0].Count != 1 || now.Version != 0 {
		t.Errorf("preserved count: %d, version %d", now.TaskGroups[0].Count, now.Version)
	}
	if changed.TaskGroups[0].Count != 9 || changed.SubmitTime != 0 {
		t.Error("the request was changed")
	}
}

func TestRepeatedRequest(t *testing.T) {
	s := newStage()
	r := &msg.JobRegisterRequest{Job: web(), WriteOptions: msg.WriteOptions{RequestID: "once"}}
	first, second := s.register(t, r), s.register(t, r)
	if first.EvalID != second.EvalID || first.Index != second.Index {
		t.Errorf("a repeated request: %+v, then %+v", first, second)
	}
	e := &msg.JobEvaluateRequest{JobID: "web", WriteOptions: msg.WriteOptions{RequestID: "twice"}}
	a, err := msg.JobEvaluate.Call(t.Context(), s.call, e)
	if err != nil {
		t.Fatal(err)
	}
	b, err := msg.JobEvaluate.Call(t.Context(), s.call, e)
	if err != nil || a.EvalID != b.EvalID || s.Store.Snapshot().Eval(a.EvalID) == nil {
		t.Errorf("a repeated evaluation: %+v, %+v, %v", a, b, err)
	}
	purge := &msg.JobDeregisterRequest{JobID: "web", Purge: true, WriteOptions: msg.WriteOptions{RequestID: "thrice"}}
	gone, err := msg.JobDeregister.Call(t.Context(), s.call, purge)
	if err != nil || s.Store.Snapshot().Job(model.DefaultNamespace, "web") != nil {
		t.Fatal(gone, err)
	}
	if again, err := msg.JobDeregister.Call(t.Context(), s.call, purge); err != nil || again.Index != gone.Index {
		t.Errorf("a repeated purge: %+v, %+v, %v", gone, again, err)
	}
	purge.RequestID = "another"
	if _, err := msg.JobDeregister.Call(t.Context(), s.call, purge); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("a purge of nothing: %v", err)
	}
}

func TestRefusedJobs(t *testing.T) {
	for _, c := range []struct {
		name string
		req  func(*msg.JobRegisterRequest)
		code model.Code
		want string
	}{
		{"no job", func(r *msg.JobRegisterRequest) { r.Job = nil }, model.CodeInvalid, "missing job"},
		{"no groups", func(r *msg.JobRegisterRequest) { r.Job.TaskGroups = nil }, model.CodeInvalid,
			"1 error occurred:\n\t* Missing job task groups"},
		{"unsupported", func(r *msg.JobRegisterRequest) { r.Job.AllAtOnce = true }, model.CodeInvalid, "not supported by this version"},
		{"other region", func(r *msg.JobRegisterRequest) { r.Job.Region = "mars" }, model.CodeInvalid, "No path to region"},
		{"no such namespace", func(r *msg.JobRegisterRequest) { r.Job.Namespace = "none" }, model.CodeInvalid, "nonexistent namespace"},
		{"no such pool", func(r *msg.JobRegisterRequest) { r.Job.NodePool = "none" }, model.CodeInvalid, "nonexistent node pool"},
		{"index of a job that is not there", func(r *msg.JobRegisterRequest) { r.EnforceIndex, r.JobModifyIndex = true, 3 },
			model.CodeConflict, "Enforcing job modify index 3: job does not exist"},
		{"priority", func(r *msg.JobRegisterRequest) { r.EvalPriority = 101 }, model.CodeInvalid, "eval priority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage()
			r := &msg.JobRegisterRequest{Job: web()}
			c.req(r)
			_, err := msg.JobRegister.Call(t.Context(), s.call, r)
			if model.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s: %v; want %s: %s", model.CodeOf(err), err, c.code, c.want)
			}
			if s.Store.Snapshot().Job(model.DefaultNamespace, "web") != nil {
				t.Error("the job was registered")
			}
		})
	}
	s := newStage()
	s.Must(&fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{RejectJobRegistration: true}})
	_, err := msg.JobRegister.Call(t.Context(), s.call, &msg.JobRegisterRequest{Job: web()})
	if model.CodeOf(err) != model.CodeDenied {
		t.Errorf("registration is disabled: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	s := newStage()
	j := web()
	j.TaskGroups[0].Tasks[0].Resources.MemoryMaxMB = 1000
	if w := s.register(t, &msg.JobRegisterRequest{Job: j}).Warnings; !strings.HasPrefix(w, "1 warning:\n\n* memory_max") {
		t.Errorf("warnings %q", w)
	}
}

func TestScaleBounds(t *testing.T) {
	s := newStage()
	s.register(t, &msg.JobRegisterRequest{Job: web()})
	n := func(v int64) *int64 { return &v }
	for _, c := range []struct {
		req  msg.JobScaleRequest
		code model.Code
	}{
		{msg.JobScaleRequest{JobID: "web", Group: "g", Count: n(-1)}, model.CodeInvalid},
		{msg.JobScaleRequest{JobID: "web", Group: "g", Count: n(model.MaxCount + 1)}, model.CodeInvalid},
		{msg.JobScaleRequest{JobID: "web", Group: "none", Count: n(1)}, model.CodeInvalid},
		{msg.JobScaleRequest{JobID: "web", Group: "g", Count: n(1), Error: true}, model.CodeInvalid},
		{msg.JobScaleRequest{JobID: "web", Group: "g", Message: strings.Repeat("x", MaxScalingMessageBytes+1)}, model.CodeInvalid},
		{msg.JobScaleRequest{JobID: "web", Group: "g", Meta: scaling.RawJSON("[1]")}, model.CodeInvalid},
		{msg.JobScaleRequest{JobID: "web", Group: "g", Meta: scaling.RawJSON("{")}, model.CodeInvalid},
		{msg.JobScaleRequest{JobID: "web"}, model.CodeInvalid},
		{msg.JobScaleRequest{JobID: "web", Group: "g", Error: true, Message: "cannot"}, ""},
		{msg.JobScaleRequest{JobID: "none", Group: "g", Count: n(1)}, model.CodeNotFound},
		{msg.JobScaleRequest{JobID: "web", Group: "g", Count: n(3)}, ""},
	} {
		if _, err := msg.JobScale.Call(t.Context(), s.call, &c.req); model.CodeOf(err) != c.code {
			t.Errorf("%+v: %v, want %s", c.req, err, c.code)
		}
	}
	if c := s.Store.Snapshot().Job(model.DefaultNamespace, "web").TaskGroups[0].Count; c != 3 {
		t.Errorf("count %d", c)
	}
}

func goodNode() *model.Node {
	return &model.Node{
		ID: ident.New(), SecretID: ident.New(), Name: "n1", Datacenter: "dc1", NodeResources: &model.NodeResources{},
	}
}

func TestRefusedNodes(t *testing.T) {
	for name, spoil := range map[string]func(*model.Node){
		"id":         func(n *model.Node) { n.ID = "../../x" },
		"secret":     func(n *model.Node) { n.SecretID = "" },
		"datacenter": func(n *model.Node) { n.Datacenter = "" },
		"name":       func(n *model.Node) { n.Name = "a\x00b" },
		"long name":  func(n *model.Node) { n.Name = strings.Repeat("x", 300) },
		"pool all":   func(n *model.Node) { n.NodePool = model.AllNodePool },
		"pool name":  func(n *model.Node) { n.NodePool = "a/b" },
		"resources":  func(n *model.Node) { n.NodeResources = nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage()
			n := goodNode()
			spoil(n)
			_, err := msg.NodeRegisterAt.Call(t.Context(), s.call, &msg.NodeRegisterRequest{Node: n})
			if model.CodeOf(err) != model.CodeInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Reports move statuses forward and bring one evaluation for all failures of a
// job; those on other nodes' allocations change nothing.
// A node that says nothing new costs no entry, and is answered with an index that
// contains everything it may have been assigned meanwhile.
func TestNodeRegister(t *testing.T) {
	s := newStage()
	n := goodNode()
	register := func() *msg.NodeWriteResponse {
		t.Helper()
		r, err := msg.NodeRegisterAt.Call(t.Context(), s.call, &msg.NodeRegisterRequest{Node: n})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := register()
	newest := s.register(t, &msg.JobRegisterRequest{Job: web()}).Index
	entries := len(s.Entries())
	again := register()
	if again.Index != newest || again.NodeModifyIndex != first.NodeModifyIndex || len(s.Entries()) != entries {
		t.Errorf("answered %+v at index %d, with %d entries more", again, newest, len(s.Entries())-entries)
	}
}

// A node that registers is heard when it does, not when a full disk lets its
// registration be written: until then it would count as silent and be taken down.
func TestSeenBeforeCommit(t *testing.T) {
	s := newStage()
	n := goodNode()
	if _, err := msg.NodeRegisterAt.Call(t.Context(), s.call, &msg.NodeRegisterRequest{Node: n}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.heard, []string{n.ID}) {
		t.Errorf("before its registration was written: heard of %q", s.heard)
	}
}

// A leader that was replaced and does not know it answers nothing from what it
// has, also where it would not have to write.
func TestDeposed(t *testing.T) {
	s := newStage()
	n := goodNode()
	if _, err := msg.NodeRegisterAt.Call(t.Context(), s.call, &msg.NodeRegisterRequest{Node: n}); err != nil {
		t.Fatal(err)
	}
	s.Fail(model.Errorf(model.CodeNotLeader, "this server does not lead"))
	for name, call := range map[string]func() error{
		"a node that says nothing new": func() error {
			_, err := msg.NodeRegisterAt.Call(t.Context(), s.call, &msg.NodeRegisterRequest{Node: n})
			return err
		},
		"a report on what it does not know yet": func() error {
			_, err := msg.NodeUpdateAllocs.Call(t.Context(), s.call, &msg.NodeUpdateAllocsRequest{
				NodeID: n.ID, SecretID: n.SecretID, Updates: []*model.AllocUpdate{{ID: "new", ClientStatus: model.ClientRunning}},
			})
			return err
		},
		"a job that it does not know yet": func() error {
			_, err := msg.JobDeregister.Call(t.Context(), s.call, &msg.JobDeregisterRequest{JobID: "new"})
			return err
		},
	} {
		if err := call(); model.CodeOf(err) != model.CodeNotLeader {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReports(t *testing.T) {
	s := newStage()
	mine, other := goodNode(), goodNode()
	for _, n := range []*model.Node{mine, other} {
		if _, err := msg.NodeRegisterAt.Call(t.Context(), s.call, &msg.NodeRegisterRequest{Node: n}); err != nil {
			t.Fatal(err)
		}
	}
	s.register(t, &msg.JobRegisterRequest{Job: web()})
	var placements []*model.Placement
	for i, node := range []*model.Node{mine, mine, other} {
		placements = append(placements, &model.Placement{ID: string(rune('a' + i)), Index: i, NodeID: node.ID})
	}
	s.Must(&fsm.ApplyPlan{Plan: &model.Plan{
		EvalID: "e", Namespace: model.DefaultNamespace, JobID: "web",
		Groups: []*model.PlanGroup{{TaskGroup: "g", Resources: &model.AllocatedResources{}, Placements: placements}},
	}})
	before := s.Store.Snapshot().Count("evals")
	report := func(updates ...*model.AllocUpdate) {
		t.Helper()
		_, err := msg.NodeUpdateAllocs.Call(t.Context(), s.call, &msg.NodeUpdateAllocsRequest{
			NodeID: mine.ID, SecretID: mine.SecretID, Updates: updates,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	failed := func(id string) *model.AllocUpdate {
		return &model.AllocUpdate{ID: id, ClientStatus: model.ClientFailed}
	}
	report(failed("a"), failed("b"), failed("c"), failed("unknown"))
	report(failed("a"), &model.AllocUpdate{ID: "b", ClientStatus: model.ClientRunning})
	snap := s.Store.Snapshot()
	var got []string
	for _, id := range []string{"a", "b", "c"} {
		got = append(got, snap.Alloc(id).ClientStatus)
	}
	if want := []string{model.ClientFailed, model.ClientFailed, model.ClientPending}; !slices.Equal(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
	if n := snap.Count("evals") - before; n != 1 {
		t.Errorf("%d evaluations for the failures, want 1", n)
	}
}

// TestReportOfMany: each node's reports are taken or refused for themselves.
func TestReportOfMany(t *testing.T) {
	s := newStage()
	s.register(t, &msg.JobRegisterRequest{Job: web()})
	var nodes []*model.Node
	var placements []*model.Placement
	for i := range 3 {
		n := goodNode()
		if _, err := msg.NodeRegisterAt.Call(t.Context(), s.call, &msg.NodeRegisterRequest{Node: n}); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
		placements = append(placements, &model.Placement{ID: string(rune('a' + i)), Index: i, NodeID: n.ID})
	}
	s.Must(&fsm.ApplyPlan{Plan: &model.Plan{
		EvalID: "e", Namespace: model.DefaultNamespace, JobID: "web",
		Groups: []*model.PlanGroup{{TaskGroup: "g", Resources: &model.AllocatedResources{}, Placements: placements}},
	}})
	said := func(n *model.Node, secret, id string) *msg.NodeUpdateAllocsRequest {
		return &msg.NodeUpdateAllocsRequest{NodeID: n.ID, SecretID: secret, Updates: []*model.AllocUpdate{{ID: id, ClientStatus: model.ClientRunning}}}
	}
	resp, err := msg.NodeReportAt.Call(t.Context(), s.call, &msg.NodeReportRequest{Nodes: []*msg.NodeUpdateAllocsRequest{
		said(nodes[0], nodes[0].SecretID, "a"),
		said(nodes[1], nodes[0].SecretID, "b"), // not its secret
		said(nodes[2], nodes[2].SecretID, "c"),
		said(nodes[0], nodes[0].SecretID, "c"), // not its allocation
		said(goodNode(), nodes[0].SecretID, "a"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	refused := map[int]string{}
	for _, r := range resp.Refused {
		refused[r.Place] = r.Code
	}
	want := map[int]string{1: string(model.CodeDenied), 4: string(model.CodeNotFound)}
	if !maps.Equal(refused, want) || resp.Index != s.Store.Snapshot().Index() {
		t.Errorf("refused %v, want %v; index %d of %d", refused, want, resp.Index, s.Store.Snapshot().Index())
	}
	for id, want := range map[string]string{"a": model.ClientRunning, "b": model.ClientPending, "c": model.ClientRunning} {
		if got := s.Store.Snapshot().Alloc(id).ClientStatus; got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

func TestAllocStop(t *testing.T) {
	s := newStage()
	if _, err := msg.AllocStop.Call(t.Context(), s.call, &msg.AllocStopRequest{AllocID: "none"}); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("got %v", err)
	}
}

func TestPurge(t *testing.T) {
	s := newStage()
	n := goodNode()
	if _, err := msg.NodeRegisterAt.Call(t.Context(), s.call, &msg.NodeRegisterRequest{Node: n}); err != nil {
		t.Fatal(err)
	}
	s.register(t, &msg.JobRegisterRequest{Job: web()})
	s.Must(&fsm.ApplyPlan{Plan: &model.Plan{
		EvalID: "e", Namespace: model.DefaultNamespace, JobID: "web",
		Groups: []*model.PlanGroup{{TaskGroup: "g", Resources: &model.AllocatedResources{},
			Placements: []*model.Placement{{ID: "a", NodeID: n.ID}}}},
	}})
	resp, err := msg.NodePurge.Call(t.Context(), s.call, &msg.NodeWriteRequest{NodeID: n.ID})
	if err != nil || len(resp.EvalIDs) != 1 || s.Store.Snapshot().Node(n.ID) != nil {
		t.Errorf("%+v, %v", resp, err)
	}
	if _, err := msg.NodePurge.Call(t.Context(), s.call, &msg.NodeWriteRequest{NodeID: n.ID}); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("purged twice: %v", err)
	}
}
