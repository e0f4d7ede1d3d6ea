package sim

import (
	"fmt"
	"github.com/steppe-project/steppe/sim/engine"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/model"
)

// Run runs one seed. The error says which promise was broken, and when.
func Run(cfg Config) (Report, error) {
	w := &world{Engine: engine.New(cfg.Seed, cfg.Trace), cfg: cfg}
	w.report.Faults = map[string]int{}
	w.checks.begin(w)
	w.build()
	err := w.Loop()
	w.report.Events = w.Events
	w.report.Virtual = w.Now.Sub(engine.Epoch)
	for _, s := range w.servers {
		if s.life != nil {
			s.abdicate()
			s.life.End()
		}
	}
	for _, n := range w.nodes {
		if n.life != nil {
			n.life.End()
		}
	}
	return w.report, err
}

// build makes servers, nodes and users.
func (w *world) build() {
	w.ledger = &ledger{w: w, first: w.truth().Index() + 1}
	for i := range []int{1, 3, 3, 3, 5}[w.Rand.IntN(5)] {
		s := &server{w: w, name: "s" + strconv.Itoa(i+1), Clock: w.NewClock()}
		w.servers = append(w.servers, s)
		s.start()
	}
	for i := range 2 + w.Rand.IntN(6) {
		n := w.newNode(i + 1)
		w.nodes = append(w.nodes, n)
		w.After(w.Between(0, 3*time.Second), n.boot)
	}
	// b and z are for work that ends, s and y for work that stays.
	for i, jobs := range [][]string{{"s1", "s2", "b1"}, {"s3", "y1", "z1", "b2"}} {
		u := &user{w: w, name: fmt.Sprintf("u%d", i+1), jobs: jobs}
		w.users = append(w.users, u)
		u.begin()
	}
	w.After(0, w.ledger.beat)
	w.After(0, w.listen)
	w.harm(w.Now.Add(w.Between(20*time.Second, 90*time.Second)))
}

func (w *world) newNode(i int) *node {
	name := "n" + strconv.Itoa(i)
	id := w.ID()
	return &node{w: w, id: id, name: name, drift: 0.02*w.Rand.Float64() - 0.01, desc: &model.Node{
		ID: id, SecretID: w.ID(), Name: name, Datacenter: "dc1", NodePool: model.DefaultNodePool,
		Attributes: map[string]string{"kernel.name": "linux", "driver.raw_exec": "1"},
		Meta:       map[string]string{"color": []string{"red", "blue"}[w.Rand.IntN(2)]},
		NodeResources: &model.NodeResources{
			Cpu:            model.NodeCpuResources{CpuShares: 1500 + 500*w.Rand.Int64N(6), TotalCpuCores: 4},
			Memory:         model.NodeMemoryResources{MemoryMB: 1024 + 512*w.Rand.Int64N(6)},
			Disk:           model.NodeDiskResources{DiskMB: 4000},
			MinDynamicPort: 20000, MaxDynamicPort: 20010,
			NodeNetworks: []*model.NodeNetworkResource{{Mode: "host", Device: "eth0", Addresses: []model.NodeNetworkAddress{
				{Family: "ipv4", Alias: "default", Address: "10.0.0." + strconv.Itoa(i)},
			}}},
		},
		Drivers: map[string]*model.DriverInfo{"raw_exec": {Detected: true, Healthy: true}},
	}}
}
