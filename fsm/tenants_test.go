package fsm_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/fsm/usage"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
)

// tenants is a random life of jobs in namespaces with quotas, and what a naive recount
// says of it.
type tenants struct {
	draw
	m *machine
}

// amount is memory and count, the kinds that are limited here.
type amount struct{ memory, count int }

// asks recounts what a job asks for, in the plainest way.
func (x *tenants) asks(j *model.Job) amount {
	if j == nil || j.Stop || j.ParameterizedJob != nil && !j.Dispatched || j.Type == model.JobTypeBatch && j.Status == model.JobStatusDead {
		return amount{}
	}
	done := map[string]bool{}
	if j.Type == model.JobTypeBatch {
		for a := range x.m.snap().AllocsByJob(j.Namespace, j.ID) {
			same := fmt.Sprint(a.Job.TaskGroups[0].Tasks[0].Resources.MemoryMB) == fmt.Sprint(j.TaskGroups[0].Tasks[0].Resources.MemoryMB)
			if a.ClientStatus == model.ClientComplete && a.Index() < j.TaskGroups[0].Count && same && a.Job.Type == j.Type {
				done[a.Name] = true
			}
		}
	}
	n := j.TaskGroups[0].Count - len(done)
	return amount{n * j.TaskGroups[0].Tasks[0].Resources.MemoryMB, n}
}

// used recounts a quota.
func (x *tenants) used(quota string) amount {
	var sum amount
	for n := range x.m.snap().Namespaces(state.Range{}) {
		if n.Quota != quota {
			continue
		}
		for j := range x.m.snap().Jobs(state.Range{Namespace: n.Name}) {
			a := x.asks(j)
			sum.memory, sum.count = sum.memory+a.memory, sum.count+a.count
		}
	}
	return sum
}

// refused tells whether a quota must refuse that a job takes the place of another.
func (x *tenants) refused(next, now *model.Job) bool {
	quota := x.m.snap().Quota(x.m.snap().Namespace(next.Namespace).Quota)
	if quota == nil {
		return false
	}
	alive := *next
	alive.Status = ""
	before, after, used := x.asks(now), x.asks(&alive), x.used(quota.Name)
	limit := quota.Limits[0].RegionLimit
	more := func(limit, used, before, after int) bool {
		return limit != 0 && after > before && used-before+after > max(0, limit)
	}
	return more(limit.MemoryMB, used.memory, before.memory, after.memory) || more(limit.Count, used.count, before.count, after.count)
}

// spec is a job of one group.
func (x *tenants) spec() *model.Job {
	j := testJob(x.one("job", 4), 1+x.draw.count(4))
	j.Namespace, j.Region = x.of("n1", "n2", "n3"), model.DefaultRegion
	j.Type = x.of(model.JobTypeService, model.JobTypeBatch)
	j.TaskGroups[0].Tasks[0].Resources = &model.Resources{MemoryMB: 10 * (1 + x.draw.count(3))}
	return j
}

// register compares the decision on a registration with the recount.
func (x *tenants) register() {
	j := x.spec()
	now := x.m.snap().Job(j.Namespace, j.ID)
	want := x.refused(j, now)
	before := x.m.snap().Hash()
	out := x.m.apply(&fsm.RegisterJob{Job: j, Eval: &model.Evaluation{ID: x.one("eval", 9), Namespace: j.Namespace, JobID: j.ID, Type: j.Type, Status: model.EvalPending}})[0]
	if (out.Err != nil) != want {
		x.Fatalf("registered: %v; a recount says refused=%v", out.Err, want)
	}
	if out.Err == nil {
		return
	}
	if x.m.snap().Hash() != before {
		x.Fatalf("refused, and the state has changed: %v", out.Err)
	}
	x.helps(j, now, out.Err.Error())
}

// helps follows a refusal's advice.
func (x *tenants) helps(j, now *model.Job, text string) {
	if _, advice, ok := strings.Cut(text, `lower count of group "web" to `); ok {
		var n int
		if _, err := fmt.Sscan(strings.TrimRight(strings.Fields(advice)[0], ","), &n); err != nil {
			x.Fatal(err)
		}
		lower := testJob(j.ID, n)
		lower.Namespace, lower.Region, lower.Type = j.Namespace, j.Region, j.Type
		lower.TaskGroups[0].Tasks[0].Resources = j.TaskGroups[0].Tasks[0].Resources
		if x.refused(lower, now) {
			x.Fatalf("the advice does not help: %s", text)
		}
		lower.TaskGroups[0].Count++
		if !x.refused(lower, now) {
			x.Fatalf("one more would do: %s", text)
		}
	}
}

// quota compares the decision on a quota with the recount.
func (x *tenants) quota() {
	name := x.of("q1", "q2")
	limit := &tenancy.Resources{MemoryMB: 10 * x.draw.count(30), Count: x.draw.count(12) - 1}
	now, used := x.m.snap().Quota(name), x.used(name)
	below := func(was, limit, used int) bool {
		if limit == 0 || used <= max(0, limit) {
			return false
		}
		return now == nil || was == 0 || limit < was
	}
	var was tenancy.Resources
	if now != nil {
		was = *now.Limits[0].RegionLimit
	}
	want := below(was.MemoryMB, limit.MemoryMB, used.memory) || below(was.Count, limit.Count, used.count)
	out := x.m.apply(&fsm.UpsertQuota{Quota: &tenancy.Quota{Name: name, Limits: []*tenancy.Limit{{Region: model.DefaultRegion, RegionLimit: limit}}}})[0]
	if (out.Err != nil) != want {
		x.Fatalf("quota %+v over %+v with %+v used: %v, want refused=%v", limit, was, used, out.Err, want)
	}
}

