package httpapi

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

type fakeAgent struct{}

func (fakeAgent) Self() map[string]any { return map[string]any{"member": Member{Name: "n1"}} }
func (fakeAgent) Members() []*msg.Member {
	return []*msg.Member{{Name: "n1", Tags: map[string]string{"region": "global"}}}
}
func (fakeAgent) Health() map[string]Health {
	return map[string]Health{"server": {OK: false, Message: "no leader"}}
}
func (fakeAgent) Monitor(context.Context, string, bool) (<-chan []byte, error) {
	c := make(chan []byte, 1)
	c <- []byte("line\n")
	close(c)
	return c, nil
}
func (fakeAgent) Join(context.Context, []string, bool) (int, error) { return 1, nil }
func (fakeAgent) ForceLeave(string) error                           { return nil }
func (fakeAgent) Schedulers() (string, int)                         { return "s1", 2 }
func (fakeAgent) Reload() error                                     { return nil }
func (fakeAgent) Leave(context.Context) error                       { return nil }
func (fakeAgent) Servers() []string                                 { return nil }

// noRegions knows of no other region.
type noRegions struct{}

func (noRegions) Name() string                    { return "global" }
func (noRegions) Servers(string) ([]string, bool) { return nil, false }

func serverOn(t *testing.T, register func(*rpc.Server)) *httptest.Server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	srv := rpc.NewServer(rpc.Config{Logger: log, Regions: noRegions{}})
	register(srv)
	s := New(Config{Servers: srv.Caller(), Agent: fakeAgent{}, Region: "global", Gatherer: prometheus.NewRegistry(), Logger: log})
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	return h
}

func do(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(out)
}

func TestQueryOptionsAndHeaders(t *testing.T) {
	var got msg.JobListRequest
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.Handle(srv, msg.JobList, func(_ context.Context, r *msg.JobListRequest) (*msg.JobListResponse, error) {
			got = *r
			return &msg.JobListResponse{QueryMeta: msg.QueryMeta{Index: 7, KnownLeader: true, LastContact: 3 * time.Millisecond, NextToken: "default.x"}}, nil
		})
	})
	resp, body := do(t, "GET", h.URL+"/v1/jobs?prefix=a&per_page=3&next_token=t&reverse=true&stale&index=5&wait=300000ms&filter=x&namespace=*&meta=true", "")
	if body != "[]" || resp.Header.Get("X-Nomad-Index") != "7" || resp.Header.Get("X-Nomad-Knownleader") != "true" ||
		resp.Header.Get("X-Nomad-Lastcontact") != "3" || resp.Header.Get("X-Nomad-Nexttoken") != "default.x" {
		t.Fatalf("answer %q %v", body, resp.Header)
	}
	want := msg.QueryOptions{Prefix: "a", PerPage: 3, NextToken: "t", Reverse: true, Stale: true, MinIndex: 5, MaxWait: 5 * time.Minute, Filter: "x", Namespace: "*"}
	if got.QueryOptions != want || !got.WithMeta {
		t.Fatalf("options %+v", got)
	}
	for _, q := range []string{"per_page=x", "index=-1", "wait=soon", "stale=perhaps"} {
		if resp, body := do(t, "GET", h.URL+"/v1/jobs?"+q, ""); resp.StatusCode != 400 || body == "" {
			t.Errorf("%s: %d %q", q, resp.StatusCode, body)
		}
	}
	if resp, body := do(t, "GET", h.URL+"/v1/jobs?region=mars", ""); resp.StatusCode != 500 || body != "No path to region" {
		t.Errorf("region: %d %q", resp.StatusCode, body)
	}
	if resp, body := do(t, "PATCH", h.URL+"/v1/jobs", ""); resp.StatusCode != 405 || strings.TrimSpace(body) != "Invalid method" {
		t.Errorf("method: %d %q", resp.StatusCode, body)
	}
	if resp, body := do(t, "GET", h.URL+"/v1/nonsense", ""); resp.StatusCode != 404 || body != "" {
		t.Errorf("unknown route: %d %q", resp.StatusCode, body)
	}
}

