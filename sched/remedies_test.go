package sched_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/advice"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/place/device"
)

var (
	remediesFlag = flag.Int("remedies", 250, "so many unplaceable cases")
	remedySeed   = flag.Uint64("remedies.seed", 0, "only the case of this seed, in words")
)

// AllNodes implements advice.State.
func (w *world) AllNodes() []*model.Node {
	var out []*model.Node
	for _, id := range slices.Sorted(maps.Keys(w.nodes)) {
		out = append(out, w.nodes[id])
	}
	return out
}

// fork is a world of its own that begins like w.
func (w *world) fork() *world {
	next := *w
	next.nodes, next.jobs, next.versions = maps.Clone(w.nodes), maps.Clone(w.jobs), maps.Clone(w.versions)
	next.allocs, next.byJob, next.evals = maps.Clone(w.allocs), map[string][]string{}, maps.Clone(w.evals)
	for k, v := range w.byJob {
		next.byJob[k] = slices.Clone(v)
	}
	next.names, next.fleet = slices.Clone(w.names), w.fleet.Fork()
	return &next
}

// cases makes clusters that are nearly full, and a job that they have no place for.
type cases struct {
	*rand.Rand
	w *world
}

func (c *cases) one(of ...string) string { return of[c.IntN(len(of))] }
func (c *cases) chance(p float64) bool   { return c.Float64() < p }

func (c *cases) nodes() {
	for i := range 1 + c.IntN(9) {
		args := map[string]string{
			"mem": c.one("500", "1000", "2000", "4000"), "cpu": c.one("1000", "2000", "4000"), "disk": c.one("500", "2000"),
			"attr.arch": c.one("amd64", "amd64", "arm64"), "meta.rack": c.one("r1", "r2", "r3"), "class": c.one("c4", "c5"),
			"dc": c.one("dc1", "dc1", "dc1", "dc2"), "pool": c.one("default", "default", "default", "gpu"),
		}
		if c.chance(0.2) {
			args["devices"] = c.one("v/gpu/a:1", "v/gpu/a:4", "v/gpu/b:2", "v/gpu/a:1,w/gpu/b:2")
		}
		n := buildNode(fmt.Sprintf("n%d", i), args, i)
		switch c.IntN(8) {
		case 0:
			n.SchedulingEligibility = model.NodeIneligible
		case 1:
			n.Status = model.NodeStatusDown
		case 2:
			n.SchedulingEligibility, n.DrainStrategy = model.NodeIneligible, &model.DrainStrategy{}
		case 3:
			delete(n.Attributes, "driver.exec")
		}
		c.w.setNode(n)
	}
}

func (c *cases) job(id string) *model.Job {
	args := map[string]string{
		"type": c.one("service", "service", "batch"), "count": strconv.Itoa(1 + c.IntN(6)), "priority": c.one("20", "50", "80"),
		"mem": strconv.Itoa(20 + c.IntN(1500)), "cpu": strconv.Itoa(20 + c.IntN(1500)), "disk": strconv.Itoa(10 + c.IntN(600)),
	}
	if c.chance(0.4) {
		args["mem"], args["cpu"], args["disk"] = strconv.Itoa(20+c.IntN(200)), strconv.Itoa(20+c.IntN(200)), strconv.Itoa(10+c.IntN(50))
	}
	if c.chance(0.2) {
		args["ports"] = c.one("web:8080,admin", "web:8080", "web")
	}
	if c.chance(0.15) {
		args["cpu"], args["cores"] = "0", c.one("1", "3")
	}
	if c.chance(0.2) {
		args["gang"] = "60s"
	}
	if c.chance(0.1) {
		args["device"] = c.one("gpu:1", "gpu:3", "v/gpu:2", "v/gpu/b:1", "fpga:1")
		if c.chance(0.2) {
			args["device_model"] = c.one("a", "b")
		}
	}
	return buildJob(id, args, "")
}

// neighbours fill the cluster.
func (c *cases) neighbours() {
	for i := range c.IntN(4) {
		id := fmt.Sprintf("other%d", i)
		j := c.job(id)
		if c.chance(0.15) {
			j.Type = model.JobTypeSystem
		}
		c.w.setJob(j)
		c.w.run(c.w.newEval(id, model.TriggerJobRegister))
	}
	for _, id := range c.w.names {
		if !c.w.allocs[id].Terminal() {
			c.w.report(id, model.ClientRunning)
		}
	}
}

