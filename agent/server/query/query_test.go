package query

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/scaling"
	"github.com/steppe-project/steppe/model/tenancy"
)

type stage struct {
	*memlog.Log
	call rpc.Caller
}

func newStage() *stage {
	s := &stage{Log: memlog.New()}
	srv := rpc.NewServer(rpc.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	New(Config{Store: s.Store, Consensus: s.Log}).Register(srv)
	s.call = srv.Caller()
	return s
}

func (s *stage) job(ns, id string, meta map[string]string) {
	j := model.NewJob(model.JobTypeService)
	j.Namespace, j.ID, j.Name, j.Meta = ns, id, id, meta
	g := model.NewTaskGroup(j)
	g.Name, g.Count = "web", 2
	task := model.NewTask(g)
	task.Name, task.Driver = "main", "raw_exec"
	task.Config = map[string]any{"command": "/bin/sleep"}
	g.Tasks = append(g.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, g)
	s.Must(&fsm.RegisterJob{Job: j, Eval: &model.Evaluation{
		ID: "eval-" + id, Namespace: ns, JobID: id, Type: j.Type, Status: model.EvalPending,
	}})
}

func jobs(t *testing.T, s *stage, r *msg.JobListRequest) ([]string, *msg.JobListResponse) {
	t.Helper()
	resp, err := msg.JobList.Call(t.Context(), s.call, r)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, j := range resp.Jobs {
		ids = append(ids, j.ID)
	}
	return ids, resp
}

func TestListJobs(t *testing.T) {
	s := newStage()
	s.Must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "other"}})
	for _, id := range []string{"db", "web-1", "web-2", "web-3"} {
		s.job(model.DefaultNamespace, id, map[string]string{"pack.deployment_name": id})
	}
	s.job("other", "web-9", nil)
	for _, c := range []struct {
		name string
		set  func(*msg.QueryOptions)
		want string
		next string
	}{
		{"all of a namespace", func(*msg.QueryOptions) {}, "db web-1 web-2 web-3", ""},
		{"all namespaces", func(o *msg.QueryOptions) { o.Namespace = "*" }, "db web-1 web-2 web-3 web-9", ""},
		{"unknown namespace", func(o *msg.QueryOptions) { o.Namespace = "none" }, "", ""},
		{"prefix", func(o *msg.QueryOptions) { o.Prefix = "web" }, "web-1 web-2 web-3", ""},
		{"prefix everywhere", func(o *msg.QueryOptions) { o.Prefix, o.Namespace = "web", "*" }, "web-1 web-2 web-3 web-9", ""},
		{"page", func(o *msg.QueryOptions) { o.PerPage = 2 }, "db web-1", "default.web-2"},
		{"next page", func(o *msg.QueryOptions) { o.PerPage, o.NextToken = 2, "default.web-2" }, "web-2 web-3", ""},
		{"reverse page", func(o *msg.QueryOptions) { o.PerPage, o.Reverse = 3, true }, "web-3 web-2 web-1", "default.db"},
		{"reverse next", func(o *msg.QueryOptions) { o.NextToken, o.Reverse = "default.db", true }, "db", ""},
		{"filter", func(o *msg.QueryOptions) { o.Filter = `Meta["pack.deployment_name"] == "web-2"` }, "web-2", ""},
		{"filter nil", func(o *msg.QueryOptions) { o.Filter = `ParentID == "" and ParameterizedJob is nil` }, "db web-1 web-2 web-3", ""},
		{"filter and page", func(o *msg.QueryOptions) { o.Filter, o.PerPage = `ID matches "^web"`, 1 }, "web-1", "default.web-2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &msg.JobListRequest{}
			c.set(&r.QueryOptions)
			ids, resp := jobs(t, s, r)
			if got := strings.Join(ids, " "); got != c.want || resp.NextToken != c.next {
				t.Errorf("got %q, next %q; want %q, next %q", got, resp.NextToken, c.want, c.next)
			}
			if resp.Index != s.Store.Snapshot().Index() || !resp.KnownLeader {
				t.Errorf("index %d, known leader %v", resp.Index, resp.KnownLeader)
			}
		})
	}
}

