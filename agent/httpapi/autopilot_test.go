package httpapi

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// TestAutopilotHealth: the status says that not all is well, and the answer says what;
// the client reads it all the same.
func TestAutopilotHealth(t *testing.T) {
	well := false
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.Handle(srv, msg.AutopilotHealth, func(context.Context, *msg.StatusRequest) (*msg.ServersHealthResponse, error) {
			return &msg.ServersHealthResponse{
				Healthy: well, FailureTolerance: 1, Optimistic: 2,
				Servers: []*msg.ServerHealth{
					{ID: "a", Name: "a.global", Leader: true, Voter: true, Healthy: true, Zone: "z", LastContact: 1e6},
					{ID: "b", Name: "b.global", Disk: "short, 1 MiB free", NonVoter: true},
				},
				Zones: map[string]*msg.ZoneHealth{"z": {Servers: []string{"a"}, Voters: []string{"a"}}},
				Upgrade: &msg.UpgradeHealth{Status: "promoting", TargetVersion: "2.0.0", All: msg.UpgradeVersions{OtherVoters: []string{"a"}},
					Zones: map[string]*msg.UpgradeVersions{"z": {OtherVoters: []string{"a"}}}},
			}, nil
		})
	})
	resp, err := http.Get(h.URL + "/v1/operator/autopilot/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("%d %v", resp.StatusCode, err)
	}
	for _, want := range []string{
		`"Leader":"a"`, `"Voters":["a"]`, `"ReadReplicas":["b"]`, `"OptimisticFailureTolerance":2`, `"LastContact":"1ms"`,
		`"RedundancyZones":{"z":{"Servers":["a"],"Voters":["a"],"FailureTolerance":0}}`,
		`"Status":"promoting","TargetVersion":"2.0.0","TargetVersionVoters":[],"TargetVersionNonVoters":[],"OtherVersionVoters":["a"]`,
		`"Disk":"short, 1 MiB free"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	client, err := api.New(api.Config{Address: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	for _, well = range []bool{false, true} {
		got, err := client.Cluster().AutopilotHealth(t.Context())
		if err != nil || got.Healthy != well || len(got.Servers) != 2 || got.Upgrade.OtherVersionVoters[0] != "a" || got.Servers[1].Disk == "" {
			t.Errorf("%+v %v", got, err)
		}
	}
}

// TestFeatures: the levels are told, and what cannot be activated is said in words.
func TestFeatures(t *testing.T) {
	asked := -1
	h := serverOn(t, func(srv *rpc.Server) {
		rpc.Handle(srv, msg.Features, func(context.Context, *msg.StatusRequest) (*msg.FeaturesResponse, error) {
			return &msg.FeaturesResponse{Active: 1, Understands: 2, Possible: 2, Servers: []*msg.FeatureServer{{ID: "a", Understands: 2, Member: true}}}, nil
		})
		rpc.Handle(srv, msg.FeatureActivate, func(_ context.Context, r *msg.FeatureActivateRequest) (*msg.FeatureActivateResponse, error) {
			if asked = r.Level; asked > 2 {
				return nil, model.Errorf(model.CodeConflict, "feature level %d is not known", asked)
			}
			return &msg.FeatureActivateResponse{Level: 2}, nil
		})
	})
	client, err := api.New(api.Config{Address: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	f, err := client.Cluster().Features(t.Context())
	if err != nil || f.Active != 1 || f.Possible != 2 || len(f.Levels) < 2 || !f.Levels[0].Active || f.Levels[1].Active || len(f.Servers) != 1 {
		t.Errorf("%+v %v", f, err)
	}
	for _, level := range []int{0, 2} {
		if got, err := client.Cluster().ActivateFeature(t.Context(), level); err != nil || got != 2 || asked != level {
			t.Errorf("level %d: %d %v, asked for %d", level, got, err, asked)
		}
	}
	for level, code := range map[int]model.Code{-1: model.CodeInvalid, 9: model.CodeConflict} {
		if _, err := client.Cluster().ActivateFeature(t.Context(), level); model.CodeOf(err) != code {
			t.Errorf("level %d: %v", level, err)
		}
	}
}
