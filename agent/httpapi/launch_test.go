package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

func TestLaunches(t *testing.T) {
	var seen *msg.JobDispatchRequest
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.Handle(srv, msg.JobDispatch, func(_ context.Context, r *msg.JobDispatchRequest) (*msg.JobLaunchResponse, error) {
			if seen = r; r.JobID == "none" {
				return nil, model.Errorf(model.CodeNotFound, "job not found")
			}
			return &msg.JobLaunchResponse{WriteMeta: msg.WriteMeta{Index: 7}, JobID: "a/dispatch-1-2", JobCreateIndex: 7, EvalID: "e", EvalCreateIndex: 7}, nil
		})
		rpc.Handle(srv, msg.JobForce, func(_ context.Context, r *msg.JobForceRequest) (*msg.JobLaunchResponse, error) {
			return &msg.JobLaunchResponse{JobID: r.JobID + "/periodic-1", EvalID: "f"}, nil
		})
	})
	body := `{"JobID":"a","Payload":"aGk=","Meta":{"k":"v"},"IdPrefixTemplate":"p","Priority":60}`
	resp, out := do(t, http.MethodPut, h.URL+"/v1/job/a/dispatch?idempotency_token=tok&namespace=n", body)
	if resp.StatusCode != http.StatusOK || !strings.Contains(out, `"DispatchedJobID":"a/dispatch-1-2"`) || !strings.Contains(out, `"EvalID":"e"`) || resp.Header.Get("X-Nomad-Index") != "7" {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
	if seen.JobID != "a" || string(seen.Payload) != "hi" || seen.Meta["k"] != "v" || seen.IDPrefix != "p" || seen.Priority != 60 || seen.Token != "tok" || seen.RequestID != "" || seen.Namespace != "n" {
		t.Errorf("%+v", seen)
	}
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/v1/job/a/dispatch", "", http.StatusOK},
		{"/v1/job/a/dispatch", `{"JobID":"b"}`, http.StatusBadRequest},
		{"/v1/job/a/dispatch", `{"Payload":"%"}`, http.StatusBadRequest},
		{"/v1/job/a/dispatch", `{`, http.StatusBadRequest},
		{"/v1/job/none/dispatch", "{}", http.StatusNotFound},
		{"/v1/job/x%2Fy/periodic/force", "", http.StatusOK},
	} {
		if resp, out := do(t, http.MethodPost, h.URL+c.path, c.body); resp.StatusCode != c.status {
			t.Errorf("%s %s: %d %s", c.path, c.body, resp.StatusCode, out)
		}
	}
}
