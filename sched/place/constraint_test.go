package place

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/class"
)

func TestConstraints(t *testing.T) {
	n := testNode(7)
	n.Name, n.NodeClass = "host7", "fast"
	n.Attributes["os.version"] = "12.5"
	n.Attributes["cpu.numcores"] = "16"
	n.Attributes["kernel.version"] = "6.1.0-18-amd64"
	n.Attributes["tool.version"] = "1.5.0-beta1"
	n.Attributes["unique.hostname"] = "host7"
	n.Meta = map[string]string{"rack": "r1", "tags": "ssd, gpu,big", "empty": ""}
	for _, tc := range []struct {
		left, op, right string
		want            bool
	}{
		{"${attr.kernel.name}", "=", "linux", true},
		{"${attr.kernel.name}", "==", "linux", true},
		{"${attr.kernel.name}", "is", "linux", true},
		{"${attr.kernel.name}", "", "linux", true},
		{"${attr.kernel.name}", "=", "windows", false},
		{"${attr.kernel.name}", "!=", "windows", true},
		{"${attr.kernel.name}", "not", "linux", false},
		{"${attr.absent}", "=", "x", false},
		{"${attr.absent}", "=", "", false},
		{"${attr.absent}", "!=", "x", true},
		{"${attr.absent}", "!=", "${attr.absent}", false},
		{"${attr.absent}", "<", "9", false},
		{"${meta.empty}", "is_set", "", true},
		{"${meta.rack}", "is_set", "", true},
		{"${meta.shelf}", "is_set", "", false},
		{"${meta.shelf}", "is_not_set", "", true},
		{"${meta.rack}", "is_not_set", "", false},
		{"${attr.cpu.numcores}", ">", "9", true},
		{"${attr.cpu.numcores}", ">=", "16", true},
		{"${attr.cpu.numcores}", "<", "9", false},
		{"${attr.cpu.numcores}", "<=", "15.9", false},
		{"${attr.os.version}", ">", "12.4", true},
		{"${meta.rack}", "<", "r2", true},
		{"9", "<", "10", true},
		{"a9", "<", "a10", false},
		{"${attr.kernel.version}", "regexp", "^6\\.", true},
		{"${attr.kernel.version}", "regexp", "^5\\.", false},
		{"${attr.kernel.version}", "regexp", "(", false},
		{"${attr.os.version}", "version", ">= 12, < 13", true},
		{"${attr.os.version}", "version", "> 12.5", false},
		{"${attr.os.version}", "version", "~> 12.1", true},
		{"${attr.os.version}", "version", "nonsense", false},
		{"${attr.tool.version}", "version", ">= 1.0", false},
		{"${attr.tool.version}", "semver", ">= 1.0.0", true},
		{"${attr.tool.version}", "semver", ">= 1.5.0", false},
		{"${attr.tool.version}", "semver", ">= 1.0.0, < 1.5.0", true},
		{"${attr.tool.version}", "semver", "!= 1.5.0", true},
		{"${attr.tool.version}", "semver", "1.5.0-beta1", true},
		{"${attr.tool.version}", "semver", "~> 1.0.0", false},
		{"${attr.kernel.name}", "semver", ">= 1.0.0", false},
		{"${meta.tags}", "set_contains", "ssd,gpu", true},
		{"${meta.tags}", "set_contains_all", "ssd, big", true},
		{"${meta.tags}", "set_contains", "ssd,tape", false},
		{"${meta.tags}", "set_contains_any", "tape,gpu", true},
		{"${meta.tags}", "set_contains_any", "tape,disk", false},
		{"${node.unique.id}", "=", "node-00007", true},
		{"${node.unique.name}", "=", "host7", true},
		{"${node.datacenter}", "=", "dc1", true},
		{"${node.class}", "=", "fast", true},
		{"${node.pool}", "=", "default", true},
		{"${node.region}", "=", "global", true},
		{"${node.datacenter}/${meta.rack}", "=", "dc1/r1", true},
		{"${attr.unique.hostname}", "=", "${node.unique.name}", true},
		{"${unknown.scope}", "is_set", "", false},
		{"${meta.rack", "=", "${meta.rack", true},
		{"${meta.rack}", "frobs", "x", false},
	} {
		c := &model.Constraint{LTarget: tc.left, Operand: tc.op, RTarget: tc.right}
		if got := newPredicate(c).met(n, "global"); got != tc.want {
			t.Errorf("%s: %t, want %t", ConstraintText(c), got, tc.want)
		}
	}
}