var lines = []string{
	"${attr.arch} = arm64", "${attr.arch} = riscv", "${meta.rack} != r1", "${meta.rack} = r9", "distinct_hosts", "${meta.rack} distinct_property 1",
	"${meta.rack} distinct_property 2", "group ${attr.arch} = amd64", "group distinct_hosts", "spread ${meta.rack} 50", "${attr.gpu} is_set", "${attr.kernel.version} >= 4",
	"group spread ${node.unique.name} 80", "affinity ${meta.rack} = r2 60",
}

// hopeful is a job that perhaps cannot be placed.
func (c *cases) hopeful() *model.Job {
	j := c.job("j")
	j.Priority = 50
	if c.chance(0.2) {
		j.TaskGroups[0].Tasks[0].Driver = "docker"
	}
	if c.chance(0.15) {
		j.Datacenters = []string{c.one("dc1", "dc2", "dc7")}
	}
	if c.chance(0.1) {
		j.NodePool = c.one("gpu", "all", "empty")
	}
	for range c.IntN(3) {
		addBlock(j, strings.Fields(lines[c.IntN(len(lines))]))
	}
	g := j.TaskGroups[0]
	if c.chance(0.3) {
		t := *g.Tasks[0]
		t.Name, t.Resources = "side", &model.Resources{CPU: 10 + c.IntN(900), MemoryMB: 10 + c.IntN(900)}
		if c.chance(0.3) {
			t.Constraints = []*model.Constraint{{LTarget: "${node.class}", Operand: "=", RTarget: "c5"}}
		}
		g.Tasks = append(g.Tasks, &t)
	}
	if c.chance(0.3) {
		second := c.job("j").TaskGroups[0]
		second.Name = "h"
		j.TaskGroups = append(j.TaskGroups, second)
	}
	if c.chance(0.3) {
		g.Count += c.IntN(10)
	}
	if c.chance(0.1) {
		j.Type = c.one(model.JobTypeSystem, model.JobTypeSysbatch)
		for _, g := range j.TaskGroups {
			g.Count, g.Spreads, g.Affinities = 1, nil, nil
		}
		j.Spreads, j.Affinities = nil, nil
	}
	return j
}

// unplaceable is the cluster of a seed; nil when everything could be placed.
func unplaceable(seed uint64) *world {
	c := &cases{rand.New(rand.NewPCG(seed, 77)), newWorld()}
	c.w.seed = seed
	c.nodes()
	c.neighbours()
	j := c.hopeful()
	if c.chance(0.3) { // some of it runs already
		small := j.Copy()
		small.TaskGroups[0].Count = min(small.TaskGroups[0].Count, 1)
		c.w.setJob(small)
		c.w.run(c.w.newEval("j", model.TriggerJobRegister))
	}
	c.w.setJob(j)
	plan, _ := c.w.run(c.w.newEval("j", model.TriggerJobRegister))
	if len(plan.Eval.FailedTGAllocs) == 0 {
		return nil
	}
	return c.w
}

// heal does what a remedy says, with code that shares nothing with the search.
func (w *world) heal(r *insight.Remedy) {
	job := w.jobs["j"].Copy()
	edited := false
	for _, s := range r.Steps {
		switch s.Do {
		case insight.DoReady, insight.DoDriver:
			for _, id := range s.Nodes {
				n := *w.nodes[id]
				if s.Do == insight.DoReady {
					n.Status, n.SchedulingEligibility, n.DrainStrategy = model.NodeStatusReady, model.NodeEligible, nil
				} else {
					n.Attributes = maps.Clone(n.Attributes)
					for _, d := range strings.Split(s.What, ", ") {
						n.Attributes["driver."+d] = "1"
					}
				}
				w.setNode(&n)
			}
		case insight.DoAdd:
			w.grow(s)
		case insight.DoScale:
			other := w.jobs[s.JobID].Copy()
			for _, g := range other.TaskGroups {
				if g.Name == s.Task {
					g.Count = int(s.To)
				}
			}
			w.setJob(other)
			w.run(w.newEval(s.JobID, model.TriggerJobRegister))
		case insight.DoStop:
			other := w.jobs[s.JobID].Copy()
			other.Stop = true
			w.setJob(other)
			w.run(w.newEval(s.JobID, model.TriggerJobDeregister))
		case insight.DoWait:
			for _, id := range w.byJob[s.JobID] {
				if !w.allocs[id].Terminal() {
					w.report(id, model.ClientComplete)
				}
			}
		default:
			edited = true
			rewrite(job, s)
		}
	}
	if edited {
		w.setJob(job)
	}
}

