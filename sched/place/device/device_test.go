package device

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/held"
)

func number(v int64, unit string) *model.Attribute { return &model.Attribute{IntVal: &v, Unit: unit} }
func word(v string) *model.Attribute               { return &model.Attribute{StringVal: &v} }

// node has two kinds of GPUs and a network card; one GPU is ill.
func node() *model.Node {
	some := func(n int, prefix string, ill ...int) (out []*model.NodeDevice) {
		for i := range n {
			out = append(out, &model.NodeDevice{ID: fmt.Sprintf("%s%d", prefix, i), Healthy: !slices.Contains(ill, i)})
		}
		return out
	}
	return &model.Node{NodeResources: &model.NodeResources{Devices: []*model.NodeDeviceResource{
		{Vendor: "nvidia", Type: "gpu", Name: "a100", Instances: some(2, "a"), Attributes: map[string]*model.Attribute{"memory": number(40, "GiB"), "driver": word("535.1.2")}},
		{Vendor: "nvidia", Type: "gpu", Name: "t4", Instances: some(4, "t", 0), Attributes: map[string]*model.Attribute{"memory": number(16384, "MiB"), "cores": number(2560, "")}},
		{Vendor: "mellanox", Type: "nic", Name: "cx6/dual", Instances: some(1, "m")},
	}}}
}

func group(devices ...*model.RequestedDevice) *model.TaskGroup {
	return &model.TaskGroup{Name: "g", Tasks: []*model.Task{{Name: "t", Resources: &model.Resources{Devices: devices}}}}
}

func said(granted []Grant) string {
	var out []string
	for _, g := range granted {
		out = append(out, g.Device.Name+":"+strings.Join(g.Device.DeviceIDs, "+"))
	}
	return strings.Join(out, " ")
}

