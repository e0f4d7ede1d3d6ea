package model

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model/relation"
)

// Every rule of Validate, by the change that breaks it in a job that is fine.
func TestValidate(t *testing.T) {
	group := func(j *Job) *TaskGroup { return j.TaskGroups[0] }
	task := func(j *Job) *Task { return j.TaskGroups[0].Tasks[0] }
	port := func(ports ...Port) func(*Job) {
		return func(j *Job) { group(j).Networks = []*NetworkResource{{ReservedPorts: ports}} }
	}
	constraint := func(l, op, r string) func(*Job) {
		return func(j *Job) { j.Constraints = []*Constraint{{LTarget: l, Operand: op, RTarget: r}} }
	}
	affinity := func(op, r string, weight int8) func(*Job) {
		return func(j *Job) {
			task(j).Affinities = []*Affinity{{LTarget: "${a}", Operand: op, RTarget: r, Weight: weight}}
		}
	}
	spread := func(attribute string, weight int8, targets ...*SpreadTarget) func(*Job) {
		return func(j *Job) {
			group(j).Spreads = append(group(j).Spreads, &Spread{Attribute: attribute, Weight: weight, SpreadTarget: targets})
		}
	}
	share := func(value string, percent uint8) *SpreadTarget { return &SpreadTarget{Value: value, Percent: percent} }
	service := func(s Service) func(*Job) {
		return func(j *Job) {
			group(j).Networks = []*NetworkResource{{DynamicPorts: []Port{{Label: "http"}}}}
			group(j).Services = []*Service{&s}
		}
	}
	check := func(c ServiceCheck) func(*Job) {
		if c.Interval == 0 {
			c.Interval, c.Timeout = time.Second, time.Second
		}
		return service(Service{PortLabel: "http", Checks: []*ServiceCheck{&c}})
	}
	for _, c := range []struct {
		name   string
		change func(*Job)
		want   string // "" = valid; else part of the one problem
	}{
		{"fine", func(*Job) {}, ""},
		{"no id", func(j *Job) { j.ID, j.Name = "", "x" }, "job: Missing job ID"},
		{"no name", func(j *Job) { j.ID, j.Name = "", "" }, "Missing job ID|Missing job name"},
		{"space in id", func(j *Job) { j.ID = "a b" }, "contains a space"},
		{"id leads out", func(j *Job) { j.ID = "../a" }, "must not be a path"},
		{"id of a child", func(j *Job) { j.ID = "a/dispatch-1-2" }, ""},
		{"control character", func(j *Job) { j.ID, j.Name = "a\x1b", "a" }, "contains a control character"},
		{"long id", func(j *Job) { j.ID = strings.Repeat("a", 129) }, "129 bytes long"},
		{"namespace", func(j *Job) { j.Namespace = "a_b" }, "is not a namespace name"},
		{"node pool", func(j *Job) { j.NodePool = "a b" }, "is not a node pool name"},
		{"datacenter glob", func(j *Job) { j.Datacenters = []string{"dc*", "eu-?"} }, ""},
		{"bad datacenter glob", func(j *Job) { j.Datacenters = []string{"[a"} }, "not a valid pattern"},
		{"empty datacenter", func(j *Job) { j.Datacenters = []string{""} }, "a datacenter name is empty"},
		{"type", func(j *Job) { j.Type = "daemon" }, `Invalid job type: "daemon"`},
		{"priority 0", func(j *Job) { j.Priority = 0 }, "Job priority must be between [1, 100]"},
		{"priority 101", func(j *Job) { j.Priority = 101 }, "Job priority must be between [1, 100]"},
		{"no groups", func(j *Job) { j.TaskGroups = nil }, "job: Missing job task groups"},
		{"no tasks", func(j *Job) { group(j).Tasks = nil }, `Missing tasks for group "g"`},
		{"group twice", func(j *Job) { j.TaskGroups = append(j.TaskGroups, group(j).Copy()) }, `job.group["g"]#2: the group name`},
		{"group name", func(j *Job) { group(j).Name = "a/b" }, "must not contain a slash"},
		{"count -1", func(j *Job) { group(j).Count = -1 }, "count must not be negative"},
		{"count 0", func(j *Job) { group(j).Count = 0 }, ""},
		{"count too large", func(j *Job) { group(j).Count = MaxCount + 1 }, "count must be at most"},
		{"system count", systemCount, "runs once on every node"},
		{"task twice", func(j *Job) { group(j).Tasks = append(group(j).Tasks, task(j).Copy()) }, `task["t"]#2: the task name`},
		{"task name", func(j *Job) { task(j).Name = ".." }, `".." is not a task name`},
		{"task name alloc", func(j *Job) { task(j).Name = "alloc" }, "is taken"},
		{"no driver", func(j *Job) { task(j).Driver = "" }, "Missing task driver"},
		{"two leaders", twoLeaders, "only one task of a group can be its leader"},
		{"cpu and cores", func(j *Job) { task(j).Resources.Cores = 1 }, "cpu or for cores, not both"},
		{"cores", func(j *Job) { task(j).Resources.Cores, task(j).Resources.CPU = 1, 0 }, ""},
		{"no cpu", func(j *Job) { task(j).Resources.CPU = 0 }, "resources.cpu: must be 1 to"},
		{"little memory", func(j *Job) { task(j).Resources.MemoryMB = 1 }, "resources.memory: must be 10 to"},
		{"memory_max", func(j *Job) { task(j).Resources.MemoryMaxMB = 100 }, "must be at least memory (300 MB)"},
		{"kill_signal", func(j *Job) { task(j).KillSignal = "SIGFOO" }, `"SIGFOO" is not a signal`},
		{"kill_signal short", func(j *Job) { task(j).KillSignal = "int" }, ""},
		{"kill_timeout", func(j *Job) { task(j).KillTimeout = -1 }, "must not be negative"},
		{"lifecycle", func(j *Job) { task(j).Lifecycle = &TaskLifecycle{Hook: "pre"} }, `"pre" is not a valid value (one of: prestart, poststart, poststop)`},
		{"poststop sidecar", func(j *Job) { task(j).Lifecycle = &TaskLifecycle{Hook: HookPoststop, Sidecar: true} }, "cannot be a sidecar"},
		{"logs", func(j *Job) { task(j).LogConfig.MaxFiles = 0 }, "logs.max_files: must be 1"},
		{"logs too large", func(j *Job) { task(j).LogConfig.MaxFileSizeMB = 31 }, "more than the group's disk of 300 MB"},
		{"env key", func(j *Job) { task(j).Env = map[string]string{"A=": "1"} }, "cannot be a key"},
		{"task distinct_hosts", func(j *Job) { task(j).Constraints = []*Constraint{{Operand: relation.DistinctHosts}} }, "cannot be a task's constraint"},
		{"restart mode", func(j *Job) { group(j).RestartPolicy.Mode = "x" }, "one of: fail, delay"},
		{"restarts do not fit", func(j *Job) { task(j).RestartPolicy.Attempts = 1000 }, "do not fit in an interval"},
		{"restart interval", func(j *Job) { task(j).RestartPolicy.Interval = 1 }, "must be at least 5s"},
		{"reschedule delay", func(j *Job) { group(j).ReschedulePolicy.Delay = 1 }, "must be at least 5s"},
		{"reschedule never", func(j *Job) { group(j).ReschedulePolicy = &ReschedulePolicy{} }, ""},
		{"update deadlines", func(j *Job) { group(j).Update.HealthyDeadline = time.Second }, "must be longer than min_healthy_time"},
		{"update health", func(j *Job) { group(j).Update.HealthCheck = "x" }, "one of: checks"},
		{"port 0", port(Port{Label: "a", Value: 70000}), "a port must be 1 to 65535, not 70000"},
		{"port negative", port(Port{Label: "a", Value: -1}), "a port must be 1 to 65535, not -1"},
		{"port to", port(Port{Label: "a", Value: 1, To: 65536}), "to: a port must be 1 to 65535"},
		{"port to -1", port(Port{Label: "a", Value: 1, To: -1}), ""},
		{"port taken", port(Port{Label: "a", Value: 80}, Port{Label: "b", Value: 80}), `the port 80 is also asked for by "a"`},
		{"port on two networks", port(Port{Label: "a", Value: 80}, Port{Label: "b", Value: 80, HostNetwork: "x"}), ""},
		{"port label twice", port(Port{Label: "a", Value: 80}, Port{Label: "a", Value: 81}), `port["a"]#2: the port label "a" is used twice`},
		{"port label", port(Port{Label: "a b", Value: 80}), `"a b" is not a port label`},
		{"two networks", func(j *Job) { group(j).Networks = []*NetworkResource{{}, {}} }, "at most one network block"},
		{"operator", constraint("${a}", "~", "x"), `unknown constraint operator "~"`},
		{"no attribute", constraint("", "=", "x"), "needs an attribute"},
		{"regexp", constraint("${a}", relation.Regexp, "("), "is not a regular expression"},
		{"version", constraint("${a}", relation.Version, ">= 1.2, < 2.0-beta1"), ""},
		{"bad version", constraint("${a}", relation.Version, ">= x"), "is not a version constraint"},
		{"pessimistic semver", constraint("${a}", relation.Semver, "~> 1.0"), "is not a version constraint"},
		{"version of the node", constraint("${a}", relation.Version, ">= ${meta.v}"), ""},
		{"distinct_hosts", constraint("", relation.DistinctHosts, "true"), ""},
		{"distinct_hosts value", constraint("", relation.DistinctHosts, "maybe"), "must be true or false"},
		{"distinct_property", constraint("${meta.rack}", relation.DistinctProperty, "0"), "limit of at least 1"},
		{"is_set value", constraint("${a}", relation.IsSet, "x"), "takes no value"},
		{"set_contains", constraint("${a}", relation.SetContains, ""), "needs a value"},
		{"affinity", affinity("=", "x", -100), ""},
		{"affinity of nothing", affinity("=", "x", 0), `job.group["g"].task["t"].affinity[0].weight: must be -100 to 100 and not 0, but is 0`},
		{"affinity too strong", affinity("=", "x", 101), "must be -100 to 100 and not 0, but is 101"},
		{"affinity too weak", affinity("=", "x", -101), "must be -100 to 100 and not 0, but is -101"},
		{"affinity operator", affinity("~", "x", 1), `affinity[0]: unknown constraint operator "~"`},
		{"affinity regexp", affinity(relation.Regexp, "(", 1), "is not a regular expression"},
		{"affinity version", affinity(relation.Version, "x", 1), "is not a version constraint"},
		{"affinity hosts", affinity(relation.DistinctHosts, "", 1), "distinct_hosts cannot be an affinity"},
		{"affinity without attribute", func(j *Job) { j.Affinities = []*Affinity{{Operand: "=", Weight: 1}} }, "job.affinity[0]: a constraint with the operator = needs an attribute"},
		{"system affinity", func(j *Job) { systemJob(j); j.Affinities = []*Affinity{{}} }, "job.affinity[0]: a system job runs on every fitting node and prefers none"},
		{"spread", spread("${node.datacenter}", 50, share("dc1", 70), share("dc2", 30)), ""},
		{"spread in part", spread("${node.datacenter}", 1, share("dc1", 0)), ""},
		{"spread of job and group", func(j *Job) {
			spread("${meta.a}", 1)(j)
			j.Spreads = group(j).Spreads
		}, ""},
		{"spread without attribute", spread("", 50), `job.group["g"].spread[0].attribute: "" is not an attribute`},
		{"spread over a word", spread("node.datacenter", 50), `"node.datacenter" is not an attribute of nodes (such as "${node.datacenter}")`},
		{"spread twice", func(j *Job) { spread("${meta.a}", 50)(j); spread("${meta.a}", 50)(j) }, "spread[1].attribute: another spread block"},
		{"spread of no weight", spread("${meta.a}", 0), "spread[0].weight: must be 1 to 100, but is 0"},
		{"spread too strong", spread("${meta.a}", 101), "must be 1 to 100, but is 101"},
		{"spread over 100", spread("${meta.a}", 50, share("a", 70), share("b", 31)), "spread[0]: the targets add up to 101 percent"},
		{"spread target twice", spread("${meta.a}", 50, share("a", 7), share("a", 3)), `spread[0].target["a"]#2: the target "a" is named twice`},
		{"spread target of nothing", spread("${meta.a}", 50, share("", 7)), "a target needs a value"},
		{"spread target rest", spread("${meta.a}", 50, share("*", 7)), "a target needs a value"},
		{"system spread", func(j *Job) { systemJob(j); spread("${meta.a}", 50)(j) }, `job.group["g"].spread[0]: a system job runs on every`},
		{"service", service(Service{Name: "a", PortLabel: "http"}), ""},
		{"service name", service(Service{Name: "a b"}), "is not a service name"},
		{"service name of the node", service(Service{Name: "a-${NOMAD_ALLOC_INDEX}"}), ""},
		{"service port", service(Service{PortLabel: "https"}), `no port with the label "https"`},
		{"service port number", service(Service{PortLabel: "8080"}), ""},
		{"service provider", service(Service{Provider: "x"}), "one of: consul, nomad"},
		{"service task", service(Service{TaskName: "x"}), `there is no task "x"`},
		{"check", check(ServiceCheck{Type: "http", Path: "/"}), ""},
		{"check type", check(ServiceCheck{Type: "udp"}), "one of: http, tcp, grpc, script"},
		{"check path", check(ServiceCheck{Type: "http"}), "needs a path"},
		{"check interval", check(ServiceCheck{Type: "tcp", Interval: 1, Timeout: time.Second}), "interval: must be at least 1s"},
		{"check script", check(ServiceCheck{Type: "script"}), "needs a command"},
		{"check counts", check(ServiceCheck{Type: "tcp", SuccessBeforePassing: -1}), "must not be negative"},
		{"artifact", func(j *Job) {
			task(j).Artifacts = []*TaskArtifact{{GetterSource: "x", GetterMode: "any", RelativeDest: "../../etc"}}
		}, "leads out of the task's directory"},
		{"artifact in alloc", func(j *Job) {
			task(j).Artifacts = []*TaskArtifact{{GetterSource: "x", GetterMode: "any", RelativeDest: "../alloc/x"}}
		}, ""},
		{"template", func(j *Job) { task(j).Templates = []*Template{NewTemplate()} }, "needs data|needs a destination"},
		{"stopping before", func(j *Job) { group(j).StopAfterClientDisconnect = -1 }, "stop_after_client_disconnect: must not be negative"},
		{"disk", func(j *Job) { group(j).EphemeralDisk.SizeMB = -1; task(j).LogConfig.Disabled = true }, "ephemeral_disk.size: must be 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := minimal()
			j.Canonicalize()
			c.change(j)
			j.Canonicalize()
			matchProblems(t, Validate(j), c.want)
		})
	}
}