// grow adds the nodes of a step.
func (w *world) grow(s *insight.Step) {
	for i := range s.To {
		id := fmt.Sprintf("new%d", i)
		if len(s.Nodes) > 0 {
			n := *w.nodes[s.Nodes[0]]
			n.ID, n.Name, n.Status, n.SchedulingEligibility, n.DrainStrategy = id, id, model.NodeStatusReady, model.NodeEligible, nil
			w.setNode(&n)
			continue
		}
		z := s.Size
		n := buildNode(id, map[string]string{"mem": fmt.Sprint(z.Memory), "cpu": fmt.Sprint(z.CPU), "disk": fmt.Sprint(z.Disk), "dc": z.Datacenter, "pool": z.Pool, "class": z.Class}, 50+int(i))
		n.NodeResources.Cpu.CoreMHz, n.NodeResources.Cpu.ReservableCpuCores = 1000, nil
		for k := range z.Cores {
			n.NodeResources.Cpu.ReservableCpuCores = append(n.NodeResources.Cpu.ReservableCpuCores, uint16(k))
		}
		for _, d := range z.Drivers {
			n.Attributes["driver."+d] = "1"
		}
		for _, d := range z.Devices { // more than enough of any model
			name, of, _ := strings.Cut(d, " with ${device.model} = ")
			p := device.Parts(name)
			made := &model.NodeDeviceResource{Vendor: p[0], Type: p[1], Name: p[2] + of}
			for k := range 64 {
				made.Instances = append(made.Instances, &model.NodeDevice{ID: strconv.Itoa(k), Healthy: true})
			}
			n.NodeResources.Devices = append(n.NodeResources.Devices, made)
		}
		n.Meta = map[string]string{}
		for _, rule := range z.Rules {
			f := append(strings.Fields(rule), "1")
			name := strings.Trim(f[0], "${}")
			switch {
			case f[1] == "!=":
			case strings.HasPrefix(name, "attr."):
				n.Attributes[name[5:]] = f[2]
			case strings.HasPrefix(name, "meta."):
				n.Meta[name[5:]] = f[2]
			case name == "node.class":
				n.NodeClass = f[2]
			}
		}
		for _, target := range z.Apart {
			n.Meta[strings.Trim(target, "${}")[5:]] = id
		}
		w.setNode(n)
	}
}

// rewrite changes the job file.
func rewrite(j *model.Job, s *insight.Step) {
	g := j.TaskGroups[slices.IndexFunc(j.TaskGroups, func(g *model.TaskGroup) bool { return g.Name == s.Group })]
	task := func() *model.Task {
		return g.Tasks[slices.IndexFunc(g.Tasks, func(t *model.Task) bool { return t.Name == s.Task })]
	}
	list := func() *[]*model.Constraint {
		switch s.Where {
		case "job":
			return &j.Constraints
		case "task":
			return &task().Constraints
		}
		return &g.Constraints
	}
	switch s.Do {
	case insight.DoLower:
		switch s.What {
		case "disk":
			g.EphemeralDisk.SizeMB = int(s.To)
		case "memory":
			task().Resources.MemoryMB = int(s.To)
		case "cpu":
			task().Resources.CPU = int(s.To)
		case "cores":
			task().Resources.Cores = int(s.To)
		}
	case insight.DoCount:
		g.Count = int(s.To)
	case insight.DoDrop:
		l := list()
		*l = append((*l)[:s.Position-1], (*l)[s.Position:]...)
	case insight.DoLimit:
		(*list())[s.Position-1].RTarget = fmt.Sprint(s.To)
	case insight.DoPort:
		net := g.Networks[0]
		net.ReservedPorts, net.DynamicPorts = nil, append(net.DynamicPorts, model.Port{Label: s.What})
	case insight.DoDevice:
		r := task().Resources
		if s.To == 0 {
			r.Devices = append(r.Devices[:s.Position-1], r.Devices[s.Position:]...)
		} else {
			r.Devices[s.Position-1].Count = uint64(s.To)
		}
	case insight.DoDatacenter:
		j.Datacenters = append(j.Datacenters, s.What)
	case insight.DoPool:
		j.NodePool = s.What
	case insight.DoAvoid:
		for _, id := range s.Nodes {
			g.Constraints = append(g.Constraints, &model.Constraint{LTarget: "${node.unique.id}", Operand: "!=", RTarget: id})
		}
	}
}