func TestAssign(t *testing.T) {
	big := []*model.Constraint{{LTarget: "${device.attr.memory}", Operand: ">=", RTarget: "32 GiB"}}
	small := []*model.Affinity{{LTarget: "${device.model}", Operand: "=", RTarget: "t4", Weight: 50}}
	for _, c := range []struct {
		name string
		asks []*model.RequestedDevice
		used []string
		want string // or what is lacking, after "!"
	}{
		{"any of a type", []*model.RequestedDevice{{Name: "gpu", Count: 2}}, nil, "a100:a0+a1"},
		{"the ill one is not handed out", []*model.RequestedDevice{{Name: "nvidia/gpu/t4", Count: 3}}, nil, "t4:t1+t2+t3"},
		{"nor counted", []*model.RequestedDevice{{Name: "nvidia/gpu/t4", Count: 4}}, nil, "!nvidia/gpu/t4"},
		{"not from two groups", []*model.RequestedDevice{{Name: "gpu", Count: 5}}, nil, "!gpu"},
		{"a name with a slash", []*model.RequestedDevice{{Name: "mellanox/nic/cx6/dual", Count: 1}}, nil, "cx6/dual:m0"},
		{"what others hold", []*model.RequestedDevice{{Name: "gpu", Count: 1}}, []string{"nvidia/gpu/a100/a0"}, "a100:a1"},
		{"the next group", []*model.RequestedDevice{{Name: "gpu", Count: 2}}, []string{"nvidia/gpu/a100/a0"}, "t4:t1+t2"},
		{"a constraint with a unit", []*model.RequestedDevice{{Name: "gpu", Count: 1, Constraints: big}}, nil, "a100:a0"},
		{"an affinity", []*model.RequestedDevice{{Name: "gpu", Count: 1, Affinities: small}}, nil, "t4:t1"},
		{"the first choice leaves nothing for the second", []*model.RequestedDevice{{Name: "gpu", Count: 2}, {Name: "gpu", Count: 2, Constraints: big}}, nil, "t4:t1+t2 a100:a0+a1"},
		{"two of one group", []*model.RequestedDevice{{Name: "nvidia/gpu", Count: 1}, {Name: "nvidia/gpu", Count: 1}}, nil, "a100:a0 a100:a1"},
		{"two are too many", []*model.RequestedDevice{{Name: "nic", Count: 1}, {Name: "mellanox/nic", Count: 1}}, nil, "!mellanox/nic"},
	} {
		n := node()
		granted, lack := Assign(Groups(n), held.Book([]Use(nil), c.used, 1), Asks(group(c.asks...)))
		got := said(granted)
		if lack != "" {
			got = "!" + lack
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRules(t *testing.T) {
	d := node().NodeResources.Devices[0]
	for _, c := range []struct {
		left, operator, right string
		want                  bool
	}{
		{"${device.attr.memory}", ">=", "40GiB", true},
		{"${device.attr.memory}", ">", "40 GiB", false},
		{"${device.attr.memory}", ">=", "40000 MB", true},
		{"${device.attr.memory}", "<", "1 TB", true},
		{"${device.attr.memory}", "=", "40960 MiB", true},
		{"${device.attr.memory}", "=", "40", true}, // in its unit
		{"${device.attr.memory}", ">=", "1 MHz", false},
		{"${device.attr.memory}", "!=", "1 MHz", true},
		{"${device.attr.driver}", "version", ">= 535", true},
		{"${device.attr.driver}", "regexp", "^535", true},
		{"${device.attr.cores}", "is_set", "", false},
		{"${device.attr.cores}", "is_not_set", "", true},
		{"${device.attr.cores}", "!=", "1", true},
		{"${device.attr.cores}", "<", "1", false},
		{"${device.vendor}", "", "nvidia", true},
		{"${device.type}", "=", "fpga", false},
		{"${device.ids}", "set_contains", "a1", true},
		{"${attr.kernel.name}", "=", "linux", false},
	} {
		if got := newRule(c.left, c.operator, c.right).met(d); got != c.want {
			t.Errorf("%s %s %s: %v", c.left, c.operator, c.right, got)
		}
	}
}

func TestLacks(t *testing.T) {
	devices := node().NodeResources.Devices
	for name, want := range map[string]string{"gpu": "", "nvidia/gpu": "", "amd/gpu": "missing device amd/gpu", "fpga": "missing device fpga"} {
		if got := Asks(group(&model.RequestedDevice{Name: name, Count: 1}))[0].Lacks(devices); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	ask := Asks(group(&model.RequestedDevice{Name: "gpu", Count: 1, Constraints: []*model.Constraint{{LTarget: "${device.attr.memory}", Operand: ">=", RTarget: "80 GiB"}}}))[0]
	if got := ask.Lacks(devices); got != "device gpu: ${device.attr.memory} >= 80 GiB" {
		t.Errorf("%q", got)
	}
}

// Nothing is handed out twice, or ill, whatever is asked for in whatever order; and what
// is booked and given back leaves nothing.
func TestAssignProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	n := node()
	groups := Groups(n)
	names := []string{"gpu", "nvidia/gpu", "nvidia/gpu/a100", "nvidia/gpu/t4", "nic", "mellanox/nic/cx6/dual"}
	for range 2000 {
		var used []Use
		var all [][]string
		for range 6 {
			var list []*model.RequestedDevice
			for range 1 + rng.IntN(3) {
				list = append(list, &model.RequestedDevice{Name: names[rng.IntN(len(names))], Count: uint64(1 + rng.IntN(3))})
			}
			granted, lack := Assign(groups, used, Asks(group(list...)))
			if lack != "" {
				continue
			}
			grant := &model.AllocatedResources{Tasks: map[string]*model.AllocatedTaskResources{"t": {}}}
			for _, g := range granted {
				grant.Tasks["t"].Devices = append(grant.Tasks["t"].Devices, g.Device)
			}
			keys := AppendKeys(nil, grant.Tasks["t"])
			slices.Sort(keys)
			if lack := Granted(groups, used, keys); lack != "" || slices.Contains(keys, "nvidia/gpu/t4/t0") {
				t.Fatalf("of %v, %v in use: %v was granted", list, used, keys)
			}
			used = held.Book(used, keys, 1)
			if lack := Granted(groups, used, keys); lack == "" {
				t.Fatalf("%v can be granted twice", keys)
			}
			all = append(all, keys)
		}
		for _, keys := range all {
			used = held.Book(used, keys, -1)
		}
		if used != nil {
			t.Fatalf("%v is held by nobody", used)
		}
	}
}