func TestErrorsBecomeStatuses(t *testing.T) {
	var fail error
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.Handle(srv, msg.EvalGet, func(context.Context, *msg.IDQuery) (*msg.EvalResponse, error) { return nil, fail })
		rpc.Handle(srv, msg.JobRegister, func(context.Context, *msg.JobRegisterRequest) (*msg.JobRegisterResponse, error) { return nil, fail })
	})
	for code, status := range map[model.Code]int{
		model.CodeInvalid: 400, model.CodeNotFound: 404, model.CodeConflict: 409, model.CodeDenied: 403,
		model.CodeUnavailable: 500, model.CodeNotLeader: 500, model.CodeInternal: 500,
	} {
		fail = model.Errorf(code, "text of %s", code)
		resp, body := do(t, "GET", h.URL+"/v1/evaluation/x", "")
		if resp.StatusCode != status || body != "text of "+string(code) || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %d %q", code, resp.StatusCode, body)
		}
	}
	fail = model.Errorf(model.CodeInvalid, "1 error occurred:\n\t* Missing job task groups\n\n")
	if resp, body := do(t, "PUT", h.URL+"/v1/jobs", `{"Job":{"ID":"x"}}`); resp.StatusCode != 500 || !strings.Contains(body, "Missing job task groups") {
		t.Errorf("job validation: %d %q", resp.StatusCode, body)
	}
	fail = model.Errorf(model.CodeConflict, "Enforcing job modify index 3: job does not exist")
	if resp, body := do(t, "PUT", h.URL+"/v1/jobs", `{"Job":{"ID":"x"}}`); resp.StatusCode != 500 || body != fail.Error() {
		t.Errorf("enforced index: %d %q", resp.StatusCode, body)
	}
}

// TestListsOfLaterVersions: what is empty yet has the headers of other lists and
// waits as they do, for clients that watch it.
func TestListsOfLaterVersions(t *testing.T) {
	h := serverOn(t, func(*rpc.Server) {})
	for _, path := range []string{"/v1/services", "/v1/service/x", "/v1/volumes", "/v1/plugins", "/v1/scaling/policies", "/v1/vars", "/v1/job/x/services", "/v1/job/x/actions", "/v1/volumes/claims"} {
		resp, body := do(t, "GET", h.URL+path, "")
		if resp.StatusCode != 200 || body != "[]" || resp.Header.Get("X-Nomad-Index") != "1" || resp.Header.Get("X-Nomad-Knownleader") != "true" {
			t.Errorf("%s: %d %q %v", path, resp.StatusCode, body, resp.Header)
		}
	}
	begin := time.Now()
	if resp, body := do(t, "GET", h.URL+"/v1/services?index=1&wait=20ms", ""); resp.StatusCode != 200 || body != "[]" || time.Since(begin) < 20*time.Millisecond {
		t.Errorf("a blocking query came back after %s: %d %q", time.Since(begin), resp.StatusCode, body)
	}
}

