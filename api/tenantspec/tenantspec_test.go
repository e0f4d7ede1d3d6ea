package tenantspec

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestReads(t *testing.T) {
	n, err := Namespace("n.hcl", []byte(`
name        = "dev"
description = "d"
quota       = "q"
meta {
  owner = "jane"
}
capabilities {
  enabled_task_drivers   = ["exec"]
  disabled_network_modes = ["host"]
}
node_pool_config {
  default = "gpu"
  allowed = []
}
scheduler_config {
  max_priority = 60
}
`))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(n)
	want := `{"Name":"dev","Description":"d","Meta":{"owner":"jane"},"CreateIndex":0,"ModifyIndex":0,"Quota":"q",` +
		`"Capabilities":{"EnabledTaskDrivers":["exec"],"DisabledTaskDrivers":null,"EnabledNetworkModes":null,"DisabledNetworkModes":["host"]},` +
		`"NodePoolConfiguration":{"Default":"gpu","Allowed":[],"Denied":null},` +
		`"SchedulerConfiguration":{"SchedulerAlgorithm":"","MemoryOversubscriptionEnabled":null,"MaxPriority":60}}`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if again, err := Namespace("n.json", got); err != nil || again.Quota != "q" || again.NodePoolConfiguration.Allowed == nil {
		t.Errorf("%+v, %v", again, err)
	}
	p, err := NodePool("p.hcl", []byte(`node_pool "gpu" {
  description = "d"
  meta { 
    a = 1 
  }
  scheduler_config {
    scheduler_algorithm             = "spread"
    memory_oversubscription_enabled = true
  }
}`))
	if err != nil || p.Name != "gpu" || p.Meta["a"] != "1" || p.SchedulerConfiguration.SchedulerAlgorithm != "spread" || !*p.SchedulerConfiguration.MemoryOversubscriptionEnabled {
		t.Errorf("%+v, %v", p, err)
	}
	q, err := Quota("q.hcl", []byte("name = \"q\"\nlimit {\n  region = \"global\"\n  region_limit {\n    cpu = 5\n    memory = -1\n    disk = 7\n    count = 8\n  }\n}\n"))
	if err != nil || len(q.Limits) != 1 || q.Limits[0].RegionLimit.CPU != 5 || q.Limits[0].RegionLimit.MemoryMB != -1 || q.Limits[0].RegionLimit.Count != 8 {
		t.Errorf("%+v, %v", q, err)
	}
}

// What is not known is named with its place.
func TestRefuses(t *testing.T) {
	for src, want := range map[string]string{
		"name = \"n\"\n\nquotta = \"x\"\n":       `n.hcl:3: Unsupported argument; An argument named "quotta" is not expected here. Did you mean "quota"?`,
		"name = \"n\"\nvault {}\n":               `n.hcl:2: Unsupported block type; Blocks of type "vault" are not expected here`,
		"description = \"d\"\n":                  `n.hcl:1: Missing required argument; The argument "name" is required`,
		"name = \"n\"\nname = \"m\"\n":           `n.hcl:2: Attribute redefined`,
		`{"Name":"n","VaultConfiguration":{}}`:   `n.hcl: json: unknown field "VaultConfiguration"`,
		"name = \"n\"\nmeta {\n  k = [1]\n}\n":   `n.hcl:3: meta k:`,
		"name = " + strings.Repeat("(", 2000000): "larger than the limit",
	} {
		if _, err := Namespace("n.hcl", []byte(src)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", src, err, want)
		}
	}
	for src, want := range map[string]string{
		"name = \"q\"\nlimit {\n  region_limit {\n    device \"gpu\" {}\n  }\n}\n": `q.hcl:4: Unsupported block type; Blocks of type "device" are not expected here`,
		"name = \"q\"\nlimit {\n  region = \"global\"\n}\n":                        "region_limit",
		"name = \"q\"\nlimit {\n  variables_limit = 5\n  region_limit {\n  }\n}\n": `"variables_limit" is not expected here`,
	} {
		if _, err := Quota("q.hcl", []byte(src)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
}
