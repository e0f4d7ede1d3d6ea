package explain

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place"
)

func node(id string, cpu, mem, disk int64) *model.Node {
	return &model.Node{
		ID: id, Name: id, Datacenter: "dc1", NodePool: "default", Status: model.NodeStatusReady, SchedulingEligibility: model.NodeEligible,
		Attributes: map[string]string{"driver.exec": "1", "kernel.name": "linux"},
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: cpu, TotalCpuCores: 4, ReservableCpuCores: []uint16{0, 1, 2, 3}}, Memory: model.NodeMemoryResources{MemoryMB: mem}, Disk: model.NodeDiskResources{DiskMB: disk},
			Networks: []*model.NetworkResource{{IP: "10.0.0.1"}},
		},
	}
}

func job(r *model.Resources) *model.Job {
	return &model.Job{ID: "j", NodePool: "default", Datacenters: []string{"dc1"}, TaskGroups: []*model.TaskGroup{{
		Name: "g", Count: 1, EphemeralDisk: &model.EphemeralDisk{SizeMB: 100}, Tasks: []*model.Task{{Name: "t", Driver: "exec", Resources: r}},
	}}}
}

func remedies(j *model.Job, nodes ...*model.Node) []string {
	f := place.NewFleet()
	for _, n := range nodes {
		f.UpsertNode(n)
	}
	return Remedies(place.NewBoard(f, place.Settings{}), place.NewAsk(j, j.TaskGroups[0]))
}

func TestRemedies(t *testing.T) {
	small := &model.Resources{CPU: 100, MemoryMB: 100}
	with := func(change func(j *model.Job)) *model.Job {
		j := job(small)
		change(j)
		return j
	}
	changed := func(change func(n *model.Node)) *model.Node {
		n := node("n1", 1000, 1000, 1000)
		change(n)
		return n
	}
	n1 := node("n1", 1000, 1000, 1000)
	for name, tc := range map[string]struct {
		job   *model.Job
		nodes []*model.Node
		want  string // the first remedy begins so
	}{
		"no node":    {job(small), nil, "start a client in datacenter dc1 and node pool default with at least 100 MHz, 100 MB"},
		"memory":     {job(&model.Resources{CPU: 100, MemoryMB: 1200}), []*model.Node{n1}, "lower memory from 1200 MB to 1000 MB"},
		"cpu":        {job(&model.Resources{CPU: 1200, MemoryMB: 100}), []*model.Node{n1}, "lower cpu from 1200 MHz to 1000 MHz"},
		"cores":      {job(&model.Resources{Cores: 6, MemoryMB: 100}), []*model.Node{n1}, "lower cores from 6 to 4"},
		"disk":       {with(func(j *model.Job) { j.TaskGroups[0].EphemeralDisk.SizeMB = 2000 }), []*model.Node{n1}, "lower disk from 2000 MB to 1000 MB"},
		"datacenter": {job(small), []*model.Node{changed(func(n *model.Node) { n.Datacenter = "dc2" })}, `add datacenter "dc2"`},
		"pool":       {job(small), []*model.Node{changed(func(n *model.Node) { n.NodePool = "gpu" })}, `set node_pool to "gpu"`},
		"down":       {job(small), []*model.Node{changed(func(n *model.Node) { n.Status = model.NodeStatusDown })}, "have node n1 take work again: node is down"},
		"driver":     {with(func(j *model.Job) { j.TaskGroups[0].Tasks[0].Driver = "docker" }), []*model.Node{n1}, "enable the driver docker"},
		"constraint": {with(func(j *model.Job) {
			j.Constraints = []*model.Constraint{{LTarget: "${attr.kernel.name}", Operand: "=", RTarget: "windows"}}
		}), []*model.Node{n1}, "remove the constraint ${attr.kernel.name} = windows"},
		"reserved port": {with(func(j *model.Job) {
			j.TaskGroups[0].Networks = []*model.NetworkResource{{ReservedPorts: []model.Port{{Label: "http", Value: 80}}}}
		}), []*model.Node{changed(func(n *model.Node) {
			n.ReservedResources = &model.NodeReservedResources{Networks: model.NodeReservedNetworkResources{ReservedHostPorts: "80"}}
		})}, "free port 80 on node n1"},
		"two tasks": {with(func(j *model.Job) {
			j.TaskGroups[0].Tasks = append(j.TaskGroups[0].Tasks, &model.Task{Name: "u", Driver: "exec", Resources: &model.Resources{MemoryMB: 1100}})
		}), []*model.Node{n1}, "lower the tasks' memory together from 1200 MB to 1000 MB"},
	} {
		got := remedies(tc.job, tc.nodes...)
		if len(got) == 0 || !strings.HasPrefix(got[0], tc.want) {
			t.Errorf("%s: %q", name, got)
		}
		if len(got) > MaxRemedies {
			t.Errorf("%s: %d remedies", name, len(got))
		}
	}
}

var amount = regexp.MustCompile(`lower (memory|cpu|disk) from \d+ M\w+ to (\d+) M\w+`)

// TestRemediesHelp: an amount that is proposed makes the group fit, and one more
// would not.
func TestRemediesHelp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := place.NewFleet()
		for i := range rapid.IntRange(0, 5).Draw(t, "nodes") {
			amounts := rapid.SliceOfN(rapid.Int64Range(0, 500), 3, 3).Draw(t, "amounts")
			f.UpsertNode(node(fmt.Sprint("n", i), amounts[0], amounts[1], amounts[2]))
		}
		j := job(&model.Resources{CPU: rapid.IntRange(1, 600).Draw(t, "cpu"), MemoryMB: rapid.IntRange(1, 600).Draw(t, "mem")})
		j.TaskGroups[0].EphemeralDisk.SizeMB = rapid.IntRange(1, 600).Draw(t, "disk")
		a := place.NewAsk(j, j.TaskGroups[0])
		fits := func(change func(n *place.Amounts)) bool {
			need := a.Needs()
			change(&need)
			n, _ := place.NewBoard(f.Fork(), place.Settings{}).Try(a.With(need))
			return n > 0
		}
		if fits(func(*place.Amounts) {}) {
			return
		}
		for _, text := range Remedies(place.NewBoard(f.Fork(), place.Settings{}), a) {
			m := amount.FindStringSubmatch(text)
			if m == nil {
				continue
			}
			v, _ := strconv.ParseInt(m[2], 10, 64)
			set := func(v int64) func(n *place.Amounts) {
				return func(n *place.Amounts) {
					*map[string]*int64{"memory": &n.Memory, "cpu": &n.CPU, "disk": &n.Disk}[m[1]] = v
				}
			}
			if !fits(set(v)) || fits(set(v+1)) {
				t.Fatalf("%q is not the smallest change", text)
			}
		}
	})
}
