package sched_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/sched/place/device"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// TestScenarios replays the text files of testdata/scenarios. Each command line changes
// the little cluster or has an evaluation decided; the answer is what happened.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &scenario{t: t, w: newWorld()}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			return s.do(d)
		})
	})
}

var everyonePreempts = model.PreemptionConfig{
	SystemSchedulerEnabled: true, SysBatchSchedulerEnabled: true, BatchSchedulerEnabled: true, ServiceSchedulerEnabled: true,
}

type scenario struct {
	t *testing.T
	w *world
}

func (s *scenario) do(d *datadriven.TestData) string {
	w := s.w
	names, args := split(d)
	switch d.Cmd {
	case "config":
		w.config = &model.SchedulerConfiguration{SchedulerAlgorithm: args["algorithm"], MemoryOversubscriptionEnabled: has(args, "oversubscribe")}
		if has(args, "preempt") {
			w.config.PreemptionConfig = everyonePreempts
		}
	case "node":
		for _, n := range names {
			w.setNode(buildNode(n, args, len(w.nodes)))
		}
	case "set-node":
		for _, n := range names {
			next := *w.nodes[n]
			applyNode(&next, args)
			w.setNode(&next)
		}
	case "delete-node":
		for _, n := range names {
			w.deleteNode(n)
		}
	case "job":
		w.setJob(buildJob(names[0], args, d.Input))
	case "stop":
		next := *w.jobs[names[0]]
		next.Stop = true
		w.setJob(&next)
	case "purge":
		delete(w.jobs, names[0])
	case "time":
		step, err := time.ParseDuration(names[0])
		if err != nil {
			s.t.Fatal(err)
		}
		w.now = w.now.Add(step)
	case "overran":
		for _, id := range s.ids(names) {
			w.report(id, model.ClientFailed)
			w.changeAlloc(id, func(a *model.Allocation) {
				for name, t := range a.TaskStates {
					next := *t
					next.Overran, a.TaskStates = true, map[string]*model.TaskState{name: &next}
				}
			})
		}
	case "report":
		for _, id := range s.ids(names[1:]) {
			w.report(id, names[0])
		}
	case "move":
		yes := true
		for _, id := range s.ids(names) {
			w.changeAlloc(id, func(a *model.Allocation) { a.DesiredTransition.Migrate = &yes })
		}
	case "force":
		yes := true
		for _, id := range s.ids(names) {
			w.changeAlloc(id, func(a *model.Allocation) { a.DesiredTransition.ForceReschedule = &yes })
		}
	case "drain":
		for _, n := range names {
			next := *w.nodes[n]
			next.DrainStrategy, next.SchedulingEligibility = &model.DrainStrategy{}, model.NodeIneligible
			w.setNode(&next)
			for _, a := range w.AllocsByNode(n) {
				if yes := true; !a.Terminal() {
					w.changeAlloc(a.ID, func(a *model.Allocation) { a.DesiredTransition.Migrate = &yes })
				}
			}
		}
	case "deploys":
		w.deploys = true
	case "healthy", "unhealthy":
		for _, id := range s.ids(names) {
			w.judge(id, d.Cmd == "healthy")
		}
	case "deployment":
		w.steer(names[0], names[1])
	case "eval":
		trigger := args["trigger"]
		if trigger == "" {
			trigger = model.TriggerJobRegister
		}
		return s.eval(w.newEval(names[0], trigger))
	case "unblock":
		return s.unblock(names[0])
	case "due":
		return s.due()
	case "allocs":
		return s.allocs()
	case "spread":
		return s.spread()
	case "values":
		return s.values(names[0], names[1])
	case "scores":
		return s.scores(s.ids(names)[0])
	default:
		s.t.Fatalf("unknown command %s", d.Cmd)
	}
	return ""
}

func split(d *datadriven.TestData) (names []string, args map[string]string) {
	args = map[string]string{}
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			names = append(names, a.Key)
			args[a.Key] = ""
		} else {
			args[a.Key] = strings.Join(a.Vals, ",")
		}
	}
	return names, args
}

func has(m map[string]string, key string) bool { _, ok := m[key]; return ok }

// ids resolves a1, a2 ...; "live" are all that have not ended and should run.
func (s *scenario) ids(names []string) []string {
	var out []string
	for _, n := range names {
		if n != "live" {
			id := s.w.byShort(n)
			if id == "" {
				s.t.Errorf("no allocation %s yet", n)
				continue
			}
			out = append(out, id)
			continue
		}
		for _, id := range s.w.names {
			if !s.w.allocs[id].Terminal() {
				out = append(out, id)
			}
		}
	}
	return out
}

