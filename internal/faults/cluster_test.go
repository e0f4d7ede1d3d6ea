package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// cluster starts three servers and three clients, each on its own machine.
func cluster(t *testing.T) (s *Site, servers, clients []*Agent) {
	s = NewSite(t, Namespaces)
	first := subnet + "11"
	for i := range 3 {
		servers = append(servers, s.Agent(fmt.Sprintf("s%d", i+1),
			"server {\n enabled = true\n bootstrap_expect = 3\n retry_join = [\""+first+"\"]\n retry_interval = \"1s\"\n}\n"))
	}
	for i := range 3 {
		clients = append(clients, s.Agent(fmt.Sprintf("c%d", i+1), clientOf(servers[0])))
	}
	for _, a := range append(servers, clients...) {
		a.Start()
	}
	s.Await("the cluster is complete", 2*Patience, func() error { return servers[0].Nodes(3) })
	return s, servers, clients
}

// within is what the issue allows for the replacement of a lost machine's tasks.
const within = 10 * time.Second

// TestCluster is the story of a cluster in which a job spreads, the leader dies,
// a machine is cut off, comes back, and all agents are restarted in turn.
func TestCluster(t *testing.T) {
	t.Parallel()
	s, servers, clients := cluster(t)
	servers[0].Register(s.Script("six", model.JobTypeService, "raw_exec", 6, Forever))
	for name, n := range servers[0].AwaitRunning("six", 6) {
		if n != 2 {
			t.Errorf("%d of six are on %s", n, name)
		}
	}
	api, dead := killLeader(t, s, servers)
	cut(t, s, api, clients)
	dead.Start()
	s.Await("the killed server is back", Patience, func() error { _, err := dead.Running("six", 6); return err })
	restartEach(t, s, servers, clients)
	api.AwaitGone("six", "after-kill")
}

// killLeader kills the leader; the API answers through another, which is
// returned, and a new job runs.
func killLeader(t *testing.T, s *Site, servers []*Agent) (api, leader *Agent) {
	t.Helper()
	leader, err := servers[0].Leader()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range servers {
		if a != leader {
			api = a
		}
	}
	leader.Signal(syscall.SIGKILL)
	start := time.Now()
	if _, _, err := api.API.Jobs().List(short(), staleRead); err != nil {
		t.Errorf("a stale read right after the leader's death: %v", err)
	}
	job := s.Script("after-kill", model.JobTypeService, "raw_exec", 1, Forever)
	s.Await("another server leads", Patience, func() error {
		_, err := api.API.Jobs().Register(short(), job, nil)
		return err
	})
	api.AwaitRunning("after-kill", 1)
	t.Logf("leader killed: a new job runs after %v", time.Since(start).Round(time.Millisecond))
	return api, leader
}

// cut takes a client's machine off the network and puts it back: its tasks run
// elsewhere soon, the old ones end when it returns, nothing runs twice.
func cut(t *testing.T, s *Site, api *Agent, clients []*Agent) {
	t.Helper()
	victim := clients[1]
	before := s.Tasks()
	old := map[string]bool{}
	allocs, err := api.Allocs("six")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range allocs {
		if x.NodeName == victim.Name {
			old[x.ID+"/t"] = true
		}
	}
	s.Cut(victim)
	var nodes map[string]int
	took := s.Await("the lost tasks run elsewhere", 3*within, func() error {
		if nodes, err = api.Running("six", 6); err == nil && nodes[victim.Name] > 0 {
			err = fmt.Errorf("still on %v", nodes)
		}
		return err
	})
	t.Logf("machine cut: its tasks run elsewhere after %v", took.Round(time.Millisecond))
	if took > 2*within {
		t.Errorf("replaced after %v, wanted %v on an idle machine", took, within)
	}
	now := s.Tasks()
	for task := range before {
		if now[task] != before[task] {
			t.Errorf("task %s was process %d and is %d: nothing should end a task of a machine without network", task, before[task], now[task])
		}
	}
	s.Heal(victim)
	s.Await("the machine is back", 2*Patience, func() error { return api.Nodes(3) })
	s.Await("its old tasks have ended", Patience, func() error {
		now := s.Tasks()
		for task := range old {
			if pid := now[task]; pid != 0 {
				return fmt.Errorf("%s runs as process %d", task, pid)
			}
		}
		if len(now) != 7 {
			return fmt.Errorf("%d tasks run instead of 7: %v", len(now), now)
		}
		return nil
	})
	api.AwaitRunning("six", 6)
}