func TestBadLists(t *testing.T) {
	s := newStage()
	s.job(model.DefaultNamespace, "web", nil)
	for _, c := range []struct {
		set  func(*msg.QueryOptions)
		want string
	}{
		{func(o *msg.QueryOptions) { o.Filter = "Foo == 1" },
			`failed to read result page: error finding value in datum: /Foo at part 0: couldn't find key: struct field with name "Foo"`},
		{func(o *msg.QueryOptions) { o.Filter = "ID ==" }, "failed to read filter expression: "},
		{func(o *msg.QueryOptions) { o.Filter = strings.Repeat("(", 5000) + "ID == 1" }, "failed to read filter expression: "},
		{func(o *msg.QueryOptions) { o.Filter = strings.Repeat("x", maxFilterBytes+1) }, "failed to read filter expression: "},
		{func(o *msg.QueryOptions) { o.PerPage = -1 }, "per_page"},
		{func(o *msg.QueryOptions) { o.NextToken = "nonsense" }, "next_token"},
	} {
		r := &msg.JobListRequest{}
		c.set(&r.QueryOptions)
		_, err := msg.JobList.Call(t.Context(), s.call, r)
		if model.CodeOf(err) != model.CodeInvalid || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %.200v, want %s", err, c.want)
		}
	}
}

