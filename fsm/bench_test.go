package fsm_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// placementsPerPlan is the size of the benchmarks' plans.
const placementsPerPlan = 1000

// uuids draws ids as the scheduler makes them.
type uuids struct{ *rand.Rand }

func (u uuids) next() string {
	a, b := u.Uint64(), u.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff)
}

// testPlan places n instances of a job, all from index from on.
func testPlan(u uuids, job string, from, n, nodes int) *model.Plan {
	eval := testEval(u.next(), job)
	eval.Status = model.EvalComplete
	eval.QueuedAllocations = map[string]int{"web": 0}
	g := &model.PlanGroup{
		TaskGroup: "web",
		Resources: &model.AllocatedResources{
			Tasks: map[string]*model.AllocatedTaskResources{"app": {
				Cpu: model.AllocatedCpuResources{CpuShares: 100}, Memory: model.AllocatedMemoryResources{MemoryMB: 128},
			}},
			Shared: model.AllocatedSharedResources{DiskMB: 300},
		},
		Metrics: &model.AllocationMetric{NodesEvaluated: nodes, NodesAvailable: map[string]int{"dc1": nodes}},
	}
	for i := range n {
		g.Placements = append(g.Placements, &model.Placement{ID: u.next(), Index: from + i, NodeID: testNode(u.IntN(nodes)).ID})
	}
	return &model.Plan{EvalID: eval.ID, Namespace: "default", JobID: job, Groups: []*model.PlanGroup{g}, Eval: eval}
}

// encodedPlans are log entries that fill a cluster: a job for each 10 plans.
func encodedPlans(tb testing.TB, plans, nodes int) (setup [][]byte, entries [][]byte) {
	u := uuids{rand.New(rand.NewPCG(1, 2))}
	add := func(to [][]byte, b fsm.Body) [][]byte {
		cmd, err := fsm.NewCommand(b)
		if err != nil {
			tb.Fatal(err)
		}
		data, err := fsm.EncodeEntry(1_700_000_000_000_000_000, []fsm.Command{cmd})
		if err != nil {
			tb.Fatal(err)
		}
		return append(to, data)
	}
	for i := range nodes {
		setup = add(setup, &fsm.RegisterNode{Node: testNode(i)})
	}
	for p := range plans {
		job := fmt.Sprintf("job-%d", p/10)
		if p%10 == 0 {
			setup = add(setup, &fsm.RegisterJob{Job: testJob(job, 10*placementsPerPlan)})
		}
		entries = add(entries, &fsm.ApplyPlan{Plan: testPlan(u, job, p%10*placementsPerPlan, placementsPerPlan, nodes)})
	}
	return setup, entries
}

func applyEncoded(tb testing.TB, m *machine, entries [][]byte) {
	for _, data := range entries {
		m.index++
		e, err := fsm.DecodeEntry(m.index, 1, data)
		if err != nil {
			tb.Fatal(err)
		}
		for _, o := range m.Apply(e) {
			if o.Err != nil {
				tb.Fatal(o.Err)
			}
		}
	}
}

// BenchmarkApplyPlan applies encoded plans of 1,000 placements to a cluster of
// 10,000 nodes. Run with -cpu 1 for the figure of one core.
func BenchmarkApplyPlan(b *testing.B) {
	const plans = 200
	setup, entries := encodedPlans(b, plans, 10_000)
	var busy, cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		m := newMachine(b)
		applyEncoded(b, m, setup)
		runtime.GC()
		b.StartTimer()
		start, used := time.Now(), cpuTime(b)
		applyEncoded(b, m, entries)
		busy += time.Since(start)
		cpu += cpuTime(b) - used
	}
	count := float64(b.N) * plans * placementsPerPlan
	b.ReportMetric(count/busy.Seconds(), "placements/s")
	b.ReportMetric(count/cpu.Seconds(), "placements/cpu-s")
}

// cpuTime is the processor time that the process has used, collector included:
// on a busy machine it tells more than the wall clock.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heapInUse is the live heap.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkMillion fills a state with a million allocations, writes it as a
// snapshot and restores it.
func BenchmarkMillion(b *testing.B) {
	plans := 1000
	if testing.Short() {
		plans = 50
	}
	count := plans * placementsPerPlan
	setup, entries := encodedPlans(b, plans, 10_000)
	for b.Loop() {
		m := newMachine(b)
		applyEncoded(b, m, setup)
		before := heapInUse()
		start := time.Now()
		applyEncoded(b, m, entries)
		b.ReportMetric(float64(count)/time.Since(start).Seconds(), "placements/s")
		b.ReportMetric(float64(heapInUse()-before)/float64(count), "heapB/alloc")
		start = time.Now()
		m.snap().Hash()
		b.ReportMetric(time.Since(start).Seconds(), "hash-s")
		file, err := os.Create(b.TempDir() + "/snapshot")
		if err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		n, err := m.Snapshot().WriteTo(file)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "write-s")
		b.ReportMetric(float64(n)/float64(count), "fileB/alloc")
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		r := newMachine(b)
		empty := heapInUse()
		start = time.Now()
		if err := r.Restore(file); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "restore-s")
		b.ReportMetric(float64(heapInUse()-empty)/float64(count), "restoredB/alloc")
		runtime.KeepAlive(m)
		runtime.KeepAlive(r)
		runtime.KeepAlive(entries)
		runtime.KeepAlive(setup)
	}
}

