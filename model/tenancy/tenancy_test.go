package tenancy

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
)

// fixed are facts that are said.
type fixed struct {
	nodes int
	done  map[string][]int
}

func (f fixed) Nodes(*model.Job) int                        { return f.nodes }
func (f fixed) Done(_ *model.Job, g *model.TaskGroup) []int { return f.done[g.Name] }
func group(name string, n int, r *model.Resources) *model.TaskGroup {
	return &model.TaskGroup{Name: name, Count: n, Tasks: []*model.Task{{Name: "t", Driver: "exec", Resources: r}}}
}

func job(kind string, groups ...*model.TaskGroup) *model.Job {
	return &model.Job{ID: "j", Region: "global", Type: kind, Priority: 50, NodePool: "default", TaskGroups: groups}
}

// What counts, by type of job.
func TestDemand(t *testing.T) {
	r := &model.Resources{CPU: 100, MemoryMB: 64, MemoryMaxMB: 128}
	pinned := group("p", 2, &model.Resources{CPU: 100, Cores: 2, MemoryMB: 10})
	pinned.EphemeralDisk = &model.EphemeralDisk{SizeMB: 300}
	stopped, dead, param := job(model.JobTypeService, group("g", 3, r)), job(model.JobTypeBatch, group("g", 3, r)), job(model.JobTypeBatch, group("g", 3, r))
	stopped.Stop, dead.Status, param.ParameterizedJob = true, model.JobStatusDead, &model.ParameterizedJobConfig{}
	over := job(model.JobTypeService, group("g", 2, r))
	over.Status = model.JobStatusDead
	for name, tt := range map[string]struct {
		job   *model.Job
		facts fixed
		want  Amount
	}{
		"service":              {job(model.JobTypeService, group("g", 3, r), group("h", 0, r)), fixed{}, Amount{cpu: 300, memory: 192, memoryMax: 384, count: 3}},
		"cores take no MHz":    {job(model.JobTypeService, pinned), fixed{}, Amount{cores: 4, memory: 20, memoryMax: 20, disk: 600, count: 2}},
		"batch":                {job(model.JobTypeBatch, group("g", 3, r)), fixed{done: map[string][]int{"g": {0, 2}}}, Amount{cpu: 100, memory: 64, memoryMax: 128, count: 1}},
		"system":               {job(model.JobTypeSystem, group("g", 1, r)), fixed{nodes: 4, done: map[string][]int{"g": {0, 2}}}, Amount{cpu: 400, memory: 256, memoryMax: 512, count: 4}},
		"sysbatch":             {job(model.JobTypeSysbatch, group("g", 1, r)), fixed{nodes: 4, done: map[string][]int{"g": {0, 1, 2}}}, Amount{cpu: 100, memory: 64, memoryMax: 128, count: 1}},
		"stopped":              {stopped, fixed{}, Amount{}},
		"a batch that is over": {dead, fixed{}, Amount{}},
		"a service stays":      {over, fixed{}, Amount{cpu: 200, memory: 128, memoryMax: 256, count: 2}},
		"a template":           {param, fixed{}, Amount{}},
		"its child":            {Child(param), fixed{}, Amount{cpu: 300, memory: 192, memoryMax: 384, count: 3}},
	} {
		if got := Demand(tt.job, tt.facts); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func quotaOf(r Resources) *Quota {
	return &Quota{Name: "q", Limits: []*Limit{{Region: "global", RegionLimit: &r}, {Region: "west", RegionLimit: &Resources{Count: 1}}}}
}

func TestCheck(t *testing.T) {
	r := &model.Resources{CPU: 100, MemoryMB: 64}
	for _, tt := range []struct {
		name  string
		limit Resources
		ask   Ask
		want  string
	}{
		{"0 is as much as one likes", Resources{}, Ask{Job: job("service", group("g", 99, r))}, ""},
		{"below 0 is nothing", Resources{CPU: -1}, Ask{Job: job("service", group("g", 1, r))},
			`quota "q": cpu 100 MHz asked by job "j" of 0 MHz allowed: ask for less, or raise the quota to cpu 100 MHz`},
		{"several kinds", Resources{MemoryMB: 320, Count: 4}, Ask{Job: job("service", group("a", 1, r), group("g", 5, r)), Others: Use{Amount: Amount{count: 1, memory: 64}, Jobs: 1}},
			`quota "q": memory 384 MB asked by job "j" (448 MB in all) of 320 MB allowed, 64 MB used by 1 job; count 6 asked by job "j" (7 in all) of 4 allowed, 1 used by 1 job: lower count of group "g" to 2, or raise the quota to memory 448 MB, count 7`},
		{"it asks for no more", Resources{Count: 4}, Ask{Job: job("service", group("g", 5, r)), Before: Amount{count: 5}}, ""},
		{"of another kind it does", Resources{Count: 4, MemoryMB: 300}, Ask{Job: job("service", group("g", 5, r)), Before: Amount{count: 5, memory: 5}},
			`quota "q": memory 320 MB asked by job "j" of 300 MB allowed: lower count of group "g" to 4, or raise the quota to memory 320 MB`},
	} {
		tt.ask.Facts = fixed{}
		err := quotaOf(tt.limit).Check(tt.ask)
		if got := textOf(err); got != tt.want || err != nil && model.CodeOf(err) != model.CodeConflict {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.want)
		}
	}
	elsewhere := job("service", group("g", 99, r))
	elsewhere.Region = "east"
	if err := quotaOf(Resources{Count: 1}).Check(Ask{Job: elsewhere, Facts: fixed{}}); err != nil {
		t.Errorf("a region without a limit: %v", err)
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAllowsPool(t *testing.T) {
	for _, tt := range []struct {
		rules    *NodePoolRules
		yes, not string
	}{
		{nil, "default all gpu", ""},
		{&NodePoolRules{}, "default all gpu", ""},
		{&NodePoolRules{Default: "gpu", Allowed: []string{}}, "gpu", "default all"},
		{&NodePoolRules{Allowed: []string{"g*"}}, "default gpu g", "all cpu"},
		{&NodePoolRules{Allowed: []string{"*"}}, "default gpu all", ""},
		{&NodePoolRules{Denied: []string{"g*"}}, "default cpu", "gpu all"},
	} {
		n := &Namespace{Name: "n", NodePoolConfiguration: tt.rules}
		for _, pool := range strings.Fields(tt.yes) {
			if !n.AllowsPool(pool) {
				t.Errorf("%+v: %s is not allowed", tt.rules, pool)
			}
		}
		for _, pool := range strings.Fields(tt.not) {
			if n.AllowsPool(pool) {
				t.Errorf("%+v: %s is allowed", tt.rules, pool)
			}
		}
	}
}

func TestAdmits(t *testing.T) {
	j := job("service", group("g", 1, nil))
	j.TaskGroups[0].Networks = []*model.NetworkResource{{}}
	for want, n := range map[string]Namespace{
		"":                                   {Capabilities: &Capabilities{EnabledTaskDrivers: []string{"exec"}, EnabledNetworkModes: []string{"host"}}, SchedulerConfiguration: &SchedulingRules{MaxPriority: 50}},
		"does not allow driver \"exec\"":     {Capabilities: &Capabilities{EnabledTaskDrivers: []string{"exec"}, DisabledTaskDrivers: []string{"exec"}}},
		"it allows docker, raw_exec":         {Capabilities: &Capabilities{EnabledTaskDrivers: []string{"docker", "raw_exec"}}},
		"does not allow network mode \"host": {Capabilities: &Capabilities{DisabledNetworkModes: []string{"host"}}},
		"above 49":                           {SchedulerConfiguration: &SchedulingRules{MaxPriority: 49}},
		"it allows gpu only":                 {NodePoolConfiguration: &NodePoolRules{Default: "gpu", Allowed: []string{}}},
	} {
		n.Name = "n"
		if got := textOf(n.Admits(j)); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 300)
	for want, err := range map[string]error{
		"invalid name \"a b\"":             (&Namespace{Name: "a b"}).Validate(),
		"description of namespace":         (&Namespace{Name: "a", Description: long}).Validate(),
		"the meta of namespace":            (&Namespace{Name: "a", Meta: map[string]string{"k": strings.Repeat("x", MaxMetaBytes)}}).Validate(),
		"is not a quota's name":            (&Namespace{Name: "a", Quota: "q q"}).Validate(),
		"has allowed and denied":           (&Namespace{Name: "a", NodePoolConfiguration: &NodePoolRules{Allowed: []string{}, Denied: []string{"x"}}}).Validate(),
		"which is its default":             (&Namespace{Name: "a", NodePoolConfiguration: &NodePoolRules{Denied: []string{"def*"}}}).Validate(),
		"not a name that can be allowed":   (&Namespace{Name: "a", NodePoolConfiguration: &NodePoolRules{Allowed: []string{"[x"}}}).Validate(),
		"max_priority is 101":              (&Namespace{Name: "a", SchedulerConfiguration: &SchedulingRules{MaxPriority: 101}}).Validate(),
		"scheduler_algorithm \"best\"":     (&Namespace{Name: "a", SchedulerConfiguration: &SchedulingRules{SchedulerAlgorithm: "best"}}).Validate(),
		"node pool \"p\": scheduler":       ValidatePool(&model.NodePool{Name: "p", SchedulerConfiguration: &model.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "best"}}),
		"limits nothing":                   (&Quota{Name: "q"}).Validate("global"),
		"no limit for region \"east\"":     quotaOf(Resources{}).Validate("east"),
		"limit 1 has no region_limit":      (&Quota{Name: "q", Limits: []*Limit{{Region: "global"}}}).Validate("global"),
		"two limits for region \"global\"": (&Quota{Name: "q", Limits: []*Limit{{"global", &Resources{}}, {"global", &Resources{}}}}).Validate("global"),
		"fine":                             quotaOf(Resources{}).Validate("west"),
	} {
		if got := textOf(err); want == "fine" && err != nil || want != "fine" && !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// An empty list of allowed pools is not none: neither in JSON nor in the log.
func TestEmptyAllowedSurvives(t *testing.T) {
	n := &Namespace{Name: "n", NodePoolConfiguration: &NodePoolRules{Allowed: []string{}}}
	b, err := n.MarshalMsg(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back Namespace
	if _, err := back.UnmarshalMsg(b); err != nil || back.NodePoolConfiguration.Allowed == nil || back.NodePoolConfiguration.Denied != nil {
		t.Errorf("%+v, %v", back.NodePoolConfiguration, err)
	}
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	back = Namespace{}
	if err := json.Unmarshal(text, &back); err != nil || back.NodePoolConfiguration.Allowed == nil || back.NodePoolConfiguration.Denied != nil {
		t.Errorf("%s: %+v, %v", text, back.NodePoolConfiguration, err)
	}
}

func TestOverrides(t *testing.T) {
	yes, no := true, false
	pool := &model.NodePool{SchedulerConfiguration: &model.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: &yes}}
	if Overrides(&Namespace{}, nil) != nil || Overrides(nil, pool) != pool.SchedulerConfiguration {
		t.Error("a namespace without rules overrides")
	}
	got := Overrides(&Namespace{SchedulerConfiguration: &SchedulingRules{MemoryOversubscriptionEnabled: &no}}, pool)
	if got.SchedulerAlgorithm != "spread" || *got.MemoryOversubscriptionEnabled {
		t.Errorf("%+v", got)
	}
	got = Overrides(&Namespace{SchedulerConfiguration: &SchedulingRules{SchedulerAlgorithm: "binpack"}}, pool)
	if got.SchedulerAlgorithm != "binpack" || !*got.MemoryOversubscriptionEnabled || pool.SchedulerConfiguration.SchedulerAlgorithm != "spread" {
		t.Errorf("%+v", got)
	}
}

// Amounts that no number holds are not small ones.
func TestAmountsDoNotComeRound(t *testing.T) {
	r := &model.Resources{MemoryMB: 1 << 30}
	j := job(model.JobTypeService)
	for range 2000 {
		g := group("g", model.MaxCount, r)
		for len(g.Tasks) < 100 {
			g.Tasks = append(g.Tasks, g.Tasks[0])
		}
		j.TaskGroups = append(j.TaskGroups, g)
	}
	if a := Demand(j, fixed{}); a[memory] != most {
		t.Errorf("%v", a)
	}
	if err := quotaOf(Resources{MemoryMB: 100}).Check(Ask{Job: j, Facts: fixed{}, Others: Use{Amount: Amount{memory: math.MaxInt64}, Jobs: 1}}); err == nil {
		t.Error("it is admitted")
	}
}