// Evaluations come by age, and pages hold while new ones appear.
func TestPagesOfEvals(t *testing.T) {
	s := newStage()
	for i := range 5 {
		s.job(model.DefaultNamespace, fmt.Sprintf("j%d", i), nil)
	}
	var got []string
	r := &msg.EvalListRequest{}
	for r.PerPage = 2; ; {
		resp, err := msg.EvalList.Call(t.Context(), s.call, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range resp.Evals {
			got = append(got, e.JobID)
		}
		if resp.NextToken == "" {
			break
		}
		r = &msg.EvalListRequest{QueryOptions: msg.QueryOptions{PerPage: 2, NextToken: resp.NextToken}}
		if len(got) == 2 {
			s.job(model.DefaultNamespace, "j5", nil)
		}
	}
	if want := []string{"j0", "j1", "j2", "j3", "j4", "j5"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	count, err := msg.EvalCount.Call(t.Context(), s.call, &msg.EvalListRequest{Status: model.EvalPending})
	if err != nil || count.Count != 6 {
		t.Errorf("count %v, %v", count, err)
	}
	one, err := msg.EvalList.Call(t.Context(), s.call, &msg.EvalListRequest{JobID: "j3"})
	if err != nil || len(one.Evals) != 1 || one.Evals[0].JobID != "j3" || one.Index != one.Evals[0].ModifyIndex {
		t.Errorf("evaluations of one job: %+v, %v", one, err)
	}
}

// A blocking query answers when what it reads has changed, not before.
func TestBlocking(t *testing.T) {
	s := newStage()
	s.job(model.DefaultNamespace, "web", nil)
	first, err := msg.JobGet.Call(t.Context(), s.call, &msg.JobQuery{JobID: "web"})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *msg.JobResponse, 1)
	go func() {
		q := &msg.JobQuery{JobID: "web", QueryOptions: msg.QueryOptions{MinIndex: first.Index}}
		resp, err := msg.JobGet.Call(t.Context(), s.call, q)
		if err != nil {
			t.Error(err)
		}
		got <- resp
	}()
	s.job(model.DefaultNamespace, "other", nil)
	select {
	case r := <-got:
		t.Fatalf("answered with index %d for a change of something else", r.Index)
	case <-time.After(50 * time.Millisecond):
	}
	s.Must(&fsm.ScaleJob{Namespace: model.DefaultNamespace, ID: "web", Group: "web", Count: 7})
	select {
	case r := <-got:
		if r.Job.TaskGroups[0].Count != 7 || r.Index <= first.Index {
			t.Errorf("answered %+v", r)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
	}
	// An index from the future waits for its time, too.
	began := time.Now()
	q := &msg.JobQuery{JobID: "web", QueryOptions: msg.QueryOptions{MinIndex: 1 << 40, MaxWait: 30 * time.Millisecond}}
	if _, err := msg.JobGet.Call(t.Context(), s.call, q); err != nil || time.Since(began) < 30*time.Millisecond {
		t.Errorf("answered after %s, %v", time.Since(began), err)
	}
	// Who leaves is not waited for.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q = &msg.JobQuery{JobID: "web", QueryOptions: msg.QueryOptions{MinIndex: 1 << 40}}
	if _, err := msg.JobGet.Call(ctx, s.call, q); err == nil {
		t.Error("a query without a caller was answered")
	}
}

func TestMissing(t *testing.T) {
	s := newStage()
	j, err := msg.JobGet.Call(t.Context(), s.call, &msg.JobQuery{JobID: "none"})
	if err != nil || j.Job != nil || j.Index == 0 {
		t.Errorf("%+v, %v", j, err)
	}
	a, err := msg.AllocGet.Call(t.Context(), s.call, &msg.IDQuery{ID: "none"})
	if err != nil || a.Alloc != nil || a.Index == 0 {
		t.Errorf("%+v, %v", a, err)
	}
	st, err := msg.JobScaleInfo.Call(t.Context(), s.call, &msg.JobQuery{JobID: "none"})
	if err != nil || st.Status != nil {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestSecretsStay(t *testing.T) {
	s := newStage()
	s.Must(&fsm.RegisterNode{Node: &model.Node{ID: "n1", SecretID: "secret"}})
	s.Must(&fsm.SigningKey{Key: &model.SigningKey{KeyID: "k", State: "active", Public: []byte{1}, Private: []byte{2}}})
	n, err := msg.NodeGet.Call(t.Context(), s.call, &msg.IDQuery{ID: "n1"})
	if err != nil || n.Node.SecretID != "" {
		t.Errorf("the node's secret got out: %v", err)
	}
	k, err := msg.SigningKeys.Call(t.Context(), s.call, &msg.StatusRequest{})
	if err != nil || len(k.Keys) != 1 || k.Keys[0].Private != nil {
		t.Errorf("the private key got out: %v", err)
	}
	if s.Store.Snapshot().Node("n1").SecretID == "" {
		t.Error("the state was changed")
	}
}

func TestSearch(t *testing.T) {
	s := newStage()
	for i := range msg.SearchLimit + 1 {
		s.job(model.DefaultNamespace, fmt.Sprintf("web-%02d", i), nil)
	}
	find := func(r *msg.SearchRequest) *msg.SearchResponse {
		t.Helper()
		resp, err := msg.Search.Call(t.Context(), s.call, r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	r := find(&msg.SearchRequest{Text: "web", Context: "all"})
	if len(r.Matches["jobs"]) != msg.SearchLimit || !r.Truncations["jobs"] || len(r.Matches["nodes"]) != 0 {
		t.Errorf("%d jobs, truncated %v", len(r.Matches["jobs"]), r.Truncations["jobs"])
	}
	r = find(&msg.SearchRequest{Text: "web-07", Context: "jobs"})
	if len(r.Matches["jobs"]) != 1 || r.Truncations["jobs"] || len(r.Matches) != 1 {
		t.Errorf("%+v", r)
	}
	r = find(&msg.SearchRequest{Text: "EB-07", Context: "all", Fuzzy: true})
	if m := r.Matches["jobs"]; len(m) != 1 || !slices.Equal(m[0].Scope, []string{"default", "web-07"}) {
		t.Errorf("%+v", r)
	}
	r = find(&msg.SearchRequest{Text: "sleep", Context: "commands", Fuzzy: true})
	if len(r.Matches["commands"]) != msg.SearchLimit || len(r.Matches["jobs"]) != 0 {
		t.Errorf("%+v", r)
	}
	_, err := msg.Search.Call(t.Context(), s.call, &msg.SearchRequest{Text: "x", Context: "nonsense"})
	if model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("unknown context: %v", err)
	}
}

func TestScaleEvents(t *testing.T) {
	s := newStage()
	s.job(model.DefaultNamespace, "web", nil)
	s.Must(&fsm.ScaleJob{Namespace: model.DefaultNamespace, ID: "web", Group: "web", Count: 5, Event: &scaling.Event{Message: "more"}})
	r, err := msg.JobScaleInfo.Call(t.Context(), s.call, &msg.JobQuery{JobID: "web"})
	if err != nil {
		t.Fatal(err)
	}
	g := r.Status.TaskGroups["web"]
	if g.Desired != 5 || len(g.Events) != 1 || *g.Events[0].Count != 5 || g.Events[0].PreviousCount != 2 || g.Events[0].Message != "more" {
		t.Errorf("%+v", g)
	}
}

// FuzzFilter: no filter, however odd, may break a list.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`ID == "web"`, `Meta["a"] == "b"`, `ParameterizedJob is not nil`, `TaskGroups[0].Name == "web"`, `"x" in Datacenters`,
		`not (Priority > 3)`, `any Datacenters as d { d == "dc1" }`,
	} {
		f.Add(seed)
	}
	s := newStage()
	s.job(model.DefaultNamespace, "web", map[string]string{"a": "b"})
	f.Fuzz(func(t *testing.T, filter string) {
		r := &msg.JobListRequest{QueryOptions: msg.QueryOptions{Filter: filter}}
		if _, err := msg.JobList.Call(t.Context(), s.call, r); err != nil && model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("%q: %v", filter, err)
		}
	})
}
