package compat

import (
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// applied writes something as soon as the cluster has the level.
func applied(t *testing.T, what string, write func() error) {
	t.Helper()
	until(t, what, func() (bool, error) {
		err := write()
		return err == nil, err
	})
}

func TestNamespaces(t *testing.T) {
	c := client(t)
	ns := &api.Namespace{
		Name: "team", Description: "d", Meta: map[string]string{"k": "v"},
		Capabilities:          &api.NamespaceCapabilities{EnabledTaskDrivers: []string{"raw_exec"}, DisabledNetworkModes: []string{"bridge"}},
		NodePoolConfiguration: &api.NamespaceNodePoolConfiguration{Default: "default", Denied: []string{"gpu*"}},
	}
	applied(t, "namespace", func() error { _, err := c.Namespaces().Register(ns, nil); return err })
	got, _, err := c.Namespaces().Info("team", nil)
	if err != nil || got.Description != "d" || got.Meta["k"] != "v" || got.Capabilities.EnabledTaskDrivers[0] != "raw_exec" ||
		got.NodePoolConfiguration.Denied[0] != "gpu*" || got.CreateIndex == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	list, _, err := c.Namespaces().PrefixList("te", nil)
	if err != nil || len(list) != 1 || list[0].Name != "team" {
		t.Errorf("%v, %v", list, err)
	}
	job := quick("in-team")
	job.Namespace, job.NodePool = ptr("team"), nil
	job.TaskGroups[0].Tasks[0].Driver = "docker"
	if _, _, err := c.Jobs().Register(job, nil); err == nil || !strings.Contains(err.Error(), `does not allow driver "docker"`) {
		t.Errorf("a driver that is not enabled: %v", err)
	}
	job.TaskGroups[0].Tasks[0] = quick("x").TaskGroups[0].Tasks[0]
	if _, _, err := c.Jobs().Register(job, nil); err != nil {
		t.Fatal(err)
	}
	unknown := quick("nowhere")
	unknown.Namespace = ptr("nope")
	if _, _, err := c.Jobs().Register(unknown, nil); err == nil || !strings.Contains(err.Error(), `nonexistent namespace "nope"`) {
		t.Errorf("an unknown namespace: %v", err)
	}
	q := &api.QueryOptions{Namespace: "team"}
	until(t, "over", func() (bool, error) {
		j, _, err := c.Jobs().Info("in-team", q)
		return err == nil && *j.Status == "dead", err
	})
	if _, err := c.Namespaces().Delete("default", nil); err == nil || !strings.Contains(err.Error(), "default namespace") {
		t.Errorf("the default namespace: %v", err)
	}
	if _, err := c.Namespaces().Delete("team", nil); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Namespaces().Info("team", nil); err == nil || !strings.Contains(err.Error(), "Namespace not found") {
		t.Errorf("%v", err)
	}
	if _, err := c.Namespaces().Register(&api.Namespace{Name: "v", VaultConfiguration: &api.NamespaceVaultConfiguration{Default: "x"}}, nil); err == nil || !strings.Contains(err.Error(), "VaultConfiguration") {
		t.Errorf("what is not supported: %v", err)
	}
}

func TestNodePools(t *testing.T) {
	c := client(t)
	pool := &api.NodePool{Name: "gpu", Description: "d", Meta: map[string]string{"k": "v"}, SchedulerConfiguration: &api.NodePoolSchedulerConfiguration{
		SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: ptr(true),
	}}
	applied(t, "node pool", func() error { _, err := c.NodePools().Register(pool, nil); return err })
	got, _, err := c.NodePools().Info("gpu", nil)
	if err != nil || got.Description != "d" || got.Meta["k"] != "v" || got.SchedulerConfiguration.SchedulerAlgorithm != "spread" || !*got.SchedulerConfiguration.MemoryOversubscriptionEnabled {
		t.Fatalf("%+v, %v", got, err)
	}
	list, _, err := c.NodePools().List(nil)
	if err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	for _, name := range []string{"default", "all"} {
		if _, err := c.NodePools().Register(&api.NodePool{Name: name}, nil); err == nil {
			t.Errorf("%s can be changed", name)
		}
		if _, err := c.NodePools().Delete(name, nil); err == nil {
			t.Errorf("%s can be deleted", name)
		}
	}
	nodes, _, err := c.NodePools().ListNodes("all", nil)
	if err != nil || len(nodes) != 1 {
		t.Errorf("%v, %v", nodes, err)
	}
	job := quick("pooled")
	job.NodePool = ptr("nope")
	if _, _, err := c.Jobs().Register(job, nil); err == nil || !strings.Contains(err.Error(), `nonexistent node pool "nope"`) {
		t.Errorf("an unknown pool: %v", err)
	}
	job.NodePool = ptr("gpu")
	if _, _, err := c.Jobs().Register(job, nil); err != nil {
		t.Fatal(err)
	}
	jobs, _, err := c.NodePools().ListJobs("gpu", nil)
	if err != nil || len(jobs) != 1 || jobs[0].ID != "pooled" {
		t.Errorf("%v, %v", jobs, err)
	}
	if _, err := c.NodePools().Delete("gpu", nil); err == nil || !strings.Contains(err.Error(), "pooled") {
		t.Errorf("a pool in use: %v", err)
	}
	if _, _, err := c.Jobs().Deregister("pooled", true, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NodePools().Delete("gpu", nil); err != nil {
		t.Error(err)
	}
}

func TestQuotas(t *testing.T) {
	c := client(t)
	spec := &api.QuotaSpec{Name: "small", Description: "d", Limits: []*api.QuotaLimit{{Region: "global", RegionLimit: &api.QuotaResources{CPU: ptr(500), MemoryMB: ptr(100)}}}}
	applied(t, "quota", func() error { _, err := c.Quotas().Register(spec, nil); return err })
	if _, err := c.Namespaces().Register(&api.Namespace{Name: "bounded", Quota: "small"}, nil); err != nil {
		t.Fatal(err)
	}
	job := quick("large")
	job.Namespace = ptr("bounded")
	job.TaskGroups[0].Count = ptr(7)
	if _, _, err := c.Jobs().Register(job, nil); err == nil || !strings.Contains(err.Error(), `quota "small": memory 112 MB asked by job "large" of 100 MB allowed: lower count of group "g" to 6`) {
		t.Errorf("beyond the quota: %v", err)
	}
	param := quick("param-bounded")
	param.Namespace, param.ParameterizedJob = ptr("bounded"), &api.ParameterizedJobConfig{}
	param.TaskGroups[0].Tasks[0].SetConfig("command", "/bin/sleep").SetConfig("args", []string{"60"})
	param.TaskGroups[0].Count = ptr(4)
	if _, _, err := c.Jobs().Register(param, nil); err != nil {
		t.Fatal(err)
	}
	q := &api.WriteOptions{Namespace: "bounded"}
	first, _, err := c.Jobs().Dispatch("param-bounded", nil, nil, "", q)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Jobs().Dispatch("param-bounded", nil, nil, "", q); err == nil || !strings.Contains(err.Error(), "64 MB used by 1 job") {
		t.Errorf("a second dispatch: %v", err)
	}
	use, _, err := c.Quotas().Usage("small", nil)
	if err != nil || *use.Used["global"].RegionLimit.MemoryMB != 64 || *use.Used["global"].RegionLimit.CPU != 80 {
		t.Errorf("%+v, %v", use, err)
	}
	if list, _, err := c.Quotas().ListUsage(nil); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	low := *spec
	low.Limits = []*api.QuotaLimit{{Region: "global", RegionLimit: &api.QuotaResources{MemoryMB: ptr(50)}}}
	if _, err := c.Quotas().Register(&low, nil); err == nil || !strings.Contains(err.Error(), "memory 50 MB allowed, 64 MB used by 1 job") {
		t.Errorf("below what is used: %v", err)
	}
	if got, _, err := c.Quotas().Info("small", nil); err != nil || *got.Limits[0].RegionLimit.MemoryMB != 100 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Quotas().Delete("small", nil); err == nil || !strings.Contains(err.Error(), `bounds namespace "bounded"`) {
		t.Errorf("a quota in use: %v", err)
	}
	if _, err := c.Namespaces().Delete("bounded", nil); err == nil || !strings.Contains(err.Error(), first.DispatchedJobID) {
		t.Errorf("a namespace in use: %v", err)
	}
	for _, id := range []string{"param-bounded", first.DispatchedJobID} {
		if _, _, err := c.Jobs().Deregister(id, true, q); err != nil {
			t.Error(err)
		}
	}
	until(t, "empty", func() (bool, error) {
		_, err := c.Namespaces().Delete("bounded", nil)
		return err == nil, err
	})
	if _, err := c.Quotas().Delete("small", nil); err != nil {
		t.Error(err)
	}
}