// TestWhatIsNotThere: everything that clients may ask for answers in words.
func TestWhatIsNotThere(t *testing.T) {
	h := serverOn(t, func(*rpc.Server) {})
	for ask, want := range map[string]string{
		"GET /v1/acl/policies": "400 ACL support disabled", "PUT /v1/acl/token": "400 ACL support disabled",
		"GET /v1/acl/auth-methods": "400 ACL support disabled", "DELETE /v1/acl/role/x": "400 ACL support disabled",
		"GET /v1/volume/csi/x": "404 volume not found", "PUT /v1/volume/host/create": "501 volumes are not supported by this version",
		"GET /v1/volumes/external": `200 {"NextToken":"","Volumes":[]}`, "DELETE /v1/volumes/claim/x": "404 volume claim not found",
		"GET /v1/plugin/csi/x": "404 plugin not found", "GET /v1/var/a/b": "404 variable not found",
		"PUT /v1/var/a/b": "501 variables are not supported by this version", "GET /v1/scaling/policy/x": "404 policy not found",
		"DELETE /v1/service/a/b":            "404 service registration not found",
		"GET /v1/client/allocation/x/pause": "500 Enterprise only", "GET /v1/operator/keyring/keys": "501 the keyring over HTTP is not supported by this version",
		"GET /v1/allocation/x/checks": "200 {}", "GET /v1/agent/schedulers/config": `200 {"enabled_schedulers":["batch","service","sysbatch","system"],"num_schedulers":2,"server_id":"s1"}`,
		"GET /v1/none": "404 ",
	} {
		method, path, _ := strings.Cut(ask, " ")
		resp, body := do(t, method, h.URL+path, "")
		if got := fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(body)); got != want {
			t.Errorf("%s: %s, want %s", ask, got, want)
		}
	}
}

func TestBodiesAreCheckedAndBounded(t *testing.T) {
	reached := false
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.Handle(srv, msg.JobRegister, func(context.Context, *msg.JobRegisterRequest) (*msg.JobRegisterResponse, error) {
			reached = true
			return &msg.JobRegisterResponse{}, nil
		})
	})
	for name, tc := range map[string]struct {
		body   string
		status int
		text   string
	}{
		"empty":        {"", 400, "Request body is empty"},
		"not JSON":     {"{\n\n]", 400, "line 3"},
		"no job":       {"{}", 400, "Job must be specified"},
		"huge number":  {`{"Job":{"ID":"x","Priority":1e400}}`, 400, ""},
		"larger":       {`{"Job":{"ID":"` + strings.Repeat("x", MaxBodyBytes) + `"}}`, 413, "larger than the limit of 10 MB"},
		"deep nesting": {`{"Job":` + strings.Repeat("[", 20000), 400, ""},
	} {
		resp, body := do(t, "PUT", h.URL+"/v1/jobs", tc.body)
		if resp.StatusCode != tc.status || !strings.Contains(body, tc.text) {
			t.Errorf("%s: %d %q", name, resp.StatusCode, body)
		}
	}
	// A body cut in half.
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"Job\":{\"ID\":")
	_ = conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && resp.StatusCode < 400 {
		t.Errorf("half a body was accepted: %d", resp.StatusCode)
	}
	_ = conn.Close()
	if reached {
		t.Error("a bad body reached the server")
	}
}

func TestLogFramesAndPlainText(t *testing.T) {
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.HandleStream(srv, msg.ClientLogs, func(_ context.Context, st *rpc.Stream[msg.FileFrame, msg.AllocLogsRequest]) error {
			req, err := st.Recv()
			if err != nil {
				return err
			}
			if req.Task == "missing" {
				return model.Errorf(model.CodeNotFound, "task %q not found", req.Task)
			}
			if err := st.Send(&msg.FileFrame{Data: []byte("a\n"), File: "alloc/logs/t.stdout.0", Offset: 2}); err != nil {
				return err
			}
			return st.Send(&msg.FileFrame{})
		})
	})
	base := h.URL + "/v1/client/fs/logs/0123?type=stdout&task="
	if _, body := do(t, "GET", base+"t&plain=true", ""); body != "a\n" {
		t.Errorf("plain: %q", body)
	}
	if _, body := do(t, "GET", base+"t", ""); body != `{"Offset":2,"Data":"YQo=","File":"alloc/logs/t.stdout.0"}{}` {
		t.Errorf("frames: %q", body)
	}
	if resp, body := do(t, "GET", base+"missing", ""); resp.StatusCode != 404 || !strings.Contains(body, "not found") {
		t.Errorf("missing task: %d %q", resp.StatusCode, body)
	}
	if resp, _ := do(t, "GET", h.URL+"/v1/client/fs/logs/0123?type=both&task=t", ""); resp.StatusCode != 400 {
		t.Errorf("bad type: %d", resp.StatusCode)
	}
}

