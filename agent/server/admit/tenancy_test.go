package admit

import (
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
)

// shared is a stage whose cluster has the level.
func shared() *stage {
	s := newStage()
	s.Must(&fsm.FeatureLevel{Level: feature.Tenancy})
	return s
}

func TestTenancyNeedsItsLevel(t *testing.T) {
	s := newStage()
	for _, err := range []error{
		second(msg.NamespaceUpsert.Call(t.Context(), s.call, &msg.NamespaceUpsertRequest{Tenant: &tenancy.Namespace{Name: "n"}})),
		second(msg.NamespaceDelete.Call(t.Context(), s.call, &msg.NameRequest{Name: "n"})),
		second(msg.NodePoolUpsert.Call(t.Context(), s.call, &msg.NodePoolUpsertRequest{Pool: &model.NodePool{Name: "p"}})),
		second(msg.NodePoolDelete.Call(t.Context(), s.call, &msg.NameRequest{Name: "p"})),
		second(msg.QuotaDelete.Call(t.Context(), s.call, &msg.NameRequest{Name: "q"})),
	} {
		if model.CodeOf(err) != model.CodeConflict || !strings.Contains(err.Error(), "feature level 7") {
			t.Errorf("%v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTenancyRefusals(t *testing.T) {
	s := shared()
	before := s.Store.Snapshot().Hash()
	for want, err := range map[string]error{
		"missing namespace":       second(msg.NamespaceUpsert.Call(t.Context(), s.call, &msg.NamespaceUpsertRequest{})),
		`invalid name "a/b"`:      second(msg.NamespaceUpsert.Call(t.Context(), s.call, &msg.NamespaceUpsertRequest{Tenant: &tenancy.Namespace{Name: "a/b"}})),
		`invalid name "*"`:        second(msg.NamespaceUpsert.Call(t.Context(), s.call, &msg.NamespaceUpsertRequest{Tenant: &tenancy.Namespace{Name: "*"}})),
		"missing node pool":       second(msg.NodePoolUpsert.Call(t.Context(), s.call, &msg.NodePoolUpsertRequest{})),
		"modifying node pool":     second(msg.NodePoolUpsert.Call(t.Context(), s.call, &msg.NodePoolUpsertRequest{Pool: &model.NodePool{Name: "all"}})),
		"missing quota":           second(msg.QuotaUpsert.Call(t.Context(), s.call, &msg.QuotaUpsertRequest{})),
		`no limit for region "gl`: second(msg.QuotaUpsert.Call(t.Context(), s.call, &msg.QuotaUpsertRequest{Quota: &tenancy.Quota{Name: "q", Limits: []*tenancy.Limit{{Region: "x", RegionLimit: &tenancy.Resources{}}}}})),
		`quota "q" not found`:     second(msg.QuotaDelete.Call(t.Context(), s.call, &msg.NameRequest{Name: "q"})),
		`"n" not found`:           second(msg.NamespaceDelete.Call(t.Context(), s.call, &msg.NameRequest{Name: "n"})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if s.Store.Snapshot().Hash() != before {
		t.Error("a refusal changed something")
	}
}

// A job that names no node pool gets its namespace's; a limit that names no region is
// this region's.
func TestTenancyDefaults(t *testing.T) {
	s := shared()
	for _, err := range []error{
		second(msg.NodePoolUpsert.Call(t.Context(), s.call, &msg.NodePoolUpsertRequest{Pool: &model.NodePool{Name: "gpu"}})),
		second(msg.QuotaUpsert.Call(t.Context(), s.call, &msg.QuotaUpsertRequest{Quota: &tenancy.Quota{Name: "q", Limits: []*tenancy.Limit{{RegionLimit: &tenancy.Resources{Count: 2}}}}})),
		second(msg.NamespaceUpsert.Call(t.Context(), s.call, &msg.NamespaceUpsertRequest{Tenant: &tenancy.Namespace{
			Name: "team", Quota: "q", NodePoolConfiguration: &tenancy.NodePoolRules{Default: "gpu", Allowed: []string{}},
		}})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	job := web()
	job.Namespace = "team"
	s.register(t, &msg.JobRegisterRequest{Job: job})
	if got := s.Store.Snapshot().Job("team", "web"); got.NodePool != "gpu" {
		t.Errorf("pool %q", got.NodePool)
	}
	elsewhere := web()
	elsewhere.Namespace, elsewhere.NodePool = "team", "default"
	if _, err := msg.JobRegister.Call(t.Context(), s.call, &msg.JobRegisterRequest{Job: elsewhere}); err == nil || !strings.Contains(err.Error(), "it allows gpu only") {
		t.Errorf("%v", err)
	}
	three := int64(3)
	scale := &msg.JobScaleRequest{JobID: "web", Group: "g", Count: &three}
	scale.Namespace = "team"
	if _, err := msg.JobScale.Call(t.Context(), s.call, scale); err == nil || !strings.Contains(err.Error(), `quota "q": count 3 asked by job "web" of 2 allowed: lower count of group "g" to 2`) {
		t.Errorf("%v", err)
	}
	plain := web()
	s.register(t, &msg.JobRegisterRequest{Job: plain})
	if got := s.Store.Snapshot().Job(model.DefaultNamespace, "web"); got.NodePool != model.DefaultNodePool {
		t.Errorf("pool %q", got.NodePool)
	}
}

// Whether memory_max has an effect is said by namespace, pool and cluster, in that order.
func TestTenancyOversubscription(t *testing.T) {
	s := shared()
	yes, no := true, false
	s.Must(&fsm.UpsertNodePool{Pool: &model.NodePool{Name: "soft", SchedulerConfiguration: &model.NodePoolSchedulerConfiguration{MemoryOversubscriptionEnabled: &yes}}})
	s.Must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "hard", SchedulerConfiguration: &tenancy.SchedulingRules{MemoryOversubscriptionEnabled: &no}}})
	for _, tt := range []struct {
		namespace, pool string
		warned          bool
	}{{"default", "default", true}, {"default", "soft", false}, {"hard", "soft", true}} {
		job := web()
		job.Namespace, job.NodePool = tt.namespace, tt.pool
		job.TaskGroups[0].Tasks[0].Resources.MemoryMaxMB = 900
		if out := s.register(t, &msg.JobRegisterRequest{Job: job}); (out.Warnings != "") != tt.warned {
			t.Errorf("%+v: %q", tt, out.Warnings)
		}
	}
}