func systemJob(j *Job) {
	*j = *NewJob(JobTypeSystem)
	j.ID = "a"
	g := NewTaskGroup(j)
	g.Name, g.Tasks = "g", minimal().TaskGroups[0].Tasks
	j.TaskGroups = []*TaskGroup{g}
}

func systemCount(j *Job) {
	systemJob(j)
	j.TaskGroups[0].Count = 2
}

func twoLeaders(j *Job) {
	g := j.TaskGroups[0]
	second := g.Tasks[0].Copy()
	second.Name = "u"
	g.Tasks = append(g.Tasks, second)
	g.Tasks[0].Leader, second.Leader = true, true
}

func matchProblems(t *testing.T, problems []Problem, want string) {
	t.Helper()
	var parts []string
	if want != "" {
		parts = strings.Split(want, "|")
	}
	if len(problems) != len(parts) {
		t.Fatalf("got %q, want %q", problems, parts)
	}
	for i, p := range problems {
		if !strings.Contains(p.String(), parts[i]) {
			t.Errorf("got %q, want %q", p, parts[i])
		}
		if p.Path == "" {
			t.Errorf("%q has no place", p)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	j := minimal()
	for i := range MaxGroups - 1 {
		j.TaskGroups = append(j.TaskGroups, &TaskGroup{Name: fmt.Sprint(i), Count: -1})
	}
	j.Canonicalize()
	if n := len(Validate(j)); n != maxProblems {
		t.Errorf("%d problems", n)
	}
}

func TestProblemsError(t *testing.T) {
	if err := ProblemsError(nil); err != nil {
		t.Error(err)
	}
	j := minimal()
	j.TaskGroups = nil
	j.Canonicalize()
	err := ProblemsError(Validate(j))
	if want := "1 error occurred:\n\t* Missing job task groups (write a group block with a task in it)\n\n"; err.Error() != want || CodeOf(err) != CodeInvalid {
		t.Errorf("%q", err)
	}
}

func TestPath(t *testing.T) {
	p := JobPath.Label("group", `a"b`).Index("service", 1).Attr("meta").Key("x")
	if want := Path(`job.group["a\"b"].service[1].meta["x"]`); p != want {
		t.Errorf("%s, want %s", p, want)
	}
	if p := JobPath.Label("group", "a").Occurrence(2); p != `job.group["a"]#2` {
		t.Error(p)
	}
}

func TestSnakeCase(t *testing.T) {
	for in, want := range map[string]string{
		"GRPCUseTLS": "grpc_use_tls", "NodePool": "node_pool", "ID": "id", "TLSServerName": "tls_server_name", "URL": "url",
		"KillTimeout": "kill_timeout", "Uid": "uid", "AllAtOnce": "all_at_once", "CNI": "cni", "FSType": "fs_type",
	} {
		if got := snakeCase(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