func TestEventStreamLines(t *testing.T) {
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.HandleStream(srv, msg.EventStream, func(_ context.Context, st *rpc.Stream[msg.EventBatch, msg.EventStreamRequest]) error {
			req, err := st.Recv()
			if err != nil {
				return err
			}
			text, err := json.Marshal(req.Topics)
			if err != nil {
				return err
			}
			if err := st.Send(&msg.EventBatch{}); err != nil {
				return err
			}
			return st.Send(&msg.EventBatch{Index: 3, JSON: text})
		})
	})
	_, body := do(t, "GET", h.URL+"/v1/event/stream?topic=Job:web&topic=Node", "")
	if body != "{}\n"+`{"Job":["web"],"Node":["*"]}`+"\n" {
		t.Fatalf("%q", body)
	}
}

func TestLongAnswersAreCompressed(t *testing.T) {
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.Handle(srv, msg.JobList, func(context.Context, *msg.JobListRequest) (*msg.JobListResponse, error) {
			out := &msg.JobListResponse{}
			for i := range 200 {
				out.Jobs = append(out.Jobs, &model.JobListStub{ID: fmt.Sprint("job-", i)})
			}
			return out, nil
		})
	})
	req, _ := http.NewRequest("GET", h.URL+"/v1/jobs", nil)
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var jobs []model.JobListStub
	if err := json.NewDecoder(z).Decode(&jobs); err != nil || len(jobs) != 200 {
		t.Fatalf("%v, %d jobs", err, len(jobs))
	}
}

func TestIdleConnectionsLockNobodyOut(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	srv := rpc.NewServer(rpc.Config{Logger: log})
	s := New(Config{Servers: srv.Caller(), Agent: fakeAgent{}, Gatherer: prometheus.NewRegistry(), Logger: log, MaxConnsPerIP: 20})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	var idle []net.Conn
	for range 100 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	resp, err := http.Get("http://" + l.Addr().String() + "/v1/agent/self")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("behind 100 idle connections: %v", err)
	}
	_ = resp.Body.Close()
	for _, c := range idle {
		_ = c.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestEveryRouteIsDocumentedOnce(t *testing.T) {
	s := New(Config{Agent: fakeAgent{}, Logger: slog.New(slog.DiscardHandler)})
	seen := map[string]bool{}
	for _, r := range s.Routes() {
		if r.Doc == "" || seen[r.Path] || r.Verbs() == "" {
			t.Errorf("route %s: doc %q, verbs %q, twice: %v", r.Path, r.Doc, r.Verbs(), seen[r.Path])
		}
		seen[r.Path] = true
	}
}

func FuzzQuery(f *testing.F) {
	log := slog.New(slog.DiscardHandler)
	srv := rpc.NewServer(rpc.Config{Logger: log})
	rpc.Handle(srv, msg.JobList, func(context.Context, *msg.JobListRequest) (*msg.JobListResponse, error) {
		return &msg.JobListResponse{}, nil
	})
	s := New(Config{Servers: srv.Caller(), Agent: fakeAgent{}, Gatherer: prometheus.NewRegistry(), Logger: log})
	f.Add("index=1&wait=1s&stale", []byte(`{"Job":{}}`))
	f.Add("per_page=99999999999999999999", []byte(`{`))
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		req := httptest.NewRequest("PUT", "/v1/validate/job", bytes.NewReader(body))
		req.URL.RawQuery = query
		s.Handler().ServeHTTP(httptest.NewRecorder(), req)
		req = httptest.NewRequest("GET", "/v1/jobs", nil)
		req.URL.RawQuery = query
		s.Handler().ServeHTTP(httptest.NewRecorder(), req)
	})
}
