package fleet

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
	"github.com/steppe-project/steppe/sched/place"
)

const memoryMB = 100 // of one instance

// room is how many more instances the basis has room for on each node.
func room(t *rapid.T, f *place.Fleet, job *model.Job, nodes []string) map[string]int {
	out := map[string]int{}
	for _, id := range nodes {
		board := place.NewBoard(f.Fork(), place.Settings{})
		check := board.Checker(place.NewAsk(job, job.TaskGroups[0]))
		need := place.DemandOf(grant())
		for check.Holds(id, &need) == "" {
			board.Book(id, "g", grant())
			if out[id]++; out[id] > 1000 {
				t.Fatal("endless room")
			}
		}
	}
	return out
}

func grant() *model.AllocatedResources {
	return &model.AllocatedResources{Tasks: map[string]*model.AllocatedTaskResources{
		"t": {Memory: model.AllocatedMemoryResources{MemoryMB: memoryMB}},
	}}
}

func testJob() *model.Job {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name = "web", "web"
	g := model.NewTaskGroup(j)
	g.Name = "g"
	task := model.NewTask(g)
	task.Name, task.Driver = "t", "raw_exec"
	task.Resources.CPU, task.Resources.MemoryMB = 0, memoryMB
	g.Tasks = append(g.Tasks, task)
	j.TaskGroups = append(j.TaskGroups, g)
	return j
}

func testNode(id string) *model.Node {
	return &model.Node{
		ID: id, Name: id, Datacenter: "dc1", NodePool: model.DefaultNodePool, Status: model.NodeStatusReady,
		SchedulingEligibility: model.NodeEligible, Attributes: map[string]string{"driver.raw_exec": "1"},
		NodeResources: &model.NodeResources{
			Cpu: model.NodeCpuResources{CpuShares: 1000}, Memory: model.NodeMemoryResources{MemoryMB: 1000},
			Disk: model.NodeDiskResources{DiskMB: 1000},
		},
	}
}

// rebuilt is the fleet of the state alone.
func rebuilt(snap *state.Snapshot) *place.Fleet {
	f := place.NewFleet()
	for n := range snap.Nodes(state.Range{}) {
		f.UpsertNode(n)
	}
	for a := range snap.Allocs(state.Range{}) {
		f.UpsertAlloc(nil, a)
	}
	return f
}

// Whatever happens in whatever order (plans held, committed late, lost, and
// reports between), a basis offers exactly what the state leaves minus what is
// held, and nothing is counted twice or for ever.
func TestHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := memlog.New()
		job := testJob()
		log.Must(&fsm.RegisterJob{Job: job})
		nodes := []string{"n1", "n2"}
		for _, id := range nodes {
			log.Must(&fsm.RegisterNode{Node: testNode(id)})
		}
		v := New(log.Store)
		defer v.Close()
		n := 0
		held := map[string]*model.Plan{} // by the id of its only placement
		var placed []string
		pick := func(t *rapid.T) string {
			var ids []string
			for id := range held {
				ids = append(ids, id)
			}
			if len(ids) == 0 {
				t.Skip("nothing is held")
			}
			return rapid.SampledFrom(ids).Draw(t, "plan")
		}
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) {
				n++
				id := fmt.Sprintf("a%d", n)
				held[id] = &model.Plan{EvalID: "e", Namespace: job.Namespace, JobID: job.ID, Groups: []*model.PlanGroup{{
					TaskGroup: "g", Resources: grant(),
					Placements: []*model.Placement{{ID: id, Index: n, NodeID: rapid.SampledFrom(nodes).Draw(t, "node")}},
				}}}
				v.Hold(held[id])
			},
			"commit": func(t *rapid.T) {
				id := pick(t)
				plan := held[id]
				delete(held, id)
				log.Must(&fsm.ApplyPlan{Plan: plan})
				placed = append(placed, id)
				if rapid.Bool().Draw(t, "released before the feed is read") {
					v.Release(plan)
				}
			},
			"lose": func(t *rapid.T) {
				id := pick(t)
				v.Release(held[id])
				delete(held, id)
			},
			"end": func(t *rapid.T) {
				if len(placed) == 0 {
					t.Skip("nothing is placed")
				}
				id := rapid.SampledFrom(placed).Draw(t, "alloc")
				log.Must(&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: id, ClientStatus: model.ClientComplete}}})
			},
			"": func(t *rapid.T) {
				basis, err := v.At(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				want := rebuilt(log.Store.Snapshot())
				for _, plan := range held {
					want.Place(plan.Groups[0].Placements[0].NodeID, grant())
				}
				if got, want := room(t, basis.Fleet(), job, nodes), room(t, want, job, nodes); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("room %v, want %v", got, want)
				}
				if basis.Fleet().Index() != basis.Index() || basis.Index() != log.Store.Snapshot().Index() {
					t.Fatalf("fleet at %d, snapshot at %d, state at %d",
						basis.Fleet().Index(), basis.Index(), log.Store.Snapshot().Index())
				}
			},
		})
	})
}

// The dice follow from evaluation and index.
func TestSeed(t *testing.T) {
	seed := func(eval string, index uint64) uint64 {
		log := memlog.New()
		for log.Store.Snapshot().Index() < index {
			log.Must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "n"}})
		}
		v := New(log.Store)
		defer v.Close()
		b, err := v.At(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return b.Env(&model.Evaluation{ID: eval}, log.Now()).Seed
	}
	first, again := seed("a", 2), seed("a", 2)
	if first != again || first == seed("a", 3) || first == seed("b", 2) {
		t.Error("seeds do not follow from evaluation and index")
	}
}

// TestEnv: what a job's namespace and node pool say of placement goes with the decision.
func TestEnv(t *testing.T) {
	log := memlog.New()
	yes := true
	log.Must(&fsm.FeatureLevel{Level: feature.Newest})
	log.Must(&fsm.UpsertNodePool{Pool: &model.NodePool{Name: "p", SchedulerConfiguration: &model.NodePoolSchedulerConfiguration{
		SchedulerAlgorithm: model.AlgorithmBinpack, MemoryOversubscriptionEnabled: &yes,
	}}})
	log.Must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "n", SchedulerConfiguration: &tenancy.SchedulingRules{SchedulerAlgorithm: model.AlgorithmSpread}}})
	for _, id := range []string{"default/default", "n/p", "default/p"} {
		ns, pool, _ := strings.Cut(id, "/")
		log.Must(&fsm.RegisterJob{Job: &model.Job{ID: pool, Namespace: ns, NodePool: pool, Type: model.JobTypeService}})
	}
	b, err := New(log.Store).At(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	env := func(ns, job string) *model.NodePoolSchedulerConfiguration {
		return b.Env(&model.Evaluation{ID: "e", Namespace: ns, JobID: job}, log.Now()).Overrides
	}
	if o := env("default", "default"); o != nil {
		t.Errorf("%+v", o)
	}
	if o := env("default", "p"); o.SchedulerAlgorithm != model.AlgorithmBinpack || !*o.MemoryOversubscriptionEnabled {
		t.Errorf("%+v", o)
	}
	if o := env("n", "p"); o.SchedulerAlgorithm != model.AlgorithmSpread || !*o.MemoryOversubscriptionEnabled {
		t.Errorf("%+v", o)
	}
}