// helped tells whether a remedy lets all of a group be placed, and no less of others.
func helped(w *world, e *insight.Explanation, group string, r *insight.Remedy) bool {
	healed := w.fork()
	healed.heal(r)
	plan, result := healed.run(healed.newEval("j", model.TriggerJobRegister))
	for _, g := range e.Groups {
		if m := plan.Eval.FailedTGAllocs[g.Name]; m != nil && (g.Name == group || 1+m.CoalescedFailures > g.Missing) {
			return false
		}
	}
	return len(result.RefusedNodes) == 0
}

// TestEveryRemedyHelps: in generated clusters with a job that cannot be placed whole,
// there is a remedy, and doing what one says lets the whole group be placed. -remedies=1000
// runs a thousand.
func TestEveryRemedyHelps(t *testing.T) {
	seen, groups, firsts, remedies, good := 0, 0, 0, 0, 0
	kinds := map[string]int{}
	for seed := uint64(1); seen < *remediesFlag; seed++ {
		if *remedySeed != 0 {
			seed, seen = *remedySeed, *remediesFlag
		}
		w := unplaceable(seed)
		if w == nil {
			continue
		}
		seen++
		before := w.fork()
		e := advice.Explain(w, "default", "j", sched.Env{Now: w.now, Seed: w.seed})
		if diff := place.Diff(w.fleet, before.fleet); diff != "" {
			t.Fatalf("seed %d: explaining changed the fleet: %s", seed, diff)
		}
		for _, g := range e.Groups {
			if g.Missing == 0 {
				continue
			}
			groups++
			for i, r := range g.Remedies {
				remedies++
				for _, s := range r.Steps {
					kinds[s.Do]++
				}
				ok := helped(w, e, g.Name, r)
				if ok {
					good++
				} else {
					t.Logf("seed %d, group %s: %q does not help (tried: %v)", seed, g.Name, r.Text, r.Tried)
				}
				if i == 0 && ok {
					firsts++
				}
				if *remedySeed != 0 {
					t.Logf("%s: %s: %v", g.Name, r.Text, ok)
				}
			}
			if len(g.Remedies) == 0 {
				t.Logf("seed %d, group %s: no remedy", seed, g.Name)
			}
		}
	}
	t.Logf("%d cases, %d groups: the first remedy placed %d; of %d remedies %d helped; steps %v", seen, groups, firsts, remedies, good, kinds)
	if firsts*100 < 99*groups || good*100 < 99*remedies {
		t.Errorf("of %d groups the first remedy placed %d, of %d remedies %d helped", groups, firsts, remedies, good)
	}
	for _, do := range []string{
		insight.DoLower, insight.DoCount, insight.DoDrop, insight.DoLimit, insight.DoPort, insight.DoDatacenter, insight.DoPool,
		insight.DoDriver, insight.DoReady, insight.DoAdd, insight.DoScale, insight.DoWait, insight.DoAvoid, insight.DoDevice,
	} {
		if kinds[do] == 0 && *remedySeed == 0 {
			t.Errorf("no case has the remedy %q: the test is idle", do)
		}
	}
}