// restartEach restarts every agent in turn: no task notices, no write is lost.
// The clients are restarted while the only server that they are told of is down.
func restartEach(t *testing.T, s *Site, servers, clients []*Agent) {
	t.Helper()
	before := s.Tasks()
	write := func(id string, through *Agent) {
		s.Await("write "+id, Patience, func() error {
			_, err := through.API.Jobs().Register(short(), s.Script(id, model.JobTypeBatch, "raw_exec", 1, "exit 0"), nil)
			return err
		})
	}
	for i, a := range servers {
		a.Signal(syscall.SIGTERM)
		other := servers[(i+1)%3]
		id := "without-" + a.Name
		write(id, other)
		a.Start()
		s.Await(a.Name+" is back", 2*Patience, func() error {
			if _, _, err := a.API.Jobs().Get(short(), id, staleRead); err != nil {
				return err
			}
			return inQuorum(a, other) // the next may only go when this one votes
		})
	}
	servers[0].Signal(syscall.SIGTERM)
	for _, a := range clients {
		a.Signal(syscall.SIGTERM)
		write("without-"+a.Name, servers[1])
		a.Start()
		s.Await(a.Name+" is back", 2*Patience, func() error { return servers[1].manages("six") })
	}
	servers[0].Start()
	s.Await("the tasks of the restarts have ended", Patience, func() error {
		if n := len(s.Tasks()); n != len(before) {
			return fmt.Errorf("%d tasks run", n)
		}
		return nil
	})
	now := s.Tasks()
	for task := range before {
		if now[task] != before[task] {
			t.Errorf("task %s was process %d, is %d", task, before[task], now[task])
		}
	}
}

// inQuorum checks that other's leader sees all three servers healthy.
func inQuorum(a, other *Agent) error {
	var health struct {
		Healthy          bool
		FailureTolerance int
	}
	if _, err := other.API.Get(short(), "/v1/operator/autopilot/health", nil, &health); err != nil {
		return err
	}
	if health.FailureTolerance < 1 {
		return fmt.Errorf("%s is not counted yet: %+v", a.Name, health)
	}
	return nil
}

// TestOtherKey: a client with another cluster's key is told so, and the cluster
// does not care.
func TestOtherKey(t *testing.T) {
	t.Parallel()
	s, a := single(t)
	stranger := s.Agent("stranger", clientOf(a)+"encrypt = \""+NewSite(t, Loopback).Key()+"\"\n")
	stranger.Start()
	s.Await("the stranger is told", Patience, func() error {
		if log := strings.ToLower(stranger.Log(1 << 16)); !strings.Contains(log, "key") {
			return fmt.Errorf("its log does not speak of the key: %s", log)
		}
		return nil
	})
	if err := a.Nodes(1); err != nil {
		t.Error(err)
	}
	t.Log(lastLines(strings.ToLower(stranger.Log(1<<16)), "key"))
	members, err := a.API.Cluster().Members(short())
	if err != nil || len(members) != 1 {
		t.Errorf("%d members: %v", len(members), err)
	}
	stranger.Signal(syscall.SIGTERM)
}

// TestScripts runs what make demo and make cluster run, which check themselves,
// and that they leave nothing behind.
func TestScripts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"demo", "cluster"} {
		t.Run(name, func(t *testing.T) {
			s := NewSite(t, Loopback)
			bin := filepath.Join(s.Dir(), "steppe")
			if err := os.Link(Binary, bin); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("bash", filepath.Join(Root, "internal/demo", name+".sh"))
			cmd.Env = append(os.Environ(), "ONCE=1", "STEPPE_BIN="+bin, "TMPDIR="+s.Dir(), "NO_COLOR=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Log(lastLines(string(out), "ms"))
			if left := s.processes(); len(left) > 0 {
				t.Errorf("processes are left: %+v", left)
			}
			left, err := filepath.Glob(filepath.Join(s.Dir(), "*"))
			if err != nil || len(left) != 1 {
				t.Errorf("files are left: %v %v", left, err)
			}
		})
	}
}

// lastLines are those that contain a word.
func lastLines(text, word string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}
