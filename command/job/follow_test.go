package job

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// stage is a server whose state a test changes.
type stage struct {
	mu      sync.Mutex
	changed chan struct{}
	index   uint64
	scene   *scene
	down    bool
	logs    string
}

func newStage(t *testing.T, s *scene) (*stage, *base.IO, *bytes.Buffer) {
	st := &stage{scene: s, index: 100, changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/job/j", st.answer(func(s *scene) any { return s.job }))
	mux.HandleFunc("/v1/job/j/evaluations", st.answer(func(s *scene) any { return s.evals }))
	mux.HandleFunc("/v1/job/j/allocations", st.answer(func(s *scene) any { return s.allocs }))
	mux.HandleFunc("/v1/job/j/deployments", st.answer(func(s *scene) any { return []*model.Deployment{s.deployment} }))
	mux.HandleFunc("/v1/client/fs/logs/{id}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, st.logs) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	c, err := api.New(api.Config{Address: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	talk := &bytes.Buffer{}
	return st, &base.IO{Client: c, Err: talk, Out: talk}, talk
}

// answer serves a blocking query.
func (s *stage) answer(pick func(*scene) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		want, _ := strconv.ParseUint(r.FormValue("index"), 10, 64)
		for {
			s.mu.Lock()
			index, changed, down, v := s.index, s.changed, s.down, pick(s.scene)
			body, _ := json.Marshal(v)
			s.mu.Unlock()
			switch {
			case down:
				http.Error(w, "No cluster leader", http.StatusInternalServerError)
				return
			case string(body) == "null" && strings.HasSuffix(r.URL.Path, "/j"):
				http.Error(w, "job not found", http.StatusNotFound)
				return
			case index > want:
				w.Header().Set("X-Nomad-Index", strconv.FormatUint(index, 10))
				_, _ = w.Write(body)
				return
			}
			select {
			case <-changed:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// change changes the state and wakes those who wait for it.
func (s *stage) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.index++
	close(s.changed)
	s.changed = make(chan struct{})
}

func code(err error) int {
	if err == nil {
		return base.ExitOK
	}
	if e, ok := err.(*base.Exit); ok {
		return e.Code
	}
	return -1
}

var stamps = regexp.MustCompile(`(?m)^ +\d+\.\d\ds`)

func untimed(b *bytes.Buffer) string { return stamps.ReplaceAllString(b.String(), "T") }

// begin follows in a goroutine, which ends with the channel.
func begin(ctx context.Context, o *base.IO) <-chan error {
	done := make(chan error, 1)
	go func() { done <- Follow(ctx, o, "j", "", "e", false) }()
	return done
}

func result(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("following does not end")
		return nil
	}
}

func TestFollowingANewService(t *testing.T) {
	t.Parallel()
	s := service()
	s.eval.Status = model.EvalPending
	st, o, talk := newStage(t, s)
	done := begin(t.Context(), o)
	st.change(func() {
		s.eval.Status = model.EvalComplete
		s.alloc(0, model.ClientPending, nil).alloc(1, model.ClientPending, nil)
	})
	time.AfterFunc(100*time.Millisecond, func() {
		st.change(func() {
			for _, a := range s.allocs {
				a.ClientStatus, a.TaskStates["t"].State = model.ClientRunning, model.TaskRunning
			}
		})
	})
	began := time.Now()
	if err := result(t, done); err != nil {
		t.Fatal(err)
	}
	if time.Since(began) < settle {
		t.Error("new instances were not given time to fail")
	}
	for _, want := range []string{
		"T  Evaluation e of job \"j\"\n", "T  00000000  j.g[0]  one  running\n", "T  00000001  j.g[1]  one  running\n", "T  Job \"j\" runs: 2 of 2, version 1\n",
	} {
		if !strings.Contains(untimed(talk), want) {
			t.Errorf("no %q in:\n%s", want, untimed(talk))
		}
	}
}

func TestFollowingWhatRunsAlready(t *testing.T) {
	t.Parallel()
	s := service().alloc(0, model.ClientRunning, nil).alloc(1, model.ClientRunning, nil)
	for _, a := range s.allocs {
		a.CreateIndex = 5
	}
	_, o, talk := newStage(t, s)
	if err := Follow(t.Context(), o, "j", "", "e", false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(talk.String(), "runs: 2 of 2") {
		t.Error(talk.String())
	}
}

func TestATaskThatFailsSoonAfterItRan(t *testing.T) {
	t.Parallel()
	s := service().alloc(0, model.ClientRunning, nil).alloc(1, model.ClientRunning, nil)
	st, o, talk := newStage(t, s)
	st.logs = "one\ntwo\x1b[2J\n"
	done := begin(t.Context(), o)
	time.AfterFunc(200*time.Millisecond, func() {
		st.change(func() {
			a := s.allocs[1]
			a.ClientStatus = model.ClientFailed
			a.TaskStates["t"] = &model.TaskState{State: model.TaskDead, Failed: true, StartedAt: created, Events: []*model.TaskEvent{
				{Type: model.EventTerminated, DisplayMessage: "Exit Code: 3"}}}
		})
	})
	if err := result(t, done); code(err) != base.ExitError {
		t.Fatal(err)
	}
	for _, want := range []string{
		"T  Job \"j\": tasks failed; 1 run, 1 failed\n", "j.g[1] on node one, allocation 00000001:\n", "task \"t\"  Terminated: Exit Code: 3\n",
		"    | one\n    | two\\x1b[2J\n", "steppe logs -stderr 00000001",
	} {
		if !strings.Contains(untimed(talk), want) {
			t.Errorf("no %q in:\n%s", want, untimed(talk))
		}
	}
}

// A server that goes away for a while, or has no leader, ends nothing and is not
// worth a word.
func TestServersThatDoNotAnswerForAWhile(t *testing.T) {
	t.Parallel()
	s := service().alloc(0, model.ClientPending, nil).alloc(1, model.ClientRunning, nil)
	st, o, talk := newStage(t, s)
	done := begin(t.Context(), o)
	time.AfterFunc(100*time.Millisecond, func() { st.change(func() { st.down = true }) })
	time.AfterFunc(time.Second, func() {
		st.change(func() {
			st.down = false
			s.allocs[0].ClientStatus, s.allocs[0].TaskStates["t"].State = model.ClientRunning, model.TaskRunning
		})
	})
	if err := result(t, done); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(talk.String(), "leader") {
		t.Error(talk.String())
	}
}

func TestRefusalsAreNotRetried(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Permission denied", http.StatusForbidden)
	}))
	defer srv.Close()
	c, err := api.New(api.Config{Address: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	talk := &bytes.Buffer{}
	if err := Follow(t.Context(), &base.IO{Client: c, Err: talk}, "j", "", "e", false); model.CodeOf(err) != model.CodeDenied {
		t.Error(err)
	}
}

func TestInterruptedFollowing(t *testing.T) {
	t.Parallel()
	s := service().alloc(0, model.ClientPending, nil)
	_, o, talk := newStage(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := begin(ctx, o)
	time.AfterFunc(100*time.Millisecond, cancel)
	if err := result(t, done); err != context.Canceled {
		t.Fatal(err)
	}
	if !strings.Contains(talk.String(), "the job goes on. See: steppe job status j") {
		t.Error(talk.String())
	}
}

func TestFollowingAStop(t *testing.T) {
	t.Parallel()
	s := service().alloc(0, model.ClientRunning, func(a *model.AllocListStub) { a.DesiredStatus = model.DesiredStop })
	s.job = nil
	st, o, talk := newStage(t, s)
	once := sync.OnceFunc(func() { st.change(func() { s.allocs[0].ClientStatus = model.ClientComplete }) })
	said := io.MultiWriter(talk, word{"running (stopping)", once})
	o.Out, o.Err = said, said
	done := begin(t.Context(), o)
	if err := result(t, done); err != nil {
		t.Fatal(err)
	}
	if got := untimed(talk); !strings.Contains(got, "running (stopping)") || !strings.Contains(got, "T  Job \"j\" is stopped and forgotten") {
		t.Error(got)
	}
}

// word calls heard when it is written.
type word struct {
	text  string
	heard func()
}

func (w word) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.heard()
	}
	return len(p), nil
}

// Of many instances groups are counted, on a terminal and without.
func TestManyInstancesAreCounted(t *testing.T) {
	t.Parallel()
	s := service()
	s.job.TaskGroups[0].Count = mostRows + 5
	for i := range mostRows + 5 {
		s.alloc(i, model.ClientRunning, func(a *model.AllocListStub) { a.CreateIndex = 5 })
	}
	_, o, talk := newStage(t, s)
	if err := Follow(t.Context(), o, "j", "", "e", false); err != nil {
		t.Fatal(err)
	}
	if got := untimed(talk); strings.Contains(got, "j.g[") || !strings.Contains(got, "T  25 run\n") {
		t.Error(got)
	}
	o.Live = true
	talk.Reset()
	if err := Follow(t.Context(), o, "j", "", "e", false); err != nil {
		t.Fatal(err)
	}
	if got := untimed(talk); strings.Contains(got, "j.g[") || !strings.Contains(got, "runs: 25 of 25") {
		t.Error(got)
	}
}