func TestWhatEscapesTheClass(t *testing.T) {
	for text, want := range map[string]bool{
		"${node.unique.id}": true, "${attr.unique.hostname}": true, "${meta.unique.slot}": true,
		"${node.class}": false, "${attr.kernel.name}": false, "unique.x": false, "x-${node.unique.name}": true,
	} {
		if got := parseOperand(text).escaped; got != want {
			t.Errorf("%s escapes: %t", text, got)
		}
	}
}

// TestEqualClassesAgree: what does not escape the class has the same outcome on
// all nodes of it.
func TestEqualClassesAgree(t *testing.T) {
	texts := []string{"${attr.kernel.name}", "${attr.a}", "${meta.a}", "${node.class}", "${node.datacenter}", "x", ""}
	ops := []string{"=", "!=", "<", "is_set", "is_not_set", "regexp", "set_contains_any"}
	rapid.Check(t, func(t *rapid.T) {
		build := func(i int) *model.Node {
			n := testNode(i)
			n.Attributes["a"] = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "attr")
			n.Meta = map[string]string{"a": rapid.SampledFrom([]string{"x", "y"}).Draw(t, "meta"), "unique.u": rapid.String().Draw(t, "unique")}
			n.NodeClass = rapid.SampledFrom([]string{"x", ""}).Draw(t, "class")
			return n
		}
		a, b := build(1), build(2)
		if class.Computed(a) != class.Computed(b) {
			return
		}
		r := newPredicate(&model.Constraint{
			LTarget: rapid.SampledFrom(texts).Draw(t, "left"), RTarget: rapid.SampledFrom(texts).Draw(t, "right"),
			Operand: rapid.SampledFrom(ops).Draw(t, "op"),
		})
		if !r.escaped() && r.met(a, "") != r.met(b, "") {
			t.Fatalf("%s differs within a class", r.text)
		}
	})
}

func TestComputedClass(t *testing.T) {
	base := func() *model.Node { return testNode(1) }
	want := class.Computed(base())
	for name, change := range map[string]func(n *model.Node){
		"datacenter": func(n *model.Node) { n.Datacenter = "dc9" },
		"pool":       func(n *model.Node) { n.NodePool = "gpu" },
		"class":      func(n *model.Node) { n.NodeClass = "x" },
		"attribute":  func(n *model.Node) { n.Attributes["x"] = "y" },
		"meta":       func(n *model.Node) { n.Meta = map[string]string{"x": "y"} },
		"driver":     func(n *model.Node) { n.Drivers = map[string]*model.DriverInfo{"exec": {Detected: true}} },
		"network":    func(n *model.Node) { n.HostNetworks = map[string]*model.HostNetworkInfo{"private": {}} },
		"volume":     func(n *model.Node) { n.HostVolumes = map[string]*model.HostVolumeInfo{"v": {}} },
	} {
		n := base()
		change(n)
		if class.Computed(n) == want {
			t.Errorf("%s is not part of the class", name)
		}
	}
	for name, change := range map[string]func(n *model.Node){
		"id":        func(n *model.Node) { n.ID, n.Name = "x", "y" },
		"unique":    func(n *model.Node) { n.Attributes["unique.x"] = "y" },
		"meta":      func(n *model.Node) { n.Meta = map[string]string{"unique.x": "y"} },
		"memory":    func(n *model.Node) { n.NodeResources.Memory.MemoryMB++ },
		"status":    func(n *model.Node) { n.Status = model.NodeStatusDown },
		"addresses": func(n *model.Node) { n.NodeResources.NodeNetworks[0].Addresses[0].Address = "10.9.9.9" },
	} {
		n := base()
		change(n)
		if class.Computed(n) != want {
			t.Errorf("%s is part of the class", name)
		}
	}
}

func FuzzConstraint(f *testing.F) {
	for _, op := range []string{"=", "regexp", "version", "semver", "set_contains", "<", "distinct_property"} {
		f.Add("${attr.kernel.name}", op, ">= 1.2, < 2.0")
	}
	f.Add("${", "version", "~>")
	n := testNode(1)
	f.Fuzz(func(t *testing.T, left, op, right string) {
		job := testJob(1)
		job.Constraints = []*model.Constraint{{LTarget: left, Operand: op, RTarget: right}}
		a := NewAsk(job, job.TaskGroups[0])
		fleet := NewFleet()
		fleet.UpsertNode(n)
		NewBoard(fleet, Settings{}).Select(a).Next(nil)
	})
}
