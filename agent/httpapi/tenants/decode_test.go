package tenants

import (
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model/tenancy"
)

func TestDecode(t *testing.T) {
	for body, want := range map[string]string{
		``:           "body is empty",
		`{"Name":3}`: "cannot unmarshal",
		`{"name":"n","VaultConfiguration":null,"Capabilities":{"EnabledTaskDrivers":["x"]}}`:                                   "",
		`{"Name":"n","VaultConfiguration":{"Default":"a"},"Capabilities":{"X":[""],"Y":["a"]}}`:                                "version: Capabilities.Y, VaultConfiguration: delete it",
		`{"Name":"n","Meta":{"anything":"goes"},"RequiredExtraClaims":{},"ConsulConfiguration":{"Default":"","Allowed":null}}`: "",
	} {
		err := decode([]byte(body), &tenancy.Namespace{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	q := &tenancy.Quota{}
	body := `{"Name":"q","Limits":[{"Region":"global","RegionLimit":{"CPU":5,"Cores":null,"Devices":[],"Storage":{"VariablesMB":0}},"Hash":null},{"RegionLimit":{"NUMA":{"Affinity":"require"}}}]}`
	if err := decode([]byte(body), q); err == nil || !strings.Contains(err.Error(), "Limits[1].RegionLimit.NUMA:") {
		t.Errorf("%v", err)
	}
	if q.Limits[0].RegionLimit.CPU != 5 {
		t.Errorf("%+v", q.Limits[0].RegionLimit)
	}
}

// One thing is found by its name, whatever the request says of lists.
func TestOnly(t *testing.T) {
	c := &Call{Name: "n", Query: msg.QueryOptions{Region: "r", Stale: true, MinIndex: 5, PerPage: 1, NextToken: "x", Filter: "y", Reverse: true}}
	if got, want := c.only().QueryOptions, (msg.QueryOptions{Region: "r", Stale: true, MinIndex: 5, Prefix: "n"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
