package base

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// cluster answers what resolving asks for.
func cluster(t *testing.T, namespace string) *IO {
	jobs := []*model.JobListStub{{ID: "web", Namespace: "default"}, {ID: "web-2", Namespace: "default"}, {ID: "api", Namespace: "default"}, {ID: "api", Namespace: "prod"}}
	allocs := []*model.AllocListStub{{ID: "aa11", JobID: "web"}, {ID: "aa22", JobID: "web"}, {ID: "bb33", JobID: "api"}}
	nodes := []*model.NodeListStub{{ID: "cc11", Name: "one"}, {ID: "cc22", Name: "two"}, {ID: "dd33", Name: "cc"}}
	evals := []*model.Evaluation{{ID: "ee11"}, {ID: "ee22"}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux.HandleFunc("/v1/jobs", func(w http.ResponseWriter, r *http.Request) {
		var out []*model.JobListStub
		for _, j := range jobs {
			if ns := r.FormValue("namespace"); strings.HasPrefix(j.ID, r.FormValue("prefix")) && (ns == "*" || ns == j.Namespace) {
				out = append(out, j)
			}
		}
		answer(w, out)
	})
	mux.HandleFunc("/v1/job/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, j := range jobs {
			if j.ID == r.PathValue("id") && j.Namespace == r.FormValue("namespace") {
				answer(w, &model.Job{ID: j.ID, Namespace: j.Namespace})
				return
			}
		}
		http.Error(w, "job not found", http.StatusNotFound)
	})
	mux.HandleFunc("/v1/allocations", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("namespace") == "" {
			t.Error("ids are looked for in all namespaces")
		}
		var out []*model.AllocListStub
		for _, a := range allocs {
			if strings.HasPrefix(a.ID, r.FormValue("prefix")) {
				out = append(out, a)
			}
		}
		answer(w, out)
	})
	mux.HandleFunc("/v1/allocation/{id}", func(w http.ResponseWriter, r *http.Request) { answer(w, &model.Allocation{ID: r.PathValue("id")}) })
	mux.HandleFunc("/v1/nodes", func(w http.ResponseWriter, r *http.Request) {
		var out []*model.NodeListStub
		for _, n := range nodes {
			f := r.FormValue("filter")
			if f == "" && strings.HasPrefix(n.ID, r.FormValue("prefix")) || f == fmt.Sprintf("Name == %q", n.Name) {
				out = append(out, n)
			}
		}
		answer(w, out)
	})
	mux.HandleFunc("/v1/node/{id}", func(w http.ResponseWriter, r *http.Request) { answer(w, &model.Node{ID: r.PathValue("id")}) })
	mux.HandleFunc("/v1/evaluations", func(w http.ResponseWriter, r *http.Request) {
		var out []*model.Evaluation
		for _, e := range evals {
			if strings.HasPrefix(e.ID, r.FormValue("prefix")) {
				out = append(out, e)
			}
		}
		answer(w, out)
	})
	mux.HandleFunc("/v1/evaluation/{id}", func(w http.ResponseWriter, r *http.Request) { answer(w, &model.Evaluation{ID: r.PathValue("id")}) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	cfg := api.Config{Address: srv.URL, Namespace: namespace}
	c, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &IO{Client: c, client: cfg}
}

func TestIDsByPrefix(t *testing.T) {
	kinds := map[string]func(context.Context, *IO, string) (string, error){
		"job": func(ctx context.Context, o *IO, id string) (string, error) {
			j, err := o.Job(ctx, id)
			if err != nil {
				return "", err
			}
			return j.Namespace + "/" + j.ID, nil
		},
		"alloc": func(ctx context.Context, o *IO, id string) (string, error) {
			a, err := o.Alloc(ctx, id)
			if err != nil {
				return "", err
			}
			return a.ID, nil
		},
		"node": func(ctx context.Context, o *IO, id string) (string, error) {
			n, err := o.Node(ctx, id)
			if err != nil {
				return "", err
			}
			return n.ID, nil
		},
		"eval": func(ctx context.Context, o *IO, id string) (string, error) {
			e, err := o.Eval(ctx, id)
			if err != nil {
				return "", err
			}
			return e.ID, nil
		},
	}
	for _, c := range []struct{ kind, namespace, id, want string }{
		{"job", "default", "web", "default/web"},
		{"job", "default", "web-", "default/web-2"},
		{"job", "default", "we", `"we" matches more than one job`},
		{"job", "default", "nope", `no job "nope"`},
		{"job", "prod", "a", "prod/api"},
		{"job", "*", "web", "default/web"},
		{"job", "*", "api", `"api" matches more than one job`},
		{"alloc", "", "b", "bb33"},
		{"alloc", "", "AA1", "aa11"},
		{"alloc", "", "aa", `"aa" matches more than one allocation`},
		{"alloc", "", "ff", `no allocation "ff"`},
		{"alloc", "", "web", `no allocation "web": ids are of hexadecimal digits and dashes`},
		{"node", "", "cc1", "cc11"},
		{"node", "", "two", "cc22"},
		{"node", "", "cc", `"cc" matches more than one node`},
		{"node", "", "d", "dd33"},
		{"node", "", "three", `no node "three"`},
		{"eval", "", "ee1", "ee11"},
		{"eval", "", "e", `"e" matches more than one evaluation`},
		{"eval", "", "", `no evaluation ""`},
	} {
		o := cluster(t, c.namespace)
		got, err := kinds[c.kind](t.Context(), o, c.id)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s %q in %q: got %q, want %q", c.kind, c.id, c.namespace, got, c.want)
		}
	}
}