// TestRemediesAreSmall: of an amount that is lowered, one unit more would not fit.
func TestRemediesAreSmall(t *testing.T) {
	checked := 0
	for seed := uint64(1); checked < 40 && seed < 1000; seed++ {
		w := unplaceable(seed)
		if w == nil {
			continue
		}
		e := advice.Explain(w, "default", "j", sched.Env{Now: w.now, Seed: w.seed})
		for _, g := range e.Groups {
			for _, r := range g.Remedies {
				s := r.Steps[0]
				if s.Do == insight.DoAdd && len(s.Nodes) == 0 { // made for what is missing
					continue
				}
				if len(r.Steps) > 1 || s.Do != insight.DoLower && s.Do != insight.DoCount && s.Do != insight.DoLimit && s.Do != insight.DoAdd && s.Do != insight.DoScale {
					continue
				}
				step := *s
				step.To += cmp.Or(map[string]int64{insight.DoLimit: -1, insight.DoAdd: -1}[s.Do], 1)
				if step.To == step.From || step.To == 0 {
					continue
				}
				checked++
				if helped(w, e, g.Name, insight.NewRemedy(false, &step)) {
					t.Errorf("seed %d, group %s: %q is not the smallest change", seed, g.Name, r.Text)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d remedies were checked: the test is idle", checked)
	}
}

// TestRemediesSpareOtherGroups: what helps one group does not take the place of another.
func TestRemediesSpareOtherGroups(t *testing.T) {
	w := newWorld()
	w.setNode(buildNode("a", map[string]string{"mem": "1000"}, 0))
	j := buildJob("j", map[string]string{"mem": "1200"}, "")
	h := buildJob("j", map[string]string{"mem": "900"}, "").TaskGroups[0]
	h.Name = "h"
	j.TaskGroups = append(j.TaskGroups, h)
	w.setJob(j)
	r := advice.Explain(w, "default", "j", sched.Env{Now: w.now, Seed: w.seed}).Groups[0].Remedies[0]
	if r.Text != `lower memory of task "t" from 1200 MB to 100 MB` {
		t.Errorf("%q", r.Text)
	}
}

// TestExplainTells: counts, exclusions, what binds and why an instance is where it is.
func TestExplainTells(t *testing.T) {
	w := newWorld()
	w.setNode(buildNode("a1", map[string]string{"mem": "1000", "class": "c5"}, 0))
	w.setNode(buildNode("a2", map[string]string{"mem": "500", "class": "c5"}, 1))
	w.setNode(buildNode("b1", map[string]string{"dc": "dc2"}, 2))
	w.setNode(buildNode("p1", map[string]string{"pool": "gpu"}, 3))
	w.setNode(buildNode("d1", map[string]string{"status": "down"}, 4))
	w.setNode(buildNode("r1", map[string]string{"attr.arch": "arm64"}, 5))
	w.setJob(buildJob("j", map[string]string{"mem": "400", "count": "5", "dcs": "dc1"}, "${attr.arch} != arm64"))
	w.run(w.newEval("j", model.TriggerJobRegister))
	e := advice.Explain(w, "default", "j", sched.Env{Now: w.now, Seed: w.seed})
	g := e.Groups[0]
	if g.Live != 3 || g.Missing != 2 || g.Waiting != 0 || g.Fits != 0 {
		t.Errorf("%+v", g)
	}
	var got []string
	for _, x := range g.Excluded {
		got = append(got, fmt.Sprintf("%d %s %s %s", x.Nodes, x.Kind, x.Reason, x.Example))
	}
	want := []string{
		"2 resource memory a1", "1 constraint ${attr.arch} != arm64 r1", `1 datacenter datacenter "dc2" is not among the job's b1`,
		"1 not ready node is down d1", `1 pool node pool "gpu" is not "default" p1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("excluded:\n%s", strings.Join(got, "\n"))
	}
	if len(g.Binds) != 1 || *g.Binds[0] != (insight.Binding{Resource: "memory", Nodes: 2, Asked: 400, MostFree: 200, On: "a1"}) {
		t.Errorf("binds: %+v", g.Binds[0])
	}
	c := g.Chosen[0]
	if !slices.ContainsFunc(c.Now, func(s *insight.Score) bool { return s.Chosen && s.NodeID == c.NodeID && s.Components["binpack"] > 0 }) {
		t.Errorf("why here: %+v", c)
	}
	w.setJob(buildJob("next", map[string]string{"mem": "60"}, "${attr.arch} != arm64"))
	if g := advice.Explain(w, "default", "next", sched.Env{Now: w.now, Seed: w.seed}).Groups[0]; g.Waiting != 1 || g.Missing != 0 || g.Fits != 3 {
		t.Errorf("what is about to be placed: %+v", g)
	}
	w.setJob(buildJob("last", map[string]string{"mem": "2500", "dcs": "dc2"}, ""))
	if g := advice.Explain(w, "default", "last", sched.Env{Now: w.now, Seed: w.seed}).Groups[0]; g.Waiting != 1 || len(g.Binds) != 1 || g.Binds[0].MostFree != 1500 {
		t.Errorf("what is left beside what is about to be placed: %+v", g)
	}
	if advice.Explain(w, "default", "nobody", sched.Env{}) != nil {
		t.Error("a job that does not exist was explained")
	}
}