// run has something of a batch job complete or fail.
func (x *tenants) run() {
	ns, job := x.of("n1", "n2"), x.one("job", 4)
	j := x.m.snap().Job(ns, job)
	if j == nil {
		return
	}
	id := fmt.Sprintf("%s-%s-%d-%d", ns, job, x.m.index, j.Version)
	done := &model.Evaluation{ID: "e" + id, Namespace: ns, JobID: job, Type: j.Type, Status: model.EvalComplete}
	x.m.apply(&fsm.UpsertEvals{Evals: []*model.Evaluation{{ID: "e" + id, Namespace: ns, JobID: job, Type: j.Type, Status: model.EvalPending}}})
	x.m.apply(&fsm.ApplyPlan{Plan: &model.Plan{EvalID: "e" + id, Namespace: ns, JobID: job, JobVersion: j.Version, Eval: done, Groups: []*model.PlanGroup{{
		TaskGroup: "web", Resources: &model.AllocatedResources{}, Placements: []*model.Placement{{ID: id, NodeID: testNode(1).ID, Index: x.draw.count(4)}},
	}}}})
	x.m.apply(&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: id, ClientStatus: x.of(model.ClientComplete, model.ClientComplete, model.ClientFailed, model.ClientRunning)}}})
}

// TestAdmissionIsANaiveRecount: over random lives of jobs, namespaces and quotas, each
// decision is the one that a recount of everything gives; a refusal changes nothing and
// its advice helps; what is reported is what a recount finds.
func TestAdmissionIsANaiveRecount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := &tenants{draw{rt}, newMachine(t)}
		x.m.must(&fsm.FeatureLevel{Level: feature.Newest}, &fsm.RegisterNode{Node: testNode(1)})
		for _, q := range []string{"q1", "q2"} {
			x.m.must(&fsm.UpsertQuota{Quota: &tenancy.Quota{Name: q, Limits: []*tenancy.Limit{{Region: model.DefaultRegion, RegionLimit: &tenancy.Resources{MemoryMB: 200, Count: 8}}}}})
		}
		x.m.must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "n1", Quota: "q1"}}, &fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "n2", Quota: "q1"}},
			&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "n3"}})
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch x.draw.count(9) {
			case 0:
				x.quota()
			case 1:
				x.m.apply(&fsm.DeregisterJob{Namespace: x.of("n1", "n2"), ID: x.one("job", 4), Purge: x.yes()})
			case 2, 3:
				x.run()
			case 4:
				x.m.apply(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: x.of("n1", "n2", "n3"), Quota: x.of("", "q1", "q2")}})
			case 5:
				scale := &fsm.ScaleJob{Namespace: x.of("n1", "n2"), ID: x.one("job", 4), Group: "web", Count: x.draw.count(6)}
				if now := x.m.snap().Job(scale.Namespace, scale.ID); now != nil && !now.Stop {
					next := *now
					group := *now.TaskGroups[0]
					group.Count = scale.Count
					next.TaskGroups = []*model.TaskGroup{&group}
					want := x.refused(&next, now)
					if out := x.m.apply(scale)[0]; (out.Err != nil) != want {
						rt.Fatalf("scaled: %v, a recount says refused=%v", out.Err, want)
					}
				}
			default:
				x.register()
			}
			for q := range x.m.snap().Quotas(state.Range{}) {
				report, used := usage.Report(x.m.snap(), q).Used[model.DefaultRegion].RegionLimit, x.used(q.Name)
				if report.MemoryMB != used.memory || report.Count != used.count {
					rt.Fatalf("quota %s: %+v is reported, %+v is used", q.Name, report, used)
				}
			}
		}
	})
}

// BenchmarkQuota registers a job into a namespace with ten thousand others, without a
// quota, with one that has room, and with one that has none: then all are looked at.
func BenchmarkQuota(b *testing.B) {
	for name, memory := range map[string]int{"none": 0, "room": 1 << 30, "full": 10_005 * 10} {
		b.Run(name, func(b *testing.B) {
			m := newMachine(b)
			m.must(&fsm.FeatureLevel{Level: feature.Newest})
			for i := range 10_000 {
				j := testJob(fmt.Sprintf("job%d", i), 1)
				j.Region, j.Type = model.DefaultRegion, model.JobTypeBatch
				j.TaskGroups[0].Tasks[0].Resources = &model.Resources{MemoryMB: 10}
				m.must(&fsm.RegisterJob{Job: j, Eval: testEval(fmt.Sprintf("e%d", i), j.ID)})
			}
			if memory > 0 {
				m.must(&fsm.UpsertQuota{Quota: &tenancy.Quota{Name: "q", Limits: []*tenancy.Limit{{Region: model.DefaultRegion, RegionLimit: &tenancy.Resources{MemoryMB: memory}}}}},
					&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: model.DefaultNamespace, Quota: "q"}})
			}
			n := 0
			for b.Loop() {
				j := testJob("job0", 1)
				j.Region, j.Type, j.Meta = model.DefaultRegion, model.JobTypeBatch, map[string]string{"n": fmt.Sprint(n)}
				j.TaskGroups[0].Tasks[0].Resources = &model.Resources{MemoryMB: 200}
				m.apply(&fsm.RegisterJob{Job: j})
				n++
			}
		})
	}
}
