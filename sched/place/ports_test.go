package place

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
)

func withPorts(job *model.Job, ports ...model.Port) *model.Job {
	net := &model.NetworkResource{Mode: "host"}
	for _, p := range ports {
		if p.Value != 0 {
			net.ReservedPorts = append(net.ReservedPorts, p)
		} else {
			net.DynamicPorts = append(net.DynamicPorts, p)
		}
	}
	job.TaskGroups[0].Networks = []*model.NetworkResource{net}
	return job
}

func TestPorts(t *testing.T) {
	n := testNode(1)
	n.NodeResources.MinDynamicPort, n.NodeResources.MaxDynamicPort = 20000, 20002
	n.NodeResources.NodeNetworks = append(n.NodeResources.NodeNetworks, &model.NodeNetworkResource{
		Addresses: []model.NodeNetworkAddress{{Family: "ipv6", Alias: "default", Address: "fd00::1"}, {Family: "ipv4", Alias: "private", Address: "192.168.0.1", ReservedPorts: "20000"}},
	})
	f := NewFleet()
	f.UpsertNode(n)
	job := withPorts(testJob(9), model.Port{Label: "http", Value: 80, To: 8080}, model.Port{Label: "any", To: -1}, model.Port{Label: "inner", HostNetwork: "private"})
	s := NewBoard(f, Settings{Seed: 1}).Select(NewAsk(job, job.TaskGroups[0]))
	first := s.Next(nil)
	if first == nil {
		t.Fatal("one should fit")
	}
	if second := s.Next(nil); second != nil {
		t.Fatalf("port 80 was granted again, on another address: a task listens on all of them: %+v", second.Resources.Shared.Ports)
	}
	p := first.Resources.Shared.Ports
	if p[0].Label != "http" || p[0].Value != 80 || p[0].To != 8080 || p[0].HostIP != "10.0.0.1" {
		t.Errorf("http: %+v", p[0])
	}
	if p[1].To != p[1].Value {
		t.Errorf("to = -1 means the port itself: %+v", p[1])
	}
	if p[2].HostIP != "192.168.0.1" || p[2].Value == 20000 {
		t.Errorf("inner: %+v", p[2])
	}
	net := first.Resources.Shared.Networks[0]
	if net.IP != "10.0.0.1" || net.ReservedPorts[0].Value != 80 || net.DynamicPorts[0].Value != p[1].Value {
		t.Errorf("network %+v", net)
	}
	m := s.Checker.Metrics()
	if m.DimensionExhausted["ports 80"] != 1 {
		t.Errorf("exhausted %v", m.DimensionExhausted)
	}
}

func TestPortsCollideOnlyWhenTheyMay(t *testing.T) {
	f := testFleet(1)
	job := withPorts(testJob(3), model.Port{Label: "x", Value: 80, IgnoreCollision: true})
	s := NewBoard(f, Settings{}).Select(NewAsk(job, job.TaskGroups[0]))
	for i := range 3 {
		if s.Next(nil) == nil {
			t.Fatalf("instance %d collided", i)
		}
	}
	job = withPorts(testJob(1), model.Port{Label: "x", HostNetwork: "absent"})
	m := NewBoard(testFleet(2), Settings{}).Checker(NewAsk(job, job.TaskGroups[0])).Metrics()
	if m.ConstraintFiltered[`missing host network "absent" for port "x"`] != 2 {
		t.Errorf("%v", m.ConstraintFiltered)
	}
}

// TestPortsAreNeverGrantedTwice: neither to two instances nor to two labels,
// never a reserved one, and as many as there are.
func TestPortsAreNeverGrantedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := testNode(1)
		low := rapid.IntRange(1000, 1010).Draw(t, "low")
		high := low + rapid.IntRange(0, 20).Draw(t, "span")
		n.NodeResources.MinDynamicPort, n.NodeResources.MaxDynamicPort = low, high
		reserved := rapid.IntRange(990, 1030).Draw(t, "reserved")
		n.ReservedResources = &model.NodeReservedResources{Networks: model.NodeReservedNetworkResources{ReservedHostPorts: fmt.Sprint(reserved)}}
		f := NewFleet()
		f.UpsertNode(n)
		var ports []model.Port
		each := rapid.IntRange(1, 3).Draw(t, "each")
		for i := range each {
			ports = append(ports, model.Port{Label: fmt.Sprint(i)})
		}
		job := withPorts(testJob(50), ports...)
		s := NewBoard(f, Settings{Seed: rapid.Uint64().Draw(t, "seed")}).Select(NewAsk(job, job.TaskGroups[0]))
		seen := map[int]bool{}
		count := 0
		for c := s.Next(nil); c != nil; c = s.Next(nil) {
			count++
			for _, p := range c.Resources.Shared.Ports {
				if seen[p.Value] || p.Value == reserved || p.Value < low || p.Value > high {
					t.Fatalf("port %d was granted", p.Value)
				}
				seen[p.Value] = true
			}
		}
		room := high - low + 1
		if low <= reserved && reserved <= high {
			room--
		}
		if count != room/each {
			t.Fatalf("%d instances of %d ports in %d", count, each, room)
		}
	})
}