func (s *scenario) unblock(job string) string {
	for _, e := range s.w.EvalsByJob("", job) {
		if e.Status == model.EvalBlocked {
			next := *e
			next.Status = model.EvalPending
			s.w.evals[e.ID] = &next
			return s.eval(&next)
		}
	}
	return "nothing is blocked"
}

// due decides what has become due, until nothing has.
func (s *scenario) due() string {
	var out strings.Builder
	for range 20 {
		due := s.w.due()
		if len(due) == 0 {
			break
		}
		fmt.Fprintf(&out, "[%s]\n%s\n", due[0].TriggeredBy, s.eval(due[0]))
	}
	if out.Len() == 0 {
		return "nothing is due"
	}
	return strings.TrimRight(out.String(), "\n")
}

func (s *scenario) eval(e *model.Evaluation) string {
	plan, result := s.w.run(e)
	s.w.check(s.t)
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			a := s.w.allocs[p.ID]
			text := fmt.Sprintf("place %s %s on %s", s.w.short(p.ID), a.Name, p.NodeID)
			if p.PreviousAllocation != "" {
				text += " for " + s.w.short(p.PreviousAllocation)
			}
			if p.RescheduleTracker != nil {
				text += fmt.Sprintf(" (attempt %d)", len(p.RescheduleTracker.Events)+1)
			}
			if p.Canary {
				text += " canary"
			}
			if g.OfPrevious {
				text += fmt.Sprintf(" of version %d", a.JobVersion)
			}
			add("%s%s", text, grant(p.Resources))
		}
		for _, u := range g.InPlace {
			add("in place %s", s.w.short(u.ID))
		}
	}
	if d := plan.Deployment; d != nil {
		for _, g := range deploy.Groups(d) {
			add("deploys %s: %d, %d canaries", g, d.TaskGroups[g].DesiredTotal, d.TaskGroups[g].DesiredCanaries)
		}
	}
	for _, st := range plan.Stops {
		switch {
		case st.PreemptedBy != "":
			add("preempt %s for %s", s.w.short(st.ID), s.w.short(st.PreemptedBy))
		case st.KeepDesired:
			add("later %s", s.w.short(st.ID))
		case st.ClientStatus != "":
			add("%s %s: %s", st.ClientStatus, s.w.short(st.ID), st.Description)
		default:
			add("stop %s: %s", s.w.short(st.ID), st.Description)
		}
	}
	for _, n := range plan.NewEvals {
		if n.Status == model.EvalBlocked {
			add("blocked: classes %s%s", eligible(n.ClassEligibility), escaped(n))
		} else if n.Status == model.EvalComplete {
			add("done with %s: %s", n.TriggeredBy, n.StatusDescription)
		} else if n.TriggeredBy == model.TriggerPreemption {
			add("look at %s", n.JobID)
		} else {
			add("again in %s: %s", n.WaitUntil.Sub(s.w.now), n.TriggeredBy)
		}
	}
	for _, g := range slices.Sorted(maps.Keys(plan.Eval.FailedTGAllocs)) {
		out = append(out, failure(g, plan.Eval.FailedTGAllocs[g])...)
	}
	for _, n := range slices.Sorted(maps.Keys(result.RefusedNodes)) {
		add("refused on %s: %s", n, result.RefusedNodes[n])
	}
	for _, g := range slices.Sorted(maps.Keys(plan.Eval.QueuedAllocations)) {
		if n := plan.Eval.QueuedAllocations[g]; n > 0 {
			add("queued %s: %d", g, n)
		}
	}
	if d := plan.Eval.StatusDescription; plan.Eval.Status != model.EvalComplete || d != "" {
		add("eval %s: %s", plan.Eval.Status, d)
	}
	if len(out) == 0 {
		return "nothing to do"
	}
	return strings.Join(out, "\n")
}

func grant(r *model.AllocatedResources) string {
	if r == nil {
		return ""
	}
	out := ""
	for _, p := range r.Shared.Ports {
		out += fmt.Sprintf(" %s=%s:%d", p.Label, p.HostIP, p.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tasks)) {
		if c := r.Tasks[name].Cpu.ReservedCores; len(c) > 0 {
			out += fmt.Sprintf(" %s=cores%v", name, c)
		}
		for _, d := range r.Tasks[name].Devices {
			out += fmt.Sprintf(" %s=%s%v", name, d.Name, d.DeviceIDs)
		}
	}
	return out
}

func eligible(m map[string]bool) string {
	n := 0
	for _, ok := range m {
		if ok {
			n++
		}
	}
	return fmt.Sprintf("%d of %d", n, len(m))
}

