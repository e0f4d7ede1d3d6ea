package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
)

// TestKeyringRoutes: the shape that clients read, and failures by agent.
func TestKeyringRoutes(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	text := base64.StdEncoding.EncodeToString(key)
	var got msg.KeyringRequest
	members := []*msg.KeyringMember{
		{Name: "s1.global", Keys: [][]byte{key}}, {Name: "c1.global", Keys: [][]byte{bytes.Repeat([]byte{2}, 32), key}},
		{Name: "c2.global", Down: true, Err: "it is down"},
	}
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.Handle(srv, msg.Keyring, func(_ context.Context, r *msg.KeyringRequest) (*msg.KeyringResponse, error) {
			got = *r
			return &msg.KeyringResponse{Members: members}, nil
		})
	})
	resp, body := do(t, "GET", h.URL+"/v1/agent/keyring/list", "")
	for _, want := range []string{`"` + text + `":2`, `"NumNodes":2`, `"c2.global":"it is down"`, `"PrimaryKeys":{`} {
		if resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("list: %d, no %s in %s", resp.StatusCode, want, body)
		}
	}
	for _, tt := range []struct {
		method, path, op string
		force            bool
	}{
		{"PUT", "install", "install", false}, {"POST", "use", "use", false}, {"PUT", "use?force=true", "use", true},
		{"PUT", "remove", "remove", false}, {"DELETE", "remove", "remove", false},
	} {
		got = msg.KeyringRequest{}
		resp, body := do(t, tt.method, h.URL+"/v1/agent/keyring/"+tt.path, `{"Key":"`+text+`"}`)
		if resp.StatusCode != 200 || got.Op != tt.op || !bytes.Equal(got.Key, key) || got.Force != tt.force {
			t.Errorf("%s %s: %d %s, asked %s %v", tt.method, tt.path, resp.StatusCode, body, got.Op, got.Force)
		}
	}
	members[0].Err = "disk full"
	resp, body = do(t, "PUT", h.URL+"/v1/agent/keyring/install", `{"Key":"`+text+`"}`)
	if resp.StatusCode != 500 || !strings.Contains(body, "installed on 1 of 2 agents") || !strings.Contains(body, "s1.global: disk full") || strings.Contains(body, text) {
		t.Errorf("a failure: %d %s", resp.StatusCode, body)
	}
	for _, bad := range []string{`{"Key":"secret!"}`, `{}`, ``} {
		if resp, body := do(t, "PUT", h.URL+"/v1/agent/keyring/use", bad); resp.StatusCode != 400 || strings.Contains(body, "secret") {
			t.Errorf("%q: %d %s", bad, resp.StatusCode, body)
		}
	}
}