// benchJob is a job of usual size.
func benchJob() *model.Job {
	job := testJob("web", 10)
	for i := range 3 {
		g := *job.TaskGroups[0]
		g.Name = fmt.Sprintf("group-%d", i)
		g.Tasks = []*model.Task{{
			Name: "app", Driver: "exec", Config: map[string]any{"command": "/bin/app", "args": []any{"-v", "--port", "8080"}},
			Env:       map[string]string{"PORT": "8080", "LEVEL": "debug"},
			Resources: &model.Resources{CPU: 500, MemoryMB: 256}, RestartPolicy: &model.RestartPolicy{Attempts: 2, Interval: time.Minute},
			LogConfig: &model.LogConfig{MaxFiles: 10, MaxFileSizeMB: 10},
			Services:  []*model.Service{{Name: "app", PortLabel: "http", Provider: "nomad"}},
		}}
		g.Networks = []*model.NetworkResource{{Mode: "host", DynamicPorts: []model.Port{{Label: "http"}}}}
		job.TaskGroups = append(job.TaskGroups, &g)
	}
	return job
}

func benchAlloc() *model.Allocation {
	u := uuids{rand.New(rand.NewPCG(1, 2))}
	return &model.Allocation{
		ID: u.next(), Namespace: "default", EvalID: u.next(), Name: "web.web[0]", NodeID: u.next(), NodeName: "node-1",
		JobID: "web", TaskGroup: "web", DesiredStatus: "run", ClientStatus: "running",
		AllocatedResources: testPlan(u, "web", 0, 0, 1).Groups[0].Resources,
		TaskStates: map[string]*model.TaskState{"app": {State: "running", StartedAt: time.Unix(1_700_000_000, 0), Events: []*model.TaskEvent{
			{Type: model.EventReceived, Time: 1, DisplayMessage: "Task received by client"},
			{Type: model.EventStarted, Time: 2, DisplayMessage: "Task started by client"},
		}}},
	}
}

// BenchmarkCodec compares the generated msgpack codec with CBOR (its fields by
// name; integer keys would make CBOR smaller, not faster to reflect over).
func BenchmarkCodec(b *testing.B) {
	u := uuids{rand.New(rand.NewPCG(1, 2))}
	plan := testPlan(u, "web", 0, placementsPerPlan, 10_000)
	benchCodec(b, "job", benchJob())
	benchCodec(b, "plan1000", plan)
	benchCodec(b, "alloc", benchAlloc())
	benchCBOR(b, "plan1000-intkeys", intPlan(plan))
}

type packer[T any] interface {
	*T
	MarshalMsg([]byte) ([]byte, error)
	UnmarshalMsg([]byte) ([]byte, error)
}

func benchCodec[T any, P packer[T]](b *testing.B, name string, v P) {
	data, err := v.MarshalMsg(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run(name+"/msgp/encode", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 2*len(data))
		for b.Loop() {
			if _, err := v.MarshalMsg(buf); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(data)), "bytes")
	})
	b.Run(name+"/msgp/decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := P(new(T)).UnmarshalMsg(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	benchCBOR(b, name, v)
}

func benchCBOR[T any](b *testing.B, name string, v *T) {
	data, err := cbor.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run(name+"/cbor/encode", func(b *testing.B) {
		b.ReportAllocs()
		var buf bytes.Buffer
		for b.Loop() {
			buf.Reset()
			if err := cbor.MarshalToBuffer(v, &buf); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(data)), "bytes")
	})
	b.Run(name+"/cbor/decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := cbor.Unmarshal(data, new(T)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// planByNumber is the main part of a plan with integer keys.
type planByNumber struct {
	EvalID     string              `cbor:"1,keyasint"`
	JobID      string              `cbor:"2,keyasint"`
	Placements []placementByNumber `cbor:"3,keyasint"`
}

type placementByNumber struct {
	ID     string `cbor:"1,keyasint"`
	Index  int    `cbor:"2,keyasint"`
	NodeID string `cbor:"3,keyasint"`
	Canary bool   `cbor:"9,keyasint,omitempty"`
}

func intPlan(p *model.Plan) *planByNumber {
	out := &planByNumber{EvalID: p.EvalID, JobID: p.JobID}
	for _, pl := range p.Groups[0].Placements {
		out.Placements = append(out.Placements, placementByNumber{ID: pl.ID, Index: pl.Index, NodeID: pl.NodeID})
	}
	return out
}