func escaped(e *model.Evaluation) string {
	if e.EscapedComputedClass {
		return ", any node"
	}
	return ""
}

func failure(group string, m *model.AllocationMetric) []string {
	out := []string{fmt.Sprintf("failed %s: %d evaluated, %d filtered, %d exhausted, %d more", group, m.NodesEvaluated, m.NodesFiltered, m.NodesExhausted, m.CoalescedFailures)}
	if m.Gang != "" {
		out = append(out, "  "+m.Gang)
	}
	for _, k := range slices.Sorted(maps.Keys(m.ConstraintFiltered)) {
		out = append(out, fmt.Sprintf("  %s: %d", k, m.ConstraintFiltered[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(m.DimensionExhausted)) {
		out = append(out, fmt.Sprintf("  exhausted %s: %d", k, m.DimensionExhausted[k]))
	}
	for _, r := range m.Remedies {
		out = append(out, "  remedy: "+r)
	}
	for _, w := range m.Waits {
		out = append(out, "  "+w)
	}
	return out
}

func (s *scenario) allocs() string {
	var out []string
	for _, id := range s.w.names {
		a := s.w.allocs[id]
		out = append(out, fmt.Sprintf("%s %s v%d %s %s/%s", s.w.short(id), a.Name, a.JobVersion, a.NodeID, a.DesiredStatus, a.ClientStatus))
	}
	return strings.Join(out, "\n")
}

// scores are the best nodes as they were when an allocation was placed.
func (s *scenario) scores(id string) string {
	var out []string
	for _, n := range s.w.allocs[id].Metrics.ScoreMetaData {
		text := fmt.Sprintf("%s %.4f:", n.NodeID, n.NormScore)
		for _, name := range slices.Sorted(maps.Keys(n.Scores)) {
			if v := n.Scores[name]; v != 0 {
				text += fmt.Sprintf(" %s=%.4f", name, v)
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

// spread counts what should run on each node.
func (s *scenario) spread() string {
	n := map[string]int{}
	for id := range s.w.nodes {
		n[id] = 0
	}
	for _, a := range s.w.allocs {
		if !a.Terminal() {
			n[a.NodeID]++
		}
	}
	var out []string
	for _, id := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprintf("%s=%d", id, n[id]))
	}
	return strings.Join(out, " ")
}

// values counts what of a job should run on the nodes of each datacenter or meta
// value.
func (s *scenario) values(job, key string) string {
	n := map[string]int{}
	for _, node := range s.w.nodes {
		n[nodeValue(node, key)] += 0
	}
	for _, a := range s.w.AllocsByJob("", job) {
		if node := s.w.nodes[a.NodeID]; node != nil && !a.Terminal() {
			n[nodeValue(node, key)]++
		}
	}
	var out []string
	for _, v := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprintf("%s=%d", v, n[v]))
	}
	return strings.Join(out, " ")
}

func nodeValue(n *model.Node, key string) string {
	if key == "dc" {
		return n.Datacenter
	}
	if v, ok := n.Meta[key]; ok {
		return v
	}
	return "none"
}

func number(args map[string]string, key string, or int) int {
	v, ok := args[key]
	if !ok {
		return or
	}
	return atoi(v)
}

func atoi(v string) int {
	n, err := strconv.Atoi(v)
	if err != nil {
		panic(err)
	}
	return n
}

func wait(args map[string]string, key string) time.Duration {
	d, err := time.ParseDuration(args[key])
	if err != nil {
		return 0
	}
	return d
}

func buildNode(id string, args map[string]string, i int) *model.Node {
	n := &model.Node{
		ID: id, Name: id, Datacenter: "dc1", NodePool: "default", Status: model.NodeStatusReady,
		SchedulingEligibility: model.NodeEligible, Attributes: map[string]string{"kernel.name": "linux", "driver.exec": "1"},
		NodeResources: &model.NodeResources{
			Cpu:    model.NodeCpuResources{CpuShares: 4000, TotalCpuCores: 4, ReservableCpuCores: []uint16{0, 1, 2, 3}},
			Memory: model.NodeMemoryResources{MemoryMB: 4000}, Disk: model.NodeDiskResources{DiskMB: 100000},
			NodeNetworks: []*model.NodeNetworkResource{{Mode: "host", Device: "eth0", Addresses: []model.NodeNetworkAddress{
				{Family: "ipv4", Alias: "default", Address: fmt.Sprintf("10.0.0.%d", i+1)}}}},
		},
	}
	applyNode(n, args)
	return n
}

func applyNode(n *model.Node, args map[string]string) {
	res := *n.NodeResources
	res.Cpu.CpuShares = int64(number(args, "cpu", int(res.Cpu.CpuShares)))
	res.Memory.MemoryMB = int64(number(args, "mem", int(res.Memory.MemoryMB)))
	res.Disk.DiskMB = int64(number(args, "disk", int(res.Disk.DiskMB)))
	n.NodeResources = &res
	for key, field := range map[string]*string{
		"dc": &n.Datacenter, "pool": &n.NodePool, "class": &n.NodeClass, "status": &n.Status, "eligibility": &n.SchedulingEligibility,
	} {
		if v, ok := args[key]; ok {
			*field = v
		}
	}
	n.NodeMaxAllocs = number(args, "max_allocs", n.NodeMaxAllocs)
	attrs := maps.Clone(n.Attributes)
	for key, v := range args {
		if rest, ok := strings.CutPrefix(key, "attr."); ok {
			attrs[rest] = v
		}
		if rest, ok := strings.CutPrefix(key, "meta."); ok {
			n.Meta = maps.Clone(n.Meta)
			if n.Meta == nil {
				n.Meta = map[string]string{}
			}
			n.Meta[rest] = v
		}
	}
	n.Attributes = attrs
	if v, ok := args["devices"]; ok { // vendor/type/name:count of healthy ones, ...
		n.NodeResources.Devices = nil
		for _, kind := range strings.Split(v, ",") {
			name, count, _ := strings.Cut(kind, ":")
			parts := device.Parts(name)
			d := &model.NodeDeviceResource{Vendor: parts[0], Type: parts[1], Name: parts[2]}
			for i := range atoi(count) {
				d.Instances = append(d.Instances, &model.NodeDevice{ID: strconv.Itoa(i), Healthy: true})
			}
			n.NodeResources.Devices = append(n.NodeResources.Devices, d)
		}
	}
	if v, ok := args["reserved_ports"]; ok {
		n.ReservedResources = &model.NodeReservedResources{Networks: model.NodeReservedNetworkResources{ReservedHostPorts: v}}
	}
}

// buildJob makes a job of one group g with one task t; of its input lines see
// addBlock.
func buildJob(id string, args map[string]string, input string) *model.Job {
	jobType := args["type"]
	if jobType == "" {
		jobType = model.JobTypeService
	}
	driver := args["driver"]
	if driver == "" {
		driver = "exec"
	}
	j := &model.Job{
		Region: "global", Namespace: "default", ID: id, Name: id, Type: jobType, Priority: number(args, "priority", 50),
		Datacenters: []string{"*"}, NodePool: "default",
	}
	if v, ok := args["dcs"]; ok {
		j.Datacenters = strings.Split(v, ",")
	}
	if v, ok := args["pool"]; ok {
		j.NodePool = v
	}
	t := &model.Task{
		Name: "t", Driver: driver, Config: map[string]any{"command": args["command"]},
		Resources: &model.Resources{CPU: number(args, "cpu", 100), Cores: number(args, "cores", 0), MemoryMB: number(args, "mem", 100), MemoryMaxMB: number(args, "memory_max", 0)},
	}
	g := &model.TaskGroup{Name: "g", Count: number(args, "count", 1), Tasks: []*model.Task{t}, EphemeralDisk: &model.EphemeralDisk{SizeMB: number(args, "disk", 10)}}
	if v, ok := args["device"]; ok { // name:count
		name, count, _ := strings.Cut(v, ":")
		d := &model.RequestedDevice{Name: name, Count: uint64(atoi(count))}
		if v, ok := args["device_model"]; ok {
			d.Constraints = []*model.Constraint{{LTarget: "${device.model}", Operand: "=", RTarget: v}}
		}
		if v, ok := args["device_likes"]; ok {
			d.Affinities = []*model.Affinity{{LTarget: "${device.model}", Operand: "=", RTarget: v, Weight: 50}}
		}
		t.Resources.Devices = []*model.RequestedDevice{d}
	}
	if has(args, "migrate") {
		g.Migrate = &model.MigrateStrategy{MaxParallel: number(args, "migrate", 1)}
	}
	if v, ok := args["tag"]; ok {
		g.Services = []*model.Service{{Name: id, Tags: []string{v}}}
	}
	if has(args, "max_parallel") {
		g.Update = &model.UpdateStrategy{MaxParallel: number(args, "max_parallel", 1), MinHealthyTime: wait(args, "min_healthy"), Canary: number(args, "canary", 0)}
	}
	if has(args, "stop_on_client_after") {
		g.Disconnect = model.NewDisconnectStrategy()
		g.Disconnect.StopOnClientAfter = wait(args, "stop_on_client_after")
		t.KillTimeout = 5 * time.Second
	}
	if has(args, "stateful") {
		g.Stateful = &model.StatefulConfig{Ordered: !has(args, "unordered"), Partition: number(args, "partition", 0)}
		g.Update = &model.UpdateStrategy{MaxParallel: number(args, "max_parallel", 1), MinHealthyTime: wait(args, "min_healthy"), HealthyDeadline: 5 * time.Minute}
		if g.Disconnect == nil {
			g.Disconnect = model.NewDisconnectStrategy()
			g.Disconnect.StopOnClientAfter = model.DefaultStateful
		}
		t.KillTimeout = 5 * time.Second
	}
	if has(args, "gang") {
		g.Gang = &model.GangConfig{MaxPartial: wait(args, "gang")}
	}
	if has(args, "attempts") || has(args, "unlimited") {
		g.ReschedulePolicy = &model.ReschedulePolicy{
			Attempts: number(args, "attempts", 0), Interval: wait(args, "interval"), Delay: wait(args, "delay"),
			DelayFunction: args["function"], MaxDelay: wait(args, "max_delay"), Unlimited: has(args, "unlimited"),
		}
	}
	if v, ok := args["ports"]; ok {
		net := &model.NetworkResource{}
		for _, p := range strings.Split(v, ",") {
			label, value, static := strings.Cut(p, ":")
			if static {
				n, _ := strconv.Atoi(value)
				net.ReservedPorts = append(net.ReservedPorts, model.Port{Label: label, Value: n})
			} else {
				net.DynamicPorts = append(net.DynamicPorts, model.Port{Label: label, HostNetwork: args["host_network"]})
			}
		}
		g.Networks = []*model.NetworkResource{net}
	}
	j.TaskGroups = []*model.TaskGroup{g}
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		addBlock(j, strings.Fields(line))
	}
	return j
}

// addBlock adds what a line of a job says: a constraint "<left> <operator> <right>",
// or its operator alone, or "affinity <left> <operator> <right> <weight>", or
// "spread <attribute> <weight> <value>=<percent> ..."; after "group" it is the
// group's. "also <name> <count> [<command>]" is another group like the first one, but no gang and not stateful, and
// "<group> after <group> <condition>" has one depend on another; <job>.<group> and
// <job>. are those of another job.
func addBlock(j *model.Job, f []string) {
	switch {
	case len(f) == 0:
	case f[0] == "group":
		inner := &model.Job{}
		addBlock(inner, f[1:])
		g := j.TaskGroups[0]
		g.Constraints, g.Affinities, g.Spreads = append(g.Constraints, inner.Constraints...), append(g.Affinities, inner.Affinities...), append(g.Spreads, inner.Spreads...)
	case f[0] == "also":
		other := *j.TaskGroups[0]
		task := *other.Tasks[0]
		other.Name, other.Count, other.Tasks, other.DependsOn, other.Gang, other.Stateful = f[1], atoi(f[2]), []*model.Task{&task}, nil, nil, nil
		task.Config = map[string]any{"command": strings.Join(f[3:], " ")}
		j.TaskGroups = append(j.TaskGroups, &other)
	case len(f) > 1 && f[1] == "after":
		d := &depends.Dependency{Name: f[2], Condition: f[3]}
		if job, group, other := strings.Cut(f[2], "."); other {
			d.Job, d.Group = job, group
		}
		if f[0] == j.ID {
			j.DependsOn = append(j.DependsOn, d)
		} else {
			g := reconcile.Find(j, f[0])
			g.DependsOn = append(g.DependsOn, d)
		}
	case f[0] == "spread":
		b := &model.Spread{Attribute: f[1], Weight: int8(atoi(f[2]))}
		for _, target := range f[3:] {
			value, percent, _ := strings.Cut(target, "=")
			b.SpreadTarget = append(b.SpreadTarget, &model.SpreadTarget{Value: value, Percent: uint8(atoi(percent))})
		}
		j.Spreads = append(j.Spreads, b)
	case f[0] == "affinity":
		j.Affinities = append(j.Affinities, &model.Affinity{LTarget: f[1], Operand: f[2], RTarget: f[3], Weight: int8(atoi(f[4]))})
	case len(f) == 1:
		j.Constraints = append(j.Constraints, &model.Constraint{Operand: f[0]})
	case len(f) == 2:
		j.Constraints = append(j.Constraints, &model.Constraint{LTarget: f[0], Operand: f[1]})
	case len(f) == 3:
		j.Constraints = append(j.Constraints, &model.Constraint{LTarget: f[0], Operand: f[1], RTarget: f[2]})
	}
}
