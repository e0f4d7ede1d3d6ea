package rules_test

import (
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/level"
	"github.com/steppe-project/steppe/model/rules"
)

// What a task cannot ask for of devices is refused by name.
func TestDevices(t *testing.T) {
	rule := func(left, operator, right string) []*model.Constraint {
		return []*model.Constraint{{LTarget: left, Operand: operator, RTarget: right}}
	}
	for _, c := range []struct {
		device model.RequestedDevice
		want   string // "" for nothing
	}{
		{model.RequestedDevice{Name: "gpu", Count: 1}, ""},
		{model.RequestedDevice{Name: "nvidia/gpu/a100/80", Count: 8, Constraints: rule("${device.attr.memory}", ">=", "2 GiB")}, ""},
		{model.RequestedDevice{Name: "gpu", Count: 1, Affinities: []*model.Affinity{{LTarget: "${device.model}", Operand: "=", RTarget: "a", Weight: -5}}}, ""},
		{model.RequestedDevice{Name: "nvidia/", Count: 1}, `.device["nvidia/"]: "nvidia/" is not the name of devices`},
		{model.RequestedDevice{Name: "", Count: 1}, `.device[""]: "" is not the name of devices`},
		{model.RequestedDevice{Name: "gpu"}, `.device["gpu"].count: must be at least 1`},
		{model.RequestedDevice{Name: "gpu", Count: 5000}, `.device["gpu"].count: must be at most 1024, but is 5000`},
		{model.RequestedDevice{Name: "gpu", Count: 1, Constraints: rule("${attr.cpu.arch}", "=", "amd64")}, `.device["gpu"].constraint[0].attribute: "${attr.cpu.arch}" does not look at a device`},
		{model.RequestedDevice{Name: "gpu", Count: 1, Constraints: rule("", "distinct_hosts", "true")}, `.device["gpu"].constraint[0]: distinct_hosts cannot be asked of a device`},
		{model.RequestedDevice{Name: "gpu", Count: 1, Constraints: rule("${device.model}", "regexp", "(")}, `.device["gpu"].constraint[0]: "(" is not a regular expression`},
		{model.RequestedDevice{Name: "gpu", Count: 1, Affinities: []*model.Affinity{{LTarget: "${device.model}", Operand: "=", RTarget: "a", Weight: 101}}}, `.device["gpu"].affinity[0].weight: must be -100 to 100`},
	} {
		j := model.NewJob("batch")
		j.ID = "train"
		g := model.NewTaskGroup(j)
		g.Name = "g"
		task := model.NewTask(g)
		task.Name, task.Driver, task.Resources.Devices = "t", "exec", []*model.RequestedDevice{&c.device}
		g.Tasks, j.TaskGroups = []*model.Task{task}, []*model.TaskGroup{g}
		j.Canonicalize()
		var got []string
		for _, p := range rules.Problems(j) {
			got = append(got, p.String())
		}
		text, want := strings.Join(got, "\n"), c.want
		if want != "" {
			want = `job.group["g"].task["t"].resources` + want
		}
		if len(got) > 1 || (want == "") != (text == "") || !strings.HasPrefix(text, want) {
			t.Errorf("%+v: got %q, want %q", c.device, text, want)
		}
		if l := level.Of(j); l != feature.Devices {
			t.Errorf("it needs feature level %d", l)
		}
	}
}