func TestCores(t *testing.T) {
	job := testJob(3)
	job.TaskGroups[0].Tasks = append(job.TaskGroups[0].Tasks, &model.Task{Name: "u", Driver: "raw_exec", Resources: &model.Resources{Cores: 2, MemoryMB: 10}})
	job.TaskGroups[0].Tasks[0].Resources = &model.Resources{CPU: 1000, MemoryMB: 10}
	s := NewBoard(testFleet(1), Settings{}).Select(NewAsk(job, job.TaskGroups[0]))
	c := s.Next(nil)
	u := c.Resources.Tasks["u"].Cpu
	if fmt.Sprint(u.ReservedCores) != "[0 1]" || u.CpuShares != 4000 || c.Resources.Tasks["t"].Cpu.CpuShares != 1000 {
		t.Errorf("%+v %+v", u, c.Resources.Tasks["t"].Cpu)
	}
	// 8000 MHz - 5000: two cores are free, but their 4000 MHz are not.
	if s.Next(nil) != nil {
		t.Error("cores take their MHz from the shares")
	}
	if m := s.Checker.Metrics(); m.DimensionExhausted[DimCPU] != 1 {
		t.Errorf("%v", m.DimensionExhausted)
	}
}

func TestSpreadPrefersTheEmptyNode(t *testing.T) {
	for _, spread := range []bool{false, true} {
		f := testFleet(2)
		f.Place("node-00001", testGrant(4000, 8000, nil, nil))
		job := testJob(1)
		got := NewBoard(f, Settings{Spread: spread}).Select(NewAsk(job, job.TaskGroups[0])).Next(nil).NodeID
		if want := map[bool]string{false: "node-00001", true: "node-00000"}[spread]; got != want {
			t.Errorf("spread %t: %s", spread, got)
		}
	}
}

func TestAvoidedNodeIsTakenLast(t *testing.T) {
	f := testFleet(3)
	job := testJob(1)
	b := NewBoard(f, Settings{})
	a := NewAsk(job, job.TaskGroups[0])
	for _, avoid := range []string{"node-00000", "node-00001", "node-00002"} {
		if got := NewBoard(f.Fork(), Settings{}).Select(a).Next([]string{avoid}).NodeID; got == avoid {
			t.Errorf("%s was chosen though others fit", got)
		}
	}
	if b.Select(a).Next([]string{"node-00000", "node-00001", "node-00002"}) == nil {
		t.Error("with no other node the avoided ones serve")
	}
}

// TestMetricsNameTheBest: the first of the scored nodes is the one chosen.
func TestMetricsNameTheBest(t *testing.T) {
	f := testFleet(50)
	for i := range 50 {
		f.Place(fmt.Sprintf("node-%05d", i), testGrant(int64(i*100), int64(i*200), nil, nil))
	}
	job := testJob(1)
	s := NewBoard(f, Settings{}).Select(NewAsk(job, job.TaskGroups[0]))
	m := s.Metrics()
	if len(m.ScoreMetaData) != maxScores || m.NodesEvaluated != 50 || m.NodesAvailable["dc1"] != 50 || m.NodesInPool != 50 {
		t.Errorf("%+v", m)
	}
	for i := 1; i < len(m.ScoreMetaData); i++ {
		if m.ScoreMetaData[i].NormScore > m.ScoreMetaData[i-1].NormScore {
			t.Errorf("scores are not in order")
		}
	}
	if c := s.Next(nil); c.NodeID != m.ScoreMetaData[0].NodeID {
		t.Errorf("%s was chosen, %s is the best", c.NodeID, m.ScoreMetaData[0].NodeID)
	}
}
