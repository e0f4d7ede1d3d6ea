package faults

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

const (
	// heldTasks of each driver keep their processes over all of BenchmarkKills.
	heldTasks = 25
	// fleetServers and fleetClients are the agents of BenchmarkLoss.
	fleetServers, fleetClients = 3, 27
	// lossPercent of all packets are lost in TestLossy.
	lossPercent = 5
)

var lossy = flag.Duration("lossy", 0, "how long TestLossy runs; it is skipped without")

// BenchmarkKills: kill -9 of agent, drivers or both, at any time, b.N times, under
// fifty tasks: each keeps its process, and short tasks that end meanwhile report
// their true exit codes. The figure is how soon tasks are managed again.
//
//	go test ./internal/faults -run '^$' -bench Kills -benchtime 100x -timeout 1h
func BenchmarkKills(b *testing.B) {
	s, a := single(b)
	for _, d := range taskDrivers() {
		a.Register(s.Script("long-"+d, model.JobTypeService, d, heldTasks, Forever))
	}
	for _, d := range taskDrivers() {
		a.AwaitRunning("long-"+d, heldTasks)
	}
	before := s.Tasks()
	var took []time.Duration
	for round := range b.N {
		what := []string{"agent", "drivers", "both"}[rand.IntN(3)]
		time.Sleep(time.Duration(rand.Int64N(int64(time.Second))))
		took = append(took, killOnce(b, s, a, what, fmt.Sprintf("short-%d", round)))
		now := s.Tasks()
		maps.DeleteFunc(now, func(task string, pid int) bool { return before[task] == pid })
		for task, pid := range before {
			if p, ok := s.Tasks()[task]; !ok || p != pid {
				b.Fatalf("round %d, %s killed: task %s had process %d, now %d", round, what, task, pid, p)
			}
		}
		if len(now) > 0 {
			b.Fatalf("round %d, %s killed: processes too many: %v", round, what, now)
		}
	}
	for _, d := range taskDrivers() {
		if allocs, err := a.Allocs("long-" + d); err != nil || len(allocs) != heldTasks {
			b.Errorf("%d allocations of long-%s instead of the first %d: %v", len(allocs), d, heldTasks, err)
		}
	}
	a.AwaitGone(each("long-")...)
	figures(b, took)
}

// figures reports median and worst in milliseconds.
func figures(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "ms/median")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "ms/worst")
	b.ReportMetric(0, "ns/op")
}

// thirty starts three servers and 27 clients in namespaces.
func thirty(t testing.TB) (*Site, []*Agent, []*Agent) {
	s := NewSite(t, Namespaces)
	var servers, clients []*Agent
	for i := range fleetServers {
		join := ""
		if i > 0 {
			join = fmt.Sprintf(" retry_join = [%q]\n retry_interval = \"1s\"\n", servers[0].Addr)
		}
		servers = append(servers, s.Agent(fmt.Sprintf("s%d", i+1), fmt.Sprintf("server {\n enabled = true\n bootstrap_expect = %d\n%s}\n", fleetServers, join)))
	}
	for i := range fleetClients {
		clients = append(clients, s.Agent(fmt.Sprintf("c%d", i+1), clientOf(servers[0])))
	}
	for _, a := range slices.Concat(servers, clients) {
		a.Start()
	}
	s.Await("the cluster is complete", 4*Patience, func() error { return servers[0].Nodes(fleetClients) })
	return s, servers, clients
}

// BenchmarkLoss: of 30 agents in network namespaces one client's machine is cut,
// b.N times. The figure is how long it takes until all of its tasks run elsewhere.
//
//	go test ./internal/faults -run '^$' -bench Loss -benchtime 10x -timeout 1h
func BenchmarkLoss(b *testing.B) {
	s, servers, clients := thirty(b)
	count := 2 * fleetClients
	servers[0].Register(s.Script("fleet", model.JobTypeService, "raw_exec", count, Forever))
	servers[0].AwaitRunning("fleet", count)
	var took []time.Duration
	for range b.N {
		where, err := servers[0].Running("fleet", count)
		if err != nil {
			b.Fatal(err)
		}
		victim := clients[rand.IntN(len(clients))]
		for where[victim.Name] == 0 {
			victim = clients[rand.IntN(len(clients))]
		}
		s.Cut(victim)
		took = append(took, s.Await("its tasks run elsewhere", Patience, func() error {
			now, err := servers[0].Running("fleet", count)
			if err == nil && now[victim.Name] > 0 {
				err = fmt.Errorf("%d on %s", now[victim.Name], victim.Name)
			}
			return err
		}))
		s.Heal(victim)
		s.Await("the machine is back", 2*Patience, func() error { return servers[0].Nodes(fleetClients) })
		time.Sleep(time.Second)
	}
	servers[0].AwaitGone("fleet")
	figures(b, took)
}

// TestLossy: all machines lose a twentieth of their packets, for as long as asked;
// no node is taken down for it, and no task moves.
//
//	go test ./internal/faults -run TestLossy -lossy 1h -timeout 2h -v
func TestLossy(t *testing.T) {
	if *lossy == 0 {
		t.Skip("takes as long as -lossy says")
	}
	s, servers, clients := thirty(t)
	if err := s.CanFilter(servers[0]); err != nil {
		t.Skipf("packets cannot be filtered here: %v", err)
	}
	servers[0].Register(s.Script("fleet", model.JobTypeService, "raw_exec", fleetClients, Forever))
	servers[0].AwaitRunning("fleet", fleetClients)
	tasks := s.Tasks()
	s.Await("all processes are there", Patience, func() error { // reported running, they may not be what they execute yet
		if tasks = s.Tasks(); len(tasks) != fleetClients {
			return fmt.Errorf("%d of %d", len(tasks), fleetClients)
		}
		return nil
	})
	all := slices.Concat(servers, clients)
	for _, a := range all {
		s.Lose(a, lossPercent, all...)
	}
	down := 0
	for end := time.Now().Add(*lossy); time.Now().Before(end); time.Sleep(time.Second) {
		if err := servers[0].Nodes(fleetClients); err != nil {
			down++
			t.Logf("after %v: %v", *lossy-time.Until(end), err)
		}
	}
	for _, a := range all {
		s.Clear(a)
	}
	if down > 0 {
		t.Errorf("at %d moments a node was not ready", down)
	}
	if now := s.Tasks(); !maps.Equal(now, tasks) {
		t.Errorf("tasks were %v and are %v", tasks, now)
	}
	servers[0].AwaitGone("fleet")
}
